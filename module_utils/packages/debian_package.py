# SPDX-License-Identifier: Apache-2.0
"""Read .deb files without installing them."""

from __future__ import annotations

import subprocess
import tarfile


def fields(path):
    """Package, Version and Architecture of a .deb file."""
    argv = ["dpkg-deb", "--field", path, "Package", "Version", "Architecture"]
    out = subprocess.run(argv, capture_output=True, text=True, check=False)
    if out.returncode:
        raise ValueError(f"{path} is not a readable Debian package: {out.stderr.strip()}")
    return dict(line.split(": ", 1) for line in out.stdout.splitlines())


def files(path, wanted):
    """{name: bytes} of the regular files for which wanted(name) holds. Nothing is written to disk."""
    found = {}
    argv = ["dpkg-deb", "--fsys-tarfile", path]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
            for member in archive:
                name = member.name[2:] if member.name.startswith("./") else member.name
                if member.isreg() and wanted(name):
                    found[name] = archive.extractfile(member).read()
        unpack.stdout.read()
        error = unpack.stderr.read().decode(errors="replace").strip()
    if unpack.returncode:
        raise ValueError(f"{path} cannot be unpacked: {error}")
    return found
