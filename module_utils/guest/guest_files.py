# SPDX-License-Identifier: Apache-2.0
"""Make the kernel, initramfs and disk of the test guest from the files of Debian packages."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shlex
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from ansible.module_utils.guest import guest_init, initramfs
from ansible.module_utils.guest.initramfs import BuildError
from ansible.module_utils.message import Message

FORMAT = 1  # increase it when the same packages give other bytes
MEMORY_MB = 128  # of the guest; docs/guest-image.md has the measurements
DISK_BYTES = 1024 * 1024
SHELL = "busybox-static"


class Architecture(NamedTuple):
    """How an architecture is booted.

    debian: Debian's name of it.
    kernel: package that depends on the newest kernel.
    console: terminal that the guest writes to in addition to the screen.
    boot: kernel options.
    """

    debian: str
    kernel: str
    console: str
    boot: str = ""


class Recipe(TypedDict):
    """Everything except the packages that decides the bytes of an image."""

    format: int
    name: str
    architecture: str
    kernel_package: str
    command_line: str
    memory_mb: int
    modules: list[str]
    scripts: str
    digest: str


class BuiltFrom(TypedDict):
    """Facts about a kernel package from which an image was built."""

    kernel_release: str
    modules: list[str]


ARCHITECTURES = {
    # QEMU 7.2 sometimes emulates CMPXCHG16B wrongly, and Linux 6.12 then crashes: clearcpuid=cx16.
    "x86_64": Architecture("amd64", "linux-image-cloud-amd64", "ttyS0", "clearcpuid=cx16"),
    "aarch64": Architecture("arm64", "linux-image-cloud-arm64", "ttyAMA0"),
    "ppc64le": Architecture("ppc64el", "linux-image-powerpc64le", "hvc0"),
    "riscv64": Architecture("riscv64", "linux-image-riscv64", "ttyS0"),
    "s390x": Architecture("s390x", "linux-image-s390x", "ttysclp0"),
}
# A module that is built into the kernel is left out; each required one must be in the kernel or in its package.
REQUIRED = ("virtio_pci", "virtio_net", "virtio_blk")
OPTIONAL = (
    "virtio_mmio",
    "virtio_ccw",
    "virtio_scsi",
    "sd_mod",
    "virtio_console",
    "virtio_rng",
    "virtio_balloon",
    "button",
    "evdev",
)


def command_line(architecture: str) -> str:
    """Return the kernel command line, which Nova uses instead of its own default; that one logs everything."""
    row = ARCHITECTURES[architecture]
    return f"console=tty0 console={row.console} quiet {row.boot}".rstrip()


def recipe(name: str, architecture: str, kernel_package: str) -> Recipe:
    """Return a recipe; equal digests mean equal recipes."""
    content: Recipe = {
        "format": FORMAT,
        "name": name,
        "architecture": architecture,
        "kernel_package": kernel_package,
        "command_line": command_line(architecture),
        "memory_mb": MEMORY_MB,
        "modules": [*REQUIRED, *OPTIONAL],
        "scripts": hashlib.sha256("\0".join(guest_init.SCRIPTS.values()).encode()).hexdigest(),
        "digest": "",
    }
    undigested = {key: value for key, value in content.items() if key != "digest"}
    content["digest"] = hashlib.sha256(json.dumps(undigested, sort_keys=True).encode()).hexdigest()
    return content


def is_kernel_file(name: str) -> bool:
    """Tell whether the guest needs a file of the kernel package."""
    return bool(
        re.match(r"(usr/)?boot/vmlinu[xz]-", name)
        or re.match(r"(usr/)?lib/modules/[^/]+/(kernel/.*\.ko(\.\w+)?|modules\.builtin)$", name)
    )


def is_shell_file(name: str) -> bool:
    """Tell whether the guest needs a file of the package of the shell."""
    return bool(re.match(r"(usr/)?bin/busybox$", name))


def the_only(paths: Sequence[str], what: str) -> str:
    """Return the only path of a list; raise BuildError when there is none or more than one."""
    if len(paths) != 1:
        raise BuildError(Message(f"expected one file {what} in the packages, found {', '.join(paths) or 'none'}"))
    return paths[0]


def modules_for(kernel: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Return names and uncompressed bytes of the modules to load, in load order, from the files of a kernel package."""
    paths = {initramfs.module_name(path): path for path in kernel if ".ko" in path.rsplit("/", 1)[-1]}
    listing = the_only([path for path in kernel if path.endswith("/modules.builtin")], "modules.builtin")
    builtin = {initramfs.module_name(line) for line in kernel[listing].decode().split()}

    def plain(name: str) -> bytes:
        return initramfs.plain_module(paths[name], kernel[paths[name]])

    def depends(name: str) -> list[str]:
        return initramfs.module_depends(plain(name))

    wanted = [*REQUIRED, *(name for name in OPTIONAL if name in paths)]
    order = initramfs.load_order(wanted, {name: functools.partial(depends, name) for name in paths}, builtin)
    return [(name, plain(name)) for name in order]


def build(
    wanted: Recipe, kernel: Mapping[str, bytes], shell: Mapping[str, bytes]
) -> tuple[dict[str, bytes], BuiltFrom]:
    """Return the files of an image by name, and facts about the kernel, from the files of the two packages."""
    image = the_only([path for path in kernel if re.search(r"boot/vmlinu[xz]-", path)], "vmlinuz")
    modules = modules_for(kernel)
    settings = {"GUEST_NAME": wanted["name"], "CONSOLE": ARCHITECTURES[wanted["architecture"]].console}
    paths = ("bin", "dev", "etc", "lib", "lib/modules", "proc", "run", "sys")
    entries = [
        *(initramfs.directory(path) for path in paths),
        initramfs.Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
        initramfs.file("bin/busybox", shell[the_only(list(shell), "busybox")], 0o755),
        *(initramfs.file(path, text.encode(), 0o755) for path, text in guest_init.SCRIPTS.items()),
        initramfs.file("etc/guest", "".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()).encode()),
        initramfs.file("etc/modules", "".join(f"{name}\n" for name, _ in modules).encode()),
        *(initramfs.file(f"lib/modules/{name}.ko", data) for name, data in modules),
    ]
    files = {
        "kernel": initramfs.clear_boot_signature(kernel[image]),
        "initramfs": initramfs.compress(initramfs.cpio(entries)),
        "disk": (guest_init.DISK_MARK.encode() + b"\n").ljust(DISK_BYTES, b"\0"),
    }
    return files, {"kernel_release": image.split("-", 1)[1], "modules": [name for name, _ in modules]}
