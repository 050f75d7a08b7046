# SPDX-License-Identifier: Apache-2.0
"""Collect what a diagnosis needs from a machine's files, read below a root. Run no command, change nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.kvm import kernel_log
from ansible.module_utils.kvm.kernel_log import KernelLog
from ansible.module_utils.kvm.processor import processor
from ansible.module_utils.kvm.tree import Tree, whole_number

MODULES = (
    *("kvm", "kvm_intel", "kvm_amd", "kvm_hv", "kvm_pr", "kvm_pvm", "vhost_net", "vhost_vsock", "vfio", "vfio_pci"),
    *("tun", "nbd", "vboxdrv", "vmmon", "msr", "irqbypass"),
)
DEVICES = {
    "kvm": "/dev/kvm",
    "tun": "/dev/net/tun",
    "vhost_net": "/dev/vhost-net",
    "vhost_vsock": "/dev/vhost-vsock",
    "vfio": "/dev/vfio/vfio",
    "sev": "/dev/sev",
    "sgx_vepc": "/dev/sgx_vepc",
    "tpm": "/dev/tpmrm0",
    "msr": "/dev/cpu/0/msr",
    "iommufd": "/dev/iommu",
}
OPTIONS = re.compile(
    r"(mitigations|kvm|nokvm|kvm-arm|nosmt|isolcpus|nohz_full|hugepages|hugepagesz|default_hugepagesz"
    r"|transparent_hugepage|mem_encrypt|prot_virt|nested|nomodule|clearcpuid|module|modprobe"
    r"|intel_iommu|amd_iommu|iommu|vfio|pci)[-._=]?"
)
INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # a constant of the kernel, 0xEFFFFFFC
ON = ("Y", "y", "1")
BLACKLIST = re.compile(r"\s*blacklist\s+(kvm\S*)")
DISABLED = re.compile(r"\s*install\s+(kvm\S*)\s+(?:/usr)?/bin/(?:true|false)\b")


def core(tree: Tree) -> dict[str, Any]:
    """Return processor, kernel, node, modules, and the kind of machine or container."""
    arch = (tree.live and os.uname().machine) or tree.word("/fixture/arch") or os.uname().machine
    release = tree.word("/proc/sys/kernel/osrelease") or ""
    options = (tree.word("/proc/cmdline") or "").split()
    cpu, found = processor(tree, arch), kernel(tree, release, options)
    loaded = modules_loaded(tree)
    vendor = loaded.get("kvm_intel") or loaded.get("kvm_amd") or loaded.get("kvm_hv") or {}
    nested = vendor.get("nested")
    return {
        "arch": arch,
        "cpu": cpu,
        "kernel": found,
        "node": node(tree),
        "modules": {"loaded": loaded, "on_disk": modules_on_disk(tree, release), "blocked": blocked(tree, options)},
        "nested": {
            "parameter": nested,
            "enabled": nested in ON if nested else None,
            "this_host_is_nested": bool(cpu["hypervisor"] and found["kvm_registered"]),
        },
        "container": container(tree),
        "vm": {
            "is_vm": cpu["hypervisor"],
            "vendor": (cpu["raw"] or {}).get("hypervisor_vendor") or tree.word("/sys/hypervisor/type"),
        },
        "dmi": {
            name: tree.word(f"/sys/class/dmi/id/{name}")
            for name in ("sys_vendor", "product_name", "bios_vendor", "bios_version", "bios_date")
        },
        "devices": {name: tree.exists(path) for name, path in DEVICES.items()},
        "cgroup": cgroup(tree),
    }


def kernel(tree: Tree, release: str, options: list[str]) -> dict[str, Any]:
    """Return the release, whether KVM is registered, the options of note, and security modules."""
    misc = re.search(r"^\s*(\d{1,6}) kvm$", tree.read("/proc/misc"), re.MULTILINE)
    return {
        "release": release,
        "kvm_registered": bool(misc),
        "kvm_minor": int(misc.group(1)) if misc else None,
        "cmdline": [option for option in options if OPTIONS.match(option)],
        "lockdown": tree.chosen("/sys/kernel/security/lockdown"),
        "apparmor": tree.word("/sys/module/apparmor/parameters/enabled"),
        "selinux": tree.word("/sys/fs/selinux/enforce"),
        "log": "absent",
        "log_lines": [],
    }


def modules_loaded(tree: Tree) -> dict[str, dict[str, str | None]]:
    """Return the loaded modules of note with their parameters."""
    return {
        name: {
            parameter: tree.word(f"/sys/module/{name}/parameters/{parameter}")
            for parameter in tree.names(f"/sys/module/{name}/parameters")
        }
        for name in MODULES
        if tree.exists(f"/sys/module/{name}")
    }


def node(tree: Tree) -> dict[str, Any]:
    """Return the device node, the name of its group, and whether its mount forbids devices."""
    found = tree.node("/dev/kvm")
    nodev = False
    for line in tree.lines("/proc/self/mounts"):
        fields = line.split()
        if len(fields) > 3 and fields[1] in ("/dev", "/dev/kvm"):
            nodev = "nodev" in fields[3].split(",")  # the last mount on it counts
    groups = (line.split(":") for line in tree.lines("/etc/group")) if found else ()
    group = next((fields[0] for fields in groups if found and fields[2:3] == [str(found["gid"])]), None)
    return {**(found or {}), "exists": found is not None, "group": group, "nodev": nodev}


def modules_on_disk(tree: Tree, release: str) -> list[str]:
    """Return the KVM modules of the kernel package."""
    text = "".join(tree.read(f"/lib/modules/{release}/{name}") for name in ("modules.builtin", "modules.dep"))
    return sorted({name.replace("-", "_") for name in re.findall(r"/(kvm[-_a-z0-9]*)\.ko", text)})


def blocked(tree: Tree, options: list[str]) -> list[dict[str, str]]:
    """Return the lines of modprobe.d and the options of the kernel that keep a KVM module from being loaded."""
    found = []
    for directory in ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d"):
        for file in tree.glob(f"{directory}/*.conf"):
            for line in tree.lines(file):
                match = BLACKLIST.match(line) or DISABLED.match(line)
                if match:
                    found.append({"file": file, "line": line.strip(), "module": match.group(1).replace("-", "_")})
    for option in options:
        match = re.match(r"(?:module_blacklist|modprobe\.blacklist)=(.*)", option)
        for name in match.group(1).split(",") if match else ():
            if name.startswith("kvm"):
                found.append({"file": "/proc/cmdline", "line": option, "module": name.replace("-", "_")})
    return found


def container(tree: Tree) -> str | None:
    """Return the kind of container; None on a machine, whatever markers were left on it."""
    if (tree.link("/proc/self/ns/pid") or tree.word("/fixture/pidns")) == INITIAL_PID_NAMESPACE:
        return None
    kind = tree.word("/run/systemd/container")
    if not kind:
        match = re.search(r"(?:^|\0)container=([^\0]+)", tree.read("/proc/1/environ"))
        kind = match and match.group(1)
    if not kind:
        kind = "docker" if tree.exists("/.dockerenv") else "podman" if tree.exists("/run/.containerenv") else None
    return kind


def cgroup(tree: Tree) -> dict[str, Any]:
    """Return the version and the controllers of control groups."""
    unified = any(line.split()[1:3] == ["/sys/fs/cgroup", "cgroup2"] for line in tree.lines("/proc/self/mounts"))
    if unified:
        return {"version": 2, "controllers": (tree.word("/sys/fs/cgroup/cgroup.controllers") or "").split()}
    enabled = [
        line.split()[0]
        for line in tree.lines("/proc/cgroups")
        if not line.startswith("#") and line.split()[3:4] == ["1"]
    ]
    return {"version": 1, "controllers": enabled}


def accounts(tree: Tree, names: Iterable[str]) -> dict[str, Any]:
    """Return users and their groups by the files of a tree; fixture/users.json has what opening the node gave."""
    passwd = {line.split(":")[0]: line.split(":") for line in tree.lines("/etc/passwd") if line.count(":") >= 6}
    groups = [line.split(":") for line in tree.lines("/etc/group") if line.count(":") >= 3]
    tried = tree.json("/fixture/users.json") or {}
    gid = (tree.node("/dev/kvm") or {}).get("gid")
    found: dict[str, Any] = {}
    for name in names:
        if name not in passwd:
            found[name] = {"exists": False, "open": None}
            continue
        uid, primary = whole_number(passwd[name][2]), whole_number(passwd[name][3])
        known = [primary, *(whole_number(group[2]) for group in groups if name in group[3].split(","))]
        gids = {number for number in known if number is not None}
        found[name] = {
            "exists": True,
            "uid": uid,
            "gids": sorted(gids),
            "in_node_group": gid is not None and gid in gids,
            "open": tried.get(name) if isinstance(tried.get(name), str) else None,
        }
    return found


def kernel_messages(tree: Tree) -> KernelLog:
    """Return the state of the kernel log and its lines about virtualization."""
    if tree.live:
        found = kernel_log.read_log()
    else:
        state = "read" if tree.exists("/fixture/dmesg") else "absent"
        found = KernelLog(state, tree.lines("/fixture/dmesg"))
    return KernelLog(found.state, kernel_log.interesting(found.lines))
