# SPDX-License-Identifier: Apache-2.0
"""Replace files whole or not at all: new contents are written next to their targets, then renamed over them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from typing import NamedTuple


class NewFile(NamedTuple):
    """A file to write; an owner or group of -1 is that of the process."""

    path: str
    content: bytes
    uid: int = -1
    gid: int = -1
    mode: int = 0o644


def write(path: str, content: str | bytes, *, mode: int = 0o644, uid: int = -1, gid: int = -1) -> None:
    """Replace one file."""
    data = content.encode() if isinstance(content, str) else content
    replace_all([NewFile(path, data, uid, gid, mode)])


def stage(file: NewFile) -> str:
    """Write a file next to its target, complete and with its owner and mode, and return the temporary name."""
    directory, name = os.path.split(file.path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory or ".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchown(stream.fileno(), file.uid, file.gid)
            os.fchmod(stream.fileno(), file.mode)
            stream.write(file.content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def replace_all(files: Iterable[NewFile]) -> None:
    """Replace files as a group: a failure while writing leaves every file as it was."""
    staged: list[tuple[str, str]] = []
    try:
        for file in files:
            staged.append((stage(file), file.path))
        while staged:
            os.replace(*staged[0])
            staged.pop(0)
    finally:
        for temporary, _path in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def replace_link(path: str, target: str) -> None:
    """Put a symbolic link at a path, in place of a file or link that is there."""
    directory = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    temporary = os.path.join(directory, "link")
    try:
        os.symlink(target, temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        os.rmdir(directory)
