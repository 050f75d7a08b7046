# SPDX-License-Identifier: Apache-2.0
"""The test guest's kernel, initramfs and disk, made from the content of Debian packages."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import stat

from ansible.module_utils.guest import guest_init, initramfs

FORMAT = 1  # raise it when the same packages give other bytes
MEMORY_MB = 128  # of the guest; docs/guest-image.md has the measurements
DISK_BYTES = 1024 * 1024
SHELL = "busybox-static"

# kernel: the package whose dependency is the newest kernel; console: where the guest speaks besides the screen; boot:
# kernel options. QEMU 7.2 emulates CMPXCHG16B wrongly now and then, and Linux 6.12 crashes on it: clearcpuid=cx16.
ARCHITECTURES = {
    "x86_64": {"debian": "amd64", "kernel": "linux-image-cloud-amd64", "console": "ttyS0", "boot": "clearcpuid=cx16"},
    "aarch64": {"debian": "arm64", "kernel": "linux-image-cloud-arm64", "console": "ttyAMA0", "boot": ""},
    "ppc64le": {"debian": "ppc64el", "kernel": "linux-image-powerpc64le", "console": "hvc0", "boot": ""},
    "riscv64": {"debian": "riscv64", "kernel": "linux-image-riscv64", "console": "ttyS0", "boot": ""},
    "s390x": {"debian": "s390x", "kernel": "linux-image-s390x", "console": "ttysclp0", "boot": ""},
}
# Those that a kernel has built in or does not know at all are left out; the required ones must be somewhere.
REQUIRED = ("virtio_pci", "virtio_net", "virtio_blk")
WELCOME = (
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


def command_line(architecture):
    """What Nova gives the kernel instead of its own default, which logs at full length."""
    row = ARCHITECTURES[architecture]
    return f"console=tty0 console={row['console']} quiet {row['boot']}".rstrip()


def recipe(name, architecture, kernel_package):
    """Everything but the packages that decides the bytes; its digest tells whether an image is of this recipe."""
    content = {
        "format": FORMAT,
        "name": name,
        "architecture": architecture,
        "kernel_package": kernel_package,
        "command_line": command_line(architecture),
        "memory_mb": MEMORY_MB,
        "modules": [*REQUIRED, *WELCOME],
        "scripts": hashlib.sha256("\0".join(guest_init.SCRIPTS.values()).encode()).hexdigest(),
    }
    return {**content, "digest": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def kernel_wanted(name):
    return bool(
        re.match(r"(usr/)?boot/vmlinu[xz]-", name)
        or re.match(r"(usr/)?lib/modules/[^/]+/(kernel/.*\.ko(\.\w+)?|modules\.builtin)$", name)
    )


def shell_wanted(name):
    return bool(re.match(r"(usr/)?bin/busybox$", name))


def only(paths, what):
    if len(paths) != 1:
        raise ValueError(f"expected one {what} in the packages, found {', '.join(paths) or 'none'}")
    return paths[0]


def modules_for(kernel):
    """[(name, plain bytes)] in load order, out of a kernel package's files."""
    paths = {initramfs.module_name(path): path for path in kernel if ".ko" in path.rsplit("/", 1)[-1]}
    listing = only([path for path in kernel if path.endswith("/modules.builtin")], "modules.builtin")
    builtin = {initramfs.module_name(line) for line in kernel[listing].decode().split()}

    def plain(name):
        return initramfs.plain_module(paths[name], kernel[paths[name]])

    depends = {name: lambda name=name: initramfs.module_depends(plain(name)) for name in paths}
    wanted = [*REQUIRED, *(name for name in WELCOME if name in paths)]
    return [(name, plain(name)) for name in initramfs.load_order(wanted, depends, builtin)]


def build(recipe_, kernel, shell):
    """{file name: bytes} and facts, from the files of the two packages."""
    image = only([path for path in kernel if re.search(r"boot/vmlinu[xz]-", path)], "kernel")
    modules = modules_for(kernel)
    settings = {"GUEST_NAME": recipe_["name"], "CONSOLE": ARCHITECTURES[recipe_["architecture"]]["console"]}
    entries = [initramfs.folder(path) for path in ("bin", "dev", "etc", "lib", "lib/modules", "proc", "run", "sys")]
    entries += [
        {"path": "dev/console", "mode": stat.S_IFCHR | 0o600, "device": (5, 1)},
        initramfs.file("bin/busybox", shell[only(list(shell), "busybox")], 0o755),
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
