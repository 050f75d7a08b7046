# SPDX-License-Identifier: Apache-2.0
"""Replace files as a group: all new contents are written beside their targets first, then renamed over them."""

from __future__ import annotations

import contextlib
import os
import tempfile


def stage(path: str, content: bytes, uid: int, gid: int, mode: int) -> str:
    """Write content beside path, complete and with its owner and mode, and return the temporary name."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def replace_all(files: list) -> None:
    """Replace files, each (path, content, uid, gid, mode). A failure while writing leaves every file as it was."""
    staged = []
    try:
        for path, content, uid, gid, mode in files:
            staged.append((stage(path, content, uid, gid, mode), path))
        while staged:
            os.replace(*staged[0])
            staged.pop(0)
    finally:
        for temporary, _path in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def replace_link(path: str, target: str) -> None:
    """Put a symbolic link at path, in place of a file or link that is there, by a rename."""
    folder = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    temporary = os.path.join(folder, "link")
    try:
        os.symlink(target, temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        os.rmdir(folder)
