# SPDX-License-Identifier: Apache-2.0
"""Debian packages of any architecture, unpacked into a cache folder; nothing is installed on this machine.

The sources and keys are this machine's own; only the architecture and apt's state are ours.
"""

from __future__ import annotations

import os
import pathlib
import subprocess

CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "kvm"


def apt(arch, *arguments, **options):
    state = CACHE / "apt" / arch
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    command = [
        arguments[0],
        *("-o", f"APT::Architecture={arch}", "-o", f"APT::Architectures={arch}", "-o", f"Dir::State={state}"),
        *("-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::State::status={state}/status"),
        *("-o", f"Dir::Cache={state}", "-o", f"Dir::Cache::Archives={state}/archives"),
        *("-o", "Debug::NoLocking=true", "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"),
        *arguments[1:],
    ]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def update(arch):
    if not any((CACHE / "apt" / arch / "lists").glob("*_Packages*")):
        apt(arch, "apt-get", "-q", "update")


def depends(arch, package):
    """The first package that a meta package depends on."""
    update(arch)
    for line in apt(arch, "apt-cache", "depends", "--important", package).splitlines():
        if line.strip().startswith("Depends:"):
            return line.split(":", 1)[1].strip()
    raise LookupError(f"{package} depends on nothing")


def unpacked(arch, *packages):
    """A folder with the files of the packages (of exactly these, without their dependencies)."""
    update(arch)
    target = CACHE / "root" / arch
    for package in packages:
        done = CACHE / "root" / f"{arch}.{package}.done"
        if done.exists():
            continue
        folder = CACHE / "debs" / arch / package
        folder.mkdir(parents=True, exist_ok=True)
        apt(arch, "apt-get", "-q", "download", package, cwd=folder)
        target.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, target], check=True)
            file.unlink()
        done.touch()
    return target


if __name__ == "__main__":
    import sys

    print(unpacked(sys.argv[1], *sys.argv[2:]))
    os.sync()
