# SPDX-License-Identifier: Apache-2.0
"""Read the processor of a machine: vendor, virtualization flag, whether it is virtual. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.kvm.tree import Tree

FLAGS = (  # of note for an operator
    *("ept", "npt", "vnmi", "avic", "x2avic", "vgif", "pdpe1gb", "sev", "sev_es", "sev_snp", "sme", "tme"),
    *("tdx_host_platform", "svm_lock", "nrip_save", "la57", "aes", "invtsc", "constant_tsc", "nonstop_tsc"),
)


def processor(tree: Tree, arch: str) -> dict[str, Any]:
    """Return what /proc/cpuinfo and, for a tree, its cpuid.json hold of the processor."""
    first, flags, count = cpuinfo(tree)
    flag, shown = virtualization_flag(arch, first, flags)
    raw = None if tree.live else tree.json("/fixture/cpuid.json")
    vendor = first.get("vendor_id") or first.get("CPU implementer") or first.get("cpu", "").split(",")[0]
    models = (first.get(name) for name in ("model name", "cpu", "machine", "CPU part", "uarch"))
    return {
        "vendor": vendor or None,
        "model": next((model for model in models if model), None),
        "count": count,
        "virt_flag": flag,
        "virt_flag_shown": shown,
        "raw": raw,
        "hypervisor": bool(
            "hypervisor" in flags
            or "qemu" in first.get("model", "").lower()
            or first.get("platform") == "pSeries"
            or (raw or {}).get("hypervisor_bit")
            or arch in ("aarch64", "riscv64")
            and emulated_board(tree)
        ),
        "flags_of_note": [name for name in flags if name in FLAGS],
    }


def cpuinfo(tree: Tree) -> tuple[dict[str, str], list[str], int]:
    """Return the first value of each line of /proc/cpuinfo, the flags, and the number of processors."""
    first: dict[str, str] = {}
    flags: list[str] = []
    count = 0
    for line in tree.lines("/proc/cpuinfo"):
        name, separator, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not separator:
            continue
        if name in ("processor", "cpu number") or re.match(r"processor \d+$", name):
            count += 1
        if name.lower() in ("flags", "features") and not flags:
            flags = value.split()
        first.setdefault(name, value)
    return first, flags, count


def emulated_board(tree: Tree) -> bool:
    """Tell from the firmware whether the machine is virtual, where the processor does not show a hypervisor."""
    maker, product = tree.word("/sys/class/dmi/id/sys_vendor") or "", tree.word("/sys/class/dmi/id/product_name") or ""
    board = tree.read("/proc/device-tree/compatible")
    return (
        maker in ("QEMU", "VMware, Inc.", "Xen", "innotek GmbH", "Parallels International GmbH.")
        or (maker == "Microsoft Corporation" and product == "Virtual Machine")
        or (maker == "Amazon EC2" and ".metal" not in product)
        or "linux,dummy-virt" in board
        or "riscv-virtio" in board
        or tree.exists("/proc/device-tree/hypervisor")
    )


def virtualization_flag(arch: str, first: dict[str, str], flags: list[str]) -> tuple[str, bool | None]:
    """Return the flag and whether the kernel shows it; None where the architecture has no such flag."""
    if arch in ("x86_64", "i686"):
        for flag in ("vmx", "svm"):
            if flag in flags:
                return flag, True
        return ("svm" if first.get("vendor_id") in ("AuthenticAMD", "HygonGenuine") else "vmx"), False
    if arch == "s390x":
        return "sie", "sie" in flags
    if arch.startswith("ppc64"):
        return ("PowerNV", True) if first.get("platform") == "PowerNV" else ("pSeries", None)
    if arch == "riscv64":
        single_letters = re.match(r"rv\d+([a-z]*)", first.get("isa", ""))
        return "h", bool(single_letters and "h" in single_letters.group(1))
    return "EL2", None
