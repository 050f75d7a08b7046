# SPDX-License-Identifier: Apache-2.0
"""Why KVM works or does not: one cause, what was found, what to do. Pure."""

from __future__ import annotations

from ansible.module_utils.kvm.classify import listing, mapping

TECHNOLOGY = {"vmx": ("Intel VT-x", "kvm_intel"), "svm": ("AMD-V", "kvm_amd")}
USABLE = ("ok", "ok_nested", "ok_unmeasured", "not_probed")
# A change of settings helps: on the machine, in its firmware, or one level below. Otherwise only another machine does.
CAN_BE_ENABLED = (
    "node_denied",
    "node_nodev",
    "node_cgroup",
    "node_dead",
    "node_wrong",
    "busy",
    "resources",
    "node_container",
    "node_missing",
    "blacklisted",
    "no_module",
    "module",
    "firmware",
    "disabled_cmdline",
    "not_exposed",
    "unknown_cpu",
    "no_el2",
    "no_kvm",
    "no_sie",
    "failed",
)
FIRMWARE = (
    'enable {0} (often "Virtualization Technology", "VMX" or "SVM Mode") in firmware setup, save, then power '
    "the machine off and on (a warm reboot does not clear the lock)"
)
BELOW = (
    "enable nested virtualization on the level below (KVM: {module} nested=1 and cpu host-passthrough; VMware: "
    '"Expose hardware assisted virtualization"; Hyper-V: ExposeVirtualizationExtensions; clouds: a type that '
    "allows nesting, or bare metal), or use virt_type=qemu"
)


class Host:
    """The facts of one machine, in the words that the rules below use; any of them may be missing."""

    def __init__(self, facts, probe):
        facts = mapping(facts)
        self.probe = mapping(probe)
        self.probed = isinstance(probe, dict)
        self.arch = str(facts.get("arch") or "x86_64")
        self.cpu, self.kernel = mapping(facts.get("cpu")), mapping(facts.get("kernel"))
        self.node, self.modules = mapping(facts.get("node")), mapping(facts.get("modules"))
        self.loaded, self.on_disk = mapping(self.modules.get("loaded")), listing(self.modules.get("on_disk"))
        self.container, self.vm, self.dmi = facts.get("container"), mapping(facts.get("vm")), mapping(facts.get("dmi"))
        self.technology, self.module = TECHNOLOGY.get(
            str(self.cpu.get("virt_flag")), ("hardware virtualization", "kvm")
        )
        self.registered = bool(self.kernel.get("kvm_registered"))
        self.minor = self.kernel.get("kvm_minor") or 232
        self.log_text = " | ".join(str(line) for line in listing(self.kernel.get("log_lines")))
        self.options = [str(option) for option in listing(self.kernel.get("cmdline"))]
        self.step, self.errno = self.probe.get("failed_step"), self.probe.get("errno")
        self.has_node = bool(self.node.get("exists"))
        self.hypervisor = bool(self.cpu.get("hypervisor"))

    @property
    def wrong_node(self):
        place = (self.node.get("major"), self.node.get("minor"))
        return self.has_node and (not self.node.get("chr") or place != (10, self.minor))

    @property
    def static_node(self):
        """On POWER and Z kmod makes /dev/kvm beforehand: a node that proves nothing, where the hardware says no."""
        return self.arch.startswith(("ppc", "s390")) and not self.registered and not self.cpu.get("virt_flag_shown")

    def log_has(self, *texts):
        return any(text.lower() in self.log_text.lower() for text in texts)


def diagnose(facts, probe):
    """(cause, found, remedy)"""
    host = Host(facts, probe)
    for rule in (_works, _emulated, _node_refused, _vm_refused, _no_node, _not_probed):
        answer = rule(host)
        if answer:
            return answer
    return {"aarch64": _arm, "s390x": _s390, "riscv64": _riscv}.get(
        host.arch, _power if host.arch.startswith("ppc64") else _x86
    )(host)


def _works(host):
    kind = host.probe.get("class")
    if kind == "hardware" and host.hypervisor:
        return "ok_nested", "guests run on the processor, inside a virtual machine (nested)", ""
    if kind == "hardware":
        return "ok", "guests run on the processor", ""
    if kind == "unmeasured":
        reason = host.probe.get("reason") or "speed not measured"
        return "ok_unmeasured", f"KVM is there, but not proven: {reason}", "boot a guest and look at its speed"
    return None


