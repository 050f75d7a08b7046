# SPDX-License-Identifier: Apache-2.0
"""Kernel modules and initramfs archives as pure functions: bytes in, bytes out."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct


def plain_module(path, data):
    """The bytes of a kernel module, whatever a distribution compressed it with."""
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if not path.endswith(".ko"):
        raise ValueError(f"{path}: neither .ko, .ko.xz nor .ko.gz, so this kernel package's modules cannot be read")
    return data


def module_name(path):
    """virtio-rng.ko.xz is the module virtio_rng."""
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")


def _elf_section(data, wanted):
    """The content of one named section of an ELF file of 32 or 64 bits and either byte order."""
    if data[:4] != b"\x7fELF":
        raise ValueError("not an ELF file")
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 0x28 if wide else 0x20)
    size, count, names = struct.unpack_from(order + "HHH", data, 0x3A if wide else 0x2E)

    def header(index):
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


def module_depends(data):
    """The names of the modules that one module (plain ELF bytes) says it needs.

    Debian's kernel packages hold no modules.dep (depmod writes it when they are installed), and need none of it: each
    module carries its own list.
    """
    for entry in _elf_section(data, b".modinfo").split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == b"depends":
            return [name.replace("-", "_") for name in value.decode().split(",") if name]
    return []


def load_order(wanted, depends, builtin):
    """The modules to insert, needed ones first. depends: name -> callable giving the names it needs."""
    order, pending = [], []

    def visit(name, asked_by):
        if name in order or name in builtin:
            return
        if name in pending:
            raise ValueError("kernel modules need each other in a circle: " + " -> ".join([*pending, name]))
        if name not in depends:
            raise ValueError(f"the kernel package has no module {name}, which {asked_by} needs")
        pending.append(name)
        for need in depends[name]():
            visit(need, name)
        pending.pop()
        order.append(name)

    for name in wanted:
        visit(name, "the guest")
    return order


def clear_boot_signature(kernel):
    """Without the 55 AA at the end of its first sector an x86 kernel is no longer taken for a partitioned disk.

    A bzImage carries the boot sector signature of the floppy days. Nova, which inspects what it fetches before a live
    migration, reads it as a partition table and refuses the image. Boot loaders look for "HdrS" instead.
    """
    if kernel[510:512] == b"\x55\xaa" and kernel[0x202:0x206] == b"HdrS":
        return kernel[:510] + b"\0\0" + kernel[512:]
    return kernel


def cpio(entries):
    """A newc archive of {path, mode, data=b"", device=(0, 0)}: equal entries give equal bytes (no time, no owner)."""
    out = io.BytesIO()

    def add(number, path, mode, data, device):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name), 0)
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        out.write(b"\0" * (-out.tell() % 4))
        out.write(data)
        out.write(b"\0" * (-out.tell() % 4))

    for number, entry in enumerate(entries, start=1):
        add(number, entry["path"], entry["mode"], entry.get("data", b""), entry.get("device", (0, 0)))
    add(0, "TRAILER!!!", 0, b"", (0, 0))
    out.write(b"\0" * (-out.tell() % 512))
    return out.getvalue()


def folder(path):
    return {"path": path, "mode": stat.S_IFDIR | 0o755}


def file(path, data, mode=0o644):
    return {"path": path, "mode": stat.S_IFREG | mode, "data": data}


def compress(data):
    """gzip without a time stamp or file name, so that equal data gives equal bytes."""
    return gzip.compress(data, compresslevel=9, mtime=0)
