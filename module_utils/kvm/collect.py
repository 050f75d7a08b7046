# SPDX-License-Identifier: Apache-2.0
"""Facts that cost nothing: a machine's files, read below a root. No command is run, nothing is changed."""

from __future__ import annotations

import os
import re

from ansible.module_utils.kvm import kernel_log
from ansible.module_utils.kvm.tree import whole_number

FLAGS = (
    "ept",
    "npt",
    "vnmi",
    "avic",
    "x2avic",
    "vgif",
    "pdpe1gb",
    "sev",
    "sev_es",
    "sev_snp",
    "sme",
    "tme",
    "tdx_host_platform",
    "svm_lock",
    "nrip_save",
    "la57",
    "aes",
    "invtsc",
    "constant_tsc",
    "nonstop_tsc",
)
MODULES = (
    "kvm",
    "kvm_intel",
    "kvm_amd",
    "kvm_hv",
    "kvm_pr",
    "kvm_pvm",
    "vhost_net",
    "vhost_vsock",
    "vfio",
    "vfio_pci",
    "tun",
    "nbd",
    "vboxdrv",
    "vmmon",
    "msr",
    "irqbypass",
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


def core(tree):
    """What a diagnosis needs: processor, kernel, node, modules, what we run in."""
    arch = tree.live and os.uname().machine or tree.word("/fixture/arch") or os.uname().machine
    release = tree.word("/proc/sys/kernel/osrelease") or ""
    options = (tree.word("/proc/cmdline") or "").split()
    cpu = processor(tree, arch)
    modules = {
        name: {
            parameter: tree.word(f"/sys/module/{name}/parameters/{parameter}")
            for parameter in tree.names(f"/sys/module/{name}/parameters")
        }
        for name in MODULES
        if tree.exists(f"/sys/module/{name}")
    }
    misc = re.search(r"^\s*(\d{1,6}) kvm$", tree.read("/proc/misc"), re.MULTILINE)
    vendor = modules.get("kvm_intel") or modules.get("kvm_amd") or modules.get("kvm_hv") or {}
    return {
        "arch": arch,
        "cpu": cpu,
        "kernel": {
            "release": release,
            "kvm_registered": bool(misc),
            "kvm_minor": int(misc.group(1)) if misc else None,
            "cmdline": [option for option in options if OPTIONS.match(option)],
            "lockdown": tree.chosen("/sys/kernel/security/lockdown"),
            "apparmor": tree.word("/sys/module/apparmor/parameters/enabled"),
            "selinux": tree.word("/sys/fs/selinux/enforce"),
            "log": "absent",
            "log_lines": [],
        },
        "node": node(tree),
        "modules": {"loaded": modules, "on_disk": modules_on_disk(tree, release), "blocked": blocked(tree, options)},
        "nested": {
            "parameter": vendor.get("nested"),
            "enabled": vendor["nested"] in ON if vendor.get("nested") else None,
            "this_host_is_nested": bool(cpu["hypervisor"] and misc),
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


def processor(tree, arch):
    first, flags, count = {}, [], 0
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
    flag, shown = virtualization_flag(arch, first, flags)
    raw = None if tree.live else tree.json("/fixture/cpuid.json")
    return {
        "vendor": first.get("vendor_id") or first.get("CPU implementer") or first.get("cpu", "").split(",")[0] or None,
        "model": (
            first.get("model name")
            or first.get("cpu")
            or first.get("machine")
            or first.get("CPU part")
            or first.get("uarch")
        ),
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


def emulated_board(tree):
    """Where the processor does not tell of a hypervisor, firmware does."""
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


def virtualization_flag(arch, cpuinfo, flags):
    """(name, whether the kernel shows it); None where the architecture has no such flag."""
    if arch in ("x86_64", "i686"):
        for flag in ("vmx", "svm"):
            if flag in flags:
                return flag, True
        return ("svm" if cpuinfo.get("vendor_id") in ("AuthenticAMD", "HygonGenuine") else "vmx"), False
    if arch == "s390x":
        return "sie", "sie" in flags
    if arch.startswith("ppc64"):
        return ("PowerNV", True) if cpuinfo.get("platform") == "PowerNV" else ("pSeries", None)
    if arch == "riscv64":
        single_letters = re.match(r"rv\d+([a-z]*)", cpuinfo.get("isa", ""))
        return "h", bool(single_letters and "h" in single_letters.group(1))
    return "EL2", None


def node(tree):
    found = tree.node("/dev/kvm")
    nodev = False
    for line in tree.lines("/proc/self/mounts"):
        fields = line.split()
        if len(fields) > 3 and fields[1] in ("/dev", "/dev/kvm"):
            nodev = "nodev" in fields[3].split(",")  # the last mount on it counts
    group = next(
        (
            line.split(":")[0]
            for line in tree.lines("/etc/group")
            if found and line.split(":")[2:3] == [str(found["gid"])]
        ),
        None,
    )
    return dict(found or {}, exists=found is not None, group=group, nodev=nodev)


def modules_on_disk(tree, release):
    text = "".join(tree.read(f"/lib/modules/{release}/{name}") for name in ("modules.builtin", "modules.dep"))
    return sorted({name.replace("-", "_") for name in re.findall(r"/(kvm[-_a-z0-9]*)\.ko", text)})


def blocked(tree, options):
    """Lines that keep a KVM module from being loaded."""
    found = []
    for folder in ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d"):
        for file in tree.glob(f"{folder}/*.conf"):
            for line in tree.lines(file):
                match = re.match(r"\s*blacklist\s+(kvm\S*)", line) or re.match(
                    r"\s*install\s+(kvm\S*)\s+(?:/usr)?/bin/(?:true|false)\b", line
                )
                if match:
                    found.append({"file": file, "line": line.strip(), "module": match.group(1).replace("-", "_")})
    for option in options:
        match = re.match(r"(?:module_blacklist|modprobe\.blacklist)=(.*)", option)
        for name in match.group(1).split(",") if match else ():
            if name.startswith("kvm"):
                found.append({"file": "/proc/cmdline", "line": option, "module": name.replace("-", "_")})
    return found


def container(tree):
    """The kind of container we are in; None on a machine of our own, whatever markers were left on it."""
    if (tree.link("/proc/self/ns/pid") or tree.word("/fixture/pidns")) == INITIAL_PID_NAMESPACE:
        return None
    kind = tree.word("/run/systemd/container")
    if not kind:
        match = re.search(r"(?:^|\0)container=([^\0]+)", tree.read("/proc/1/environ"))
        kind = match and match.group(1)
    if not kind:
        kind = "docker" if tree.exists("/.dockerenv") else "podman" if tree.exists("/run/.containerenv") else None
    return kind


def cgroup(tree):
    unified = any(line.split()[1:3] == ["/sys/fs/cgroup", "cgroup2"] for line in tree.lines("/proc/self/mounts"))
    if unified:
        return {"version": 2, "controllers": (tree.word("/sys/fs/cgroup/cgroup.controllers") or "").split()}
    enabled = [
        line.split()[0]
        for line in tree.lines("/proc/cgroups")
        if not line.startswith("#") and line.split()[3:4] == ["1"]
    ]
    return {"version": 1, "controllers": enabled}


def accounts(tree, names):
    """Users and their groups as a tree's files say; whether they may open the node stands in fixture/users.json."""
    passwd = {line.split(":")[0]: line.split(":") for line in tree.lines("/etc/passwd") if line.count(":") >= 6}
    groups = [line.split(":") for line in tree.lines("/etc/group") if line.count(":") >= 3]
    tried = tree.json("/fixture/users.json") or {}
    gid = (tree.node("/dev/kvm") or {}).get("gid")
    found = {}
    for name in names:
        if name not in passwd:
            found[name] = {"exists": False, "open": None}
            continue
        gids = {whole_number(passwd[name][3])} | {
            whole_number(group[2]) for group in groups if name in group[3].split(",")
        }
        found[name] = {
            "exists": True,
            "uid": whole_number(passwd[name][2]),
            "gids": sorted(gids - {None}),
            "in_node_group": gid is not None and gid in gids,
            "open": tried.get(name) if isinstance(tried.get(name), str) else None,
        }
    return found


def iommu(tree):
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


def huge_pages(tree, folder):
    return {
        str(whole_number(re.sub(r"\D", "", name), 0)): {
            "total": whole_number(tree.word(f"{folder}/{name}/nr_hugepages"), 0),
            "free": whole_number(tree.word(f"{folder}/{name}/free_hugepages"), 0),
        }
        for name in tree.names(folder)
        if name.startswith("hugepages-")
    }


def memory(tree):
    sizes = dict(re.findall(r"^(\w+):\s+(\d+)", tree.read("/proc/meminfo"), re.MULTILINE))
    mounts = [line.split() for line in tree.lines("/proc/self/mounts")]
    return {
        "total_kb": whole_number(sizes.get("MemTotal"), 0),
        "swap_kb": whole_number(sizes.get("SwapTotal"), 0),
        "hugepages": huge_pages(tree, "/sys/kernel/mm/hugepages"),
        "default_hugepage_kb": whole_number(sizes.get("Hugepagesize"), 0),
        "hugetlbfs_mounts": [fields[1] for fields in mounts if fields[2:3] == ["hugetlbfs"]],
        "transparent_hugepages": tree.chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "ksm": tree.word("/sys/kernel/mm/ksm/run"),
        "overcommit": tree.word("/proc/sys/vm/overcommit_memory"),
    }


def numa(tree):
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


def power(tree):
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


def secure_guests(tree):
    def parameter(module, name):
        return tree.word(f"/sys/module/{module}/parameters/{name}")

    return {
        "sev": parameter("kvm_amd", "sev"),
        "sev_es": parameter("kvm_amd", "sev_es"),
        "sev_snp": parameter("kvm_amd", "sev_snp"),
        "tdx": parameter("kvm_intel", "tdx"),
        "sev_device": tree.exists("/dev/sev"),
        "s390_pv": tree.word("/sys/firmware/uv/prot_virt_host"),
    }


def programs(tree, arch):
    def which(*names):
        return next(
            (
                f"{folder}/{name}"
                for name in names
                for folder in ("/usr/bin", "/usr/local/bin", "/bin", "/usr/libexec", "/usr/sbin")
                if tree.exists(f"{folder}/{name}")
            ),
            None,
        )

    emulator = "qemu-system-" + {"ppc64le": "ppc64"}.get(arch, arch)
    versions = (None if tree.live else tree.json("/fixture/versions.json")) or {}
    firmware = ("/usr/share/OVMF/OVMF_CODE*", "/usr/share/AAVMF/*CODE*", "/usr/share/qemu/firmware/*")
    return {
        "qemu": which(emulator, "qemu-kvm"),
        "qemu_version": versions.get("qemu"),
        "virsh": which("virsh"),
        "libvirt_version": versions.get("libvirt"),
        "swtpm": which("swtpm"),
        "swtpm_setup": which("swtpm_setup"),
        "uefi": any(tree.glob(pattern) for pattern in firmware),
        "libvirt_sockets": [
            path for path in ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock") if tree.exists(path)
        ],
    }


def kernel_messages(tree):
    """(state of the log, lines of note)"""
    state, lines = (
        kernel_log.read_log()
        if tree.live
        else ("read" if tree.exists("/fixture/dmesg") else "absent", tree.lines("/fixture/dmesg"))
    )
    return state, kernel_log.interesting(lines)