def _emulated(host):
    if host.probe.get("class") != "emulated":
        return None
    reason = host.probe.get("reason") or "too slow"
    exposes = f"a host that exposes {host.technology}"
    if "kvm_pvm" in host.loaded:
        return (
            "software_backend",
            f'/dev/kvm answers, but its backend is the software "PVM" module: {reason}',
            f"stock guest images do not boot under it: use virt_type=qemu, or {exposes}",
        )
    return (
        "emulated",
        f"/dev/kvm answers, but guest code does not run on the processor: {reason}",
        f"use virt_type=qemu, or {exposes} to this kernel",
    )


def _node_refused(host):
    node = host.node
    if host.step == "deadline":
        return (
            "hang",
            f"KVM did not answer in time (at: {host.probe.get('at') or 'unknown'})",
            "read dmesg, report the kernel's version; use virt_type=qemu meanwhile",
        )
    if not host.has_node:
        return None
    if host.wrong_node or host.errno in ("ENOTTY", "EBADFD", "EISDIR") and host.step != "KVM_CREATE_VM":
        kind = "char" if node.get("chr") else "not a character device,"
        return (
            "node_wrong",
            f"/dev/kvm is not the KVM device ({kind} {node.get('major')}:{node.get('minor')})",
            f"rm /dev/kvm; mknod -m 0660 /dev/kvm c 10 {host.minor}; chgrp kvm /dev/kvm "
            "(or udevadm trigger --name-match=kvm)",
        )
    if host.step not in ("open", "stat"):
        return None
    if host.errno == "EACCES" and node.get("nodev"):
        return "node_nodev", "/dev is mounted nodev", "mount -o remount,dev /dev, and correct what mounted it so"
    if host.errno == "EACCES":
        return (
            "node_denied",
            f"/dev/kvm is {node.get('mode')}, uid {node.get('uid')}, gid {node.get('gid')} "
            f"({node.get('group') or 'a group without a name here'}): opening it is refused",
            "add the user to group kvm and make /dev/kvm 0660 root:kvm (udevadm trigger --name-match=kvm)",
        )
    if host.errno == "EPERM":
        return (
            "node_cgroup",
            "opening /dev/kvm is refused by the device cgroup of this container or unit",
            "allow it: DeviceAllow=/dev/kvm rw (systemd, nspawn), --device /dev/kvm (docker, podman), "
            f"lxc.cgroup2.devices.allow = c 10:{host.minor} rwm (lxc)",
        )
    if host.errno in ("ENODEV", "ENXIO") and not host.static_node:
        return (
            "node_dead",
            "/dev/kvm is there but no driver answers: the KVM module did not start",
            f"modprobe {host.module}; if that fails, dmesg says why",
        )
    return None


def _vm_refused(host):
    if not host.step or not host.has_node:
        return None
    if host.step == "KVM_CREATE_VM" and host.errno == "EBUSY":
        holders = [name for name in ("vboxdrv", "vmmon") if name in host.loaded]
        who = f": {', '.join(holders)}" if holders else ""
        unload = ", ".join(f"rmmod {name}" for name in holders) or "VirtualBox: rmmod vboxdrv, VMware: rmmod vmmon"
        return (
            "busy",
            f"another hypervisor holds {host.technology}{who}",
            f"stop its virtual machines and unload it ({unload}), then run again",
        )
    if host.errno in ("ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EAGAIN"):
        return (
            "resources",
            f"{host.step}: {host.errno}",
            "free memory or raise the limit (memory cgroup, RLIMIT_NOFILE), then run again",
        )
    if host.step in ("stat", "open") and (host.errno == "ENOENT" or host.static_node):
        return None
    return (
        "failed",
        f"{host.step}: {host.errno or host.probe.get('error')}",
        "read dmesg; report the kernel's version",
    )


def _no_node(host):
    if host.has_node and host.step not in ("stat", "open") or not host.registered:
        return None
    if host.container:
        return (
            "node_container",
            f"the kernel has KVM, but this container ({host.container}) has no /dev/kvm",
            "give it the device: --bind=/dev/kvm and DeviceAllow=/dev/kvm rw (nspawn), --device /dev/kvm "
            "(docker, podman), a unix-char device (lxd)",
        )
    return (
        "node_missing",
        f"the kernel has registered KVM (10:{host.minor}), but /dev/kvm does not exist",
        "udevadm trigger --name-match=kvm, or mount devtmpfs on /dev",
    )


def _not_probed(host):
    if host.has_node and host.registered and not host.probed:
        return (
            "not_probed",
            "/dev/kvm is there, but nothing was tried on it",
            "run again with probe: full and without facts of another run",
        )
    return None


