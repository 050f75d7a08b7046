# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of the test image: the versions that apt offers, their download, and their files."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ansible.module_utils.guest import guest_files
from ansible.module_utils.guest.initramfs import BuildError
from ansible.module_utils.host import commands, output
from ansible.module_utils.message import Message
from ansible.module_utils.packages import debian_package


class Packages(NamedTuple):
    """The files of the kernel package and of the shell's package, and the versions of both packages."""

    kernel: dict[str, bytes]
    shell: dict[str, bytes]
    versions: dict[str, str]


def apt(argv: Sequence[str], hint: str, cwd: str | None = None) -> str:
    """Return the output of a command of apt; raise BuildError with the errors that it printed and the hint."""
    done = commands.run(argv, cwd=cwd)
    if done.code:
        lines = [line for line in done.err.splitlines() if line.startswith("E:")] or output.tail(done.err, 3)
        name, reason = " ".join(argv[:2]), " ".join(lines) or "no reason given"
        raise BuildError(Message(f"the command {name} failed: {reason}. {hint}"))
    return done.out


def offered(kernel_package: str) -> dict[str, str]:
    """Return the versions that apt offers of the kernel package that kernel_package is or depends on, and of the shell.

    Raise BuildError when there is no such package.
    """
    hint = "Run apt-get update, correct the apt sources, or give a directory of .deb files as packages."
    names, versions = [kernel_package, guest_files.SHELL], {}
    while names:
        name = names.pop()
        out = apt(["apt-cache", "show", "--no-all-versions", name], f"apt offers no package {name}. {hint}")
        real = re.search(r"^Depends:.*?\b(linux-image-\d[^\s,(]*)", out, re.M)
        if real and name == kernel_package and not re.match(r"linux-image-\d", name):
            names.append(real[1])
            continue
        version = re.search(r"^Version: (\S+)", out, re.M)
        if not version:
            raise BuildError(Message(f"apt offers no version of package {name}. {hint}"))
        versions[name] = version[1]
    return versions


def download(versions: Mapping[str, str], directory: str) -> list[str]:
    """Download packages into a directory, which is given to the user of apt; return their paths."""
    with contextlib.suppress(KeyError):  # no such user: apt downloads as root
        owner = pwd.getpwnam("_apt")
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    argv = ["apt-get", "download", *(f"{name}={version}" for name, version in versions.items())]
    apt(argv, "Is the package mirror reachable? Otherwise give a directory of .deb files as packages.", cwd=directory)
    return glob.glob(os.path.join(directory, "*.deb"))


def read(paths: Iterable[str], debian: str) -> Packages:
    """Return the two packages of an architecture that are among .deb files.

    Raise BuildError when one of them is not there exactly once, or is damaged.
    """
    fields = {path: debian_package.fields(path) for path in sorted(paths)}

    def find(what: str, pattern: str) -> str:
        found = [
            path
            for path, field in fields.items()
            if field["Architecture"] == debian and re.match(pattern, field["Package"])
        ]
        if len(found) != 1:
            names = ", ".join(os.path.basename(path) for path in found) or "none"
            raise BuildError(
                Message(f"expected one package {what} for {debian} among {len(fields)} .deb files, found {names}")
            )
        return found[0]

    kernel, shell = find("linux-image-VERSION", r"linux-image-\d"), find(guest_files.SHELL, f"{guest_files.SHELL}$")
    return Packages(
        debian_package.files(kernel, guest_files.is_kernel_file),
        debian_package.files(shell, guest_files.is_shell_file),
        {fields[path]["Package"]: fields[path]["Version"] for path in (kernel, shell)},
    )
