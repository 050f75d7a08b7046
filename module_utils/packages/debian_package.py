# SPDX-License-Identifier: Apache-2.0
"""Read .deb files without installing them."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable

from ansible.module_utils.host import commands
from ansible.module_utils.message import Message


def fields(path: str) -> dict[str, str]:
    """Return Package, Version and Architecture of a .deb file; raise ValueError where it has none."""
    done = commands.run(["dpkg-deb", "--field", path, "Package", "Version", "Architecture"])
    if done.code:
        raise ValueError(Message(f"{path} is not a readable Debian package: {done.text}"))
    return dict(line.split(": ", 1) for line in done.out.splitlines())


def files(path: str, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the contents of the regular files of a .deb file for whose names wanted() is true.

    Nothing is written to disk. Raises ValueError when the package cannot be unpacked.
    """
    found = {}
    argv = ["dpkg-deb", "--fsys-tarfile", path]
    # Not commands.run: a kernel's package holds hundreds of megabytes, which are read as a stream.
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as unpack:
        assert unpack.stdout and unpack.stderr  # pipes, as requested
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
            for member in archive:
                name = member.name[2:] if member.name.startswith("./") else member.name
                content = archive.extractfile(member) if member.isreg() and wanted(name) else None
                if content:
                    found[name] = content.read()
        unpack.stdout.read()
        error = unpack.stderr.read().decode(errors="replace").strip()
    if unpack.returncode:
        raise ValueError(Message(f"{path} cannot be unpacked: {error}"))
    return found