def _arm(host):
    if "kvm-arm.mode=none" in host.options or host.log_has("KVM disabled from command line"):
        return (
            "disabled_cmdline",
            "KVM is off: kvm-arm.mode=none on the kernel command line",
            "remove it there and reboot",
        )
    if host.log_has("CPU(s) started at EL1", "HYP mode not available"):
        return (
            "no_el2",
            "the kernel was started at EL1, so it cannot be a hypervisor",
            "on a server, firmware or boot loader must hand over to the kernel at EL2; in a virtual machine the "
            "level below must offer nested virtualization; else use virt_type=qemu",
        )
    return (
        "no_kvm",
        "this kernel has not started KVM",
        'look for "kvm" in dmesg: the kernel needs CONFIG_KVM and a start at EL2; else use virt_type=qemu',
    )


def _power(host):
    if host.cpu.get("virt_flag_shown"):
        return "module", "a PowerNV machine without kvm_hv", "modprobe kvm_hv (POWER8 first: ppc64_cpu --smt=off)"
    return (
        "no_hv",
        "a PowerVM/pSeries partition without hypervisor rights",
        "use virt_type=qemu, a PowerNV host, or a partition with KVM enabled (Power10, firmware 1050 and newer)",
    )


def _s390(host):
    if host.cpu.get("virt_flag_shown"):
        return "module", "the kvm module is not loaded", "modprobe kvm"
    return (
        "no_sie",
        "the LPAR or z/VM guest does not offer SIE",
        "ask the administrator of the LPAR or of z/VM for SIE, or use virt_type=qemu",
    )


def _riscv(host):
    if host.cpu.get("virt_flag_shown"):
        return "module", "the kvm module is not loaded", "modprobe kvm"
    return "no_h", "the processor has no hypervisor (H) extension", "use virt_type=qemu, or another host"


def _x86(host):
    shown, raw = host.cpu.get("virt_flag_shown"), mapping(host.cpu.get("raw"))
    locked = host.log_has("disabled by bios", "disabled (by bios)")
    return _flag_shown(host, locked) if shown else _flag_hidden(host, raw, locked)


def _flag_shown(host, locked):
    blocked = [entry for entry in listing(host.modules.get("blocked")) if isinstance(entry, dict)]
    if blocked:
        first = blocked[0]
        file, line = first.get("file"), first.get("line")
        return (
            "blacklisted",
            f'{host.technology} is offered, but "{line}" in {file} keeps {first.get("module")} out',
            f'remove "{line}" from {file}, then '
            + ("reboot" if file == "/proc/cmdline" else f"modprobe {host.module}"),
        )
    if locked:
        return (
            "firmware",
            f"{host.technology} is present but disabled by firmware (so says the kernel log)",
            FIRMWARE.format(host.technology),
        )
    if host.on_disk and host.module not in host.on_disk:
        release = host.kernel.get("release")
        return (
            "no_module",
            f"the kernel {release} has no module {host.module}",
            f"install the full kernel package (Debian: linux-image-amd64; Ubuntu: linux-modules-extra-{release})",
        )
    holders = [name for name in ("vboxdrv", "vmmon") if name in host.loaded]
    hint = f"; {', '.join(holders)} is loaded and may hold the processor: stop its guests first" if holders else ""
    return (
        "module",
        f"{host.technology} is available, but {host.module} is not loaded",
        f"modprobe {host.module}; if it refuses, dmesg says why{hint}",
    )


def _flag_hidden(host, raw, locked):
    present = bool(raw.get("vmx") or raw.get("svm"))
    if present and any(_clears(option) for option in host.options):
        return (
            "disabled_cmdline",
            f"{host.technology} is hidden by clearcpuid= on the kernel command line",
            "remove it there and reboot",
        )
    if (present or locked) and not host.hypervisor:
        how = "the CPUID instruction shows it, the kernel has removed its flag" if present else "so says the kernel log"
        return (
            "firmware",
            f"{host.technology} is present but locked off by firmware ({how})",
            FIRMWARE.format(host.technology),
        )
    if host.hypervisor:
        vendor = host.vm.get("vendor") or host.dmi.get("sys_vendor") or "unknown"
        return (
            "not_exposed",
            f"a virtual machine ({vendor}) whose hypervisor does not expose {host.technology}",
            BELOW.format(module=host.module),
        )
    if not raw:
        return (
            "unknown_cpu",
            f"the kernel shows no {host.technology} and the CPUID instruction could not be asked: "
            "either the processor lacks it or firmware has locked it",
            f"if the processor has it, {FIRMWARE.format(host.technology)}; else use virt_type=qemu or another host",
        )
    return "no_cpu", "the processor has neither Intel VT-x nor AMD-V", "use virt_type=qemu, or another host"


def _clears(option):
    """Whether clearcpuid= hides vmx (4*32+5) or svm (6*32+2)."""
    name, _separator, value = option.partition("=")
    return name == "clearcpuid" and bool(set(value.split(",")) & {"vmx", "svm", "133", "194"})
