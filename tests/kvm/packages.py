# SPDX-License-Identifier: Apache-2.0
"""Unpack Debian packages of any architecture into a cache directory; nothing is installed on this machine.

The package sources and keys are those of this machine; the architecture and the state of apt are separate.

usage: packages.py ARCHITECTURE PACKAGE ...
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kvm"


def apt(arch: str, *arguments: str, cwd: Path | None = None) -> str:
    """Return the output of an apt command for an architecture; raise CalledProcessError if it fails."""
    state = CACHE / "apt" / arch
    for directory in ("lists/partial", "archives/partial"):
        (state / directory).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    command = [
        arguments[0],
        *("-o", f"APT::Architecture={arch}", "-o", f"APT::Architectures={arch}", "-o", f"Dir::State={state}"),
        *("-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::State::status={state}/status"),
        *("-o", f"Dir::Cache={state}", "-o", f"Dir::Cache::Archives={state}/archives"),
        *("-o", "Debug::NoLocking=true", "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"),
        *arguments[1:],
    ]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=cwd).stdout


def update(arch: str) -> None:
    """Download the lists of an architecture once."""
    if not any((CACHE / "apt" / arch / "lists").glob("*_Packages*")):
        apt(arch, "apt-get", "-q", "update")


def depends(arch: str, package: str) -> str:
    """Return the first package that a metapackage depends on; raise LookupError if there is none."""
    update(arch)
    for line in apt(arch, "apt-cache", "depends", "--important", package).splitlines():
        if line.strip().startswith("Depends:"):
            return line.split(":", 1)[1].strip()
    raise LookupError(f"{package} depends on nothing")


def unpacked(arch: str, *packages: str) -> Path:
    """Return a directory with the files of exactly these packages, without their dependencies."""
    update(arch)
    target = CACHE / "root" / arch
    for package in packages:
        done = CACHE / "root" / f"{arch}.{package}.done"
        if done.exists():
            continue
        directory = CACHE / "debs" / arch / package
        directory.mkdir(parents=True, exist_ok=True)
        apt(arch, "apt-get", "-q", "download", package, cwd=directory)
        target.mkdir(parents=True, exist_ok=True)
        for file in directory.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, target], check=True)
            file.unlink()
        done.touch()
    return target


if __name__ == "__main__":
    print(unpacked(*sys.argv[1:]))
