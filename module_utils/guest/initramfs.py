# SPDX-License-Identifier: Apache-2.0
"""Kernel modules and initramfs archives as pure functions: bytes in, bytes out."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from ansible.module_utils.message import Message, OperatorError


class BuildError(OperatorError):
    """The test image cannot be built from these packages."""


class Entry(NamedTuple):
    """A file, directory or device of an archive; `mode` includes the type, `device` is (major, minor)."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> Entry:
    """Return the entry of a directory."""
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    """Return the entry of a regular file."""
    return Entry(path, stat.S_IFREG | mode, data)


def plain_module(path: str, data: bytes) -> bytes:
    """Return a kernel module uncompressed; raise BuildError when its compression is not supported."""
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if not path.endswith(".ko"):
        raise BuildError(
            Message(f"{path} is neither .ko, .ko.xz nor .ko.gz, so the modules of this kernel package cannot be read")
        )
    return data


def module_name(path: str) -> str:
    """Return the name of a module by its file: virtio-rng.ko.xz is virtio_rng."""
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")


def _elf_section(data: bytes, wanted: bytes) -> bytes:
    """Return the content of a named section of an ELF file of 32 or 64 bits and either byte order."""
    if data[:4] != b"\x7fELF":
        raise BuildError(Message("a kernel module is not an ELF file; is its package damaged?"))
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 0x28 if wide else 0x20)
    size, count, names = struct.unpack_from(order + "HHH", data, 0x3A if wide else 0x2E)

    def header(index: int) -> tuple[int, bytes]:
        at = table + index * size
        (name,) = struct.unpack_from(order + "I", data, at)
        start, length = struct.unpack_from(order + ("QQ" if wide else "II"), data, at + (0x18 if wide else 0x10))
        return name, data[start : start + length]

    strings = header(names)[1]
    for index in range(count):
        name, content = header(index)
        if strings[name : strings.index(b"\0", name)] == wanted:
            return content
    return b""


def module_depends(data: bytes) -> list[str]:
    """Return the names of the modules that a module (uncompressed ELF) depends on.

    Debian's kernel packages have no modules.dep: depmod writes it at installation. Each module lists its own
    dependencies.
    """
    for entry in _elf_section(data, b".modinfo").split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == b"depends":
            return [name.replace("-", "_") for name in value.decode().split(",") if name]
    return []


def load_order(
    wanted: Iterable[str], depends: Mapping[str, Callable[[], list[str]]], builtin: Collection[str]
) -> list[str]:
    """Return the modules to insert, dependencies first; raise BuildError when one is missing or in a cycle.

    depends: module -> function that returns the modules it depends on; it has every module of the kernel package.
    builtin: modules that are part of the kernel itself.
    """
    order: list[str] = []
    pending: list[str] = []

    def visit(name: str, dependent: str) -> None:
        if name in order or name in builtin:
            return
        if name in pending:
            raise BuildError(
                Message(f"kernel modules depend on each other in a cycle: {' -> '.join([*pending, name])}")
            )
        if name not in depends:
            raise BuildError(Message(f"the kernel package has no module {name}, which {dependent} needs"))
        pending.append(name)
        for dependency in depends[name]():
            visit(dependency, name)
        pending.pop()
        order.append(name)

    for name in wanted:
        visit(name, "the guest")
    return order


def clear_boot_signature(kernel: bytes) -> bytes:
    """Return an x86 kernel without the 55 AA at the end of its first sector; other kernels are returned unchanged.

    A bzImage still has the boot sector signature from the time of floppy disks. Nova inspects the image before a live
    migration, takes the signature for a partition table, and refuses the image. Boot loaders look for "HdrS" instead.
    """
    if kernel[510:512] == b"\x55\xaa" and kernel[0x202:0x206] == b"HdrS":
        return kernel[:510] + b"\0\0" + kernel[512:]
    return kernel


def cpio(entries: Iterable[Entry]) -> bytes:
    """Return an archive in the newc format; it has no times and no owners, so equal entries give equal bytes."""
    out = io.BytesIO()

    def add(number: int, entry: Entry) -> None:
        name = entry.path.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        out.write(b"\0" * (-out.tell() % 4))
        out.write(entry.data)
        out.write(b"\0" * (-out.tell() % 4))

    for number, entry in enumerate(entries, start=1):
        add(number, entry)
    add(0, Entry("TRAILER!!!", 0))
    out.write(b"\0" * (-out.tell() % 512))
    return out.getvalue()


def compress(data: bytes) -> bytes:
    """Return data compressed by gzip, without time and file name, so that equal data gives equal bytes."""
    return gzip.compress(data, compresslevel=9, mtime=0)
