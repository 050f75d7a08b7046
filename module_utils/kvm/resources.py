# SPDX-License-Identifier: Apache-2.0
"""Read what a machine has besides KVM: IOMMU, memory, NUMA, power, secure guests, programs. Nothing is changed."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.kvm.tree import Tree, whole_number

PROGRAM_DIRECTORIES = ("/usr/bin", "/usr/local/bin", "/bin", "/usr/libexec", "/usr/sbin")
UEFI_FIRMWARE = ("/usr/share/OVMF/OVMF_CODE*", "/usr/share/AAVMF/*CODE*", "/usr/share/qemu/firmware/*")


def iommu(tree: Tree) -> dict[str, Any]:
    """Return the groups and units of the IOMMU, and the tables of the firmware that describe it."""
    groups = tree.names("/sys/kernel/iommu_groups")
    types = {tree.word(f"/sys/kernel/iommu_groups/{group}/type") for group in groups}
    return {
        "groups": len(groups),
        "units": tree.names("/sys/class/iommu"),
        "firmware_tables": [
            name for name in ("DMAR", "IVRS", "IORT", "VIOT") if tree.exists(f"/sys/firmware/acpi/tables/{name}")
        ],
        "group_types": sorted(types - {None}),
    }


def huge_pages(tree: Tree, directory: str) -> dict[str, dict[str, int]]:
    """Return the huge pages, total and free, by their size in kB."""
    return {
        str(whole_number(re.sub(r"\D", "", name)) or 0): {
            "total": whole_number(tree.word(f"{directory}/{name}/nr_hugepages")) or 0,
            "free": whole_number(tree.word(f"{directory}/{name}/free_hugepages")) or 0,
        }
        for name in tree.names(directory)
        if name.startswith("hugepages-")
    }


def memory(tree: Tree) -> dict[str, Any]:
    """Return sizes in kB, huge pages and the settings of memory management."""
    sizes = dict(re.findall(r"^(\w+):\s+(\d+)", tree.read("/proc/meminfo"), re.MULTILINE))
    mounts = [line.split() for line in tree.lines("/proc/self/mounts")]
    return {
        "total_kb": whole_number(sizes.get("MemTotal")) or 0,
        "swap_kb": whole_number(sizes.get("SwapTotal")) or 0,
        "hugepages": huge_pages(tree, "/sys/kernel/mm/hugepages"),
        "default_hugepage_kb": whole_number(sizes.get("Hugepagesize")) or 0,
        "hugetlbfs_mounts": [fields[1] for fields in mounts if fields[2:3] == ["hugetlbfs"]],
        "transparent_hugepages": tree.chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "ksm": tree.word("/sys/kernel/mm/ksm/run"),
        "overcommit": tree.word("/proc/sys/vm/overcommit_memory"),
    }


def numa(tree: Tree) -> dict[str, Any]:
    """Return the NUMA nodes with their processors, memory in kB, distances and huge pages."""
    found, top = {}, "/sys/devices/system/node"
    for name in tree.names(top):
        if re.match(r"node\d+$", name):
            total = re.search(r"MemTotal:\s+(\d+)", tree.read(f"{top}/{name}/meminfo"))
            found[name] = {
                "cpus": tree.word(f"{top}/{name}/cpulist"),
                "mem_kb": whole_number(total.group(1)) if total else None,
                "distance": (tree.word(f"{top}/{name}/distance") or "").split(),
                "hugepages": huge_pages(tree, f"{top}/{name}/hugepages"),
            }
    return found


def power(tree: Tree) -> dict[str, Any]:
    """Return governors, SMT, clock source and vulnerabilities."""
    top = "/sys/devices/system/cpu"
    governors = {tree.word(path) for path in tree.glob(f"{top}/cpu*/cpufreq/scaling_governor")}
    return {
        "governors": sorted(governors - {None}),
        "driver": tree.word(f"{top}/cpu0/cpufreq/scaling_driver"),
        "smt": tree.word(f"{top}/smt/control"),
        "clocksource": tree.word("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "vulnerabilities": {
            name: tree.word(f"{top}/vulnerabilities/{name}") for name in tree.names(f"{top}/vulnerabilities")
        },
    }


def secure_guests(tree: Tree) -> dict[str, Any]:
    """Return the settings of SEV, TDX and protected virtualization."""

    def parameter(module: str, name: str) -> str | None:
        return tree.word(f"/sys/module/{module}/parameters/{name}")

    return {
        "sev": parameter("kvm_amd", "sev"),
        "sev_es": parameter("kvm_amd", "sev_es"),
        "sev_snp": parameter("kvm_amd", "sev_snp"),
        "tdx": parameter("kvm_intel", "tdx"),
        "sev_device": tree.exists("/dev/sev"),
        "s390_pv": tree.word("/sys/firmware/uv/prot_virt_host"),
    }


def programs(tree: Tree, arch: str) -> dict[str, Any]:
    """Return paths of QEMU, libvirt and swtpm, whether there is UEFI firmware, and for a tree the versions."""
    emulator = "qemu-system-" + {"ppc64le": "ppc64"}.get(arch, arch)
    versions = (None if tree.live else tree.json("/fixture/versions.json")) or {}
    return {
        "qemu": which(tree, emulator, "qemu-kvm"),
        "qemu_version": versions.get("qemu"),
        "virsh": which(tree, "virsh"),
        "libvirt_version": versions.get("libvirt"),
        "swtpm": which(tree, "swtpm"),
        "swtpm_setup": which(tree, "swtpm_setup"),
        "uefi": any(tree.glob(pattern) for pattern in UEFI_FIRMWARE),
        "libvirt_sockets": [
            path for path in ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock") if tree.exists(path)
        ],
    }


def which(tree: Tree, *names: str) -> str | None:
    """Return the path of the first of these programs that the tree has."""
    paths = (f"{directory}/{name}" for name in names for directory in PROGRAM_DIRECTORIES)
    return next((path for path in paths if tree.exists(path)), None)
