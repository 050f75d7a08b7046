# SPDX-License-Identifier: Apache-2.0
"""Diagnose why a kernel has not started KVM, by architecture. Pure."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.kvm.classify import listing, mapping
from ansible.module_utils.kvm.host import Diagnosis, Host

FIRMWARE = (
    'enable {0} (often "Virtualization Technology", "VMX" or "SVM Mode") in firmware setup, save, then power '
    "the machine off and on (a warm reboot does not clear the lock)"
)
BELOW = (
    "enable nested virtualization on the level below (KVM: {module} nested=1 and cpu host-passthrough; VMware: "
    '"Expose hardware assisted virtualization"; Hyper-V: ExposeVirtualizationExtensions; clouds: a type that '
    "allows nesting, or bare metal), or use virt_type=qemu"
)


def not_started(host: Host) -> Diagnosis:
    """Return why the kernel of a host has not started KVM."""
    rules = {"aarch64": _arm, "s390x": _s390, "riscv64": _riscv}
    return rules.get(host.arch, _power if host.arch.startswith("ppc64") else _x86)(host)


def _arm(host: Host) -> Diagnosis:
    """Diagnose arm64, where KVM is built in and needs a start at EL2."""
    if "kvm-arm.mode=none" in host.options or host.log_has("KVM disabled from command line"):
        return Diagnosis(
            "disabled_cmdline",
            "KVM is off: kvm-arm.mode=none on the kernel command line",
            "remove it there and reboot",
        )
    if host.log_has("CPU(s) started at EL1", "HYP mode not available"):
        return Diagnosis(
            "no_el2",
            "the kernel was started at EL1, so it cannot be a hypervisor",
            "on a server, firmware or boot loader must start the kernel at EL2; in a virtual machine the "
            "level below must offer nested virtualization; else use virt_type=qemu",
        )
    return Diagnosis(
        "no_kvm",
        "this kernel has not started KVM",
        'look for "kvm" in dmesg: the kernel needs CONFIG_KVM and a start at EL2; else use virt_type=qemu',
    )


def _power(host: Host) -> Diagnosis:
    """Diagnose POWER."""
    if host.flag_shown:
        return Diagnosis(
            "module", "a PowerNV machine without kvm_hv", "modprobe kvm_hv (POWER8 first: ppc64_cpu --smt=off)"
        )
    return Diagnosis(
        "no_hv",
        "a PowerVM/pSeries partition without hypervisor rights",
        "use virt_type=qemu, a PowerNV host, or a partition with KVM enabled (Power10, firmware 1050 and newer)",
    )


def _s390(host: Host) -> Diagnosis:
    """Diagnose Z."""
    if host.flag_shown:
        return Diagnosis("module", "the kvm module is not loaded", "modprobe kvm")
    return Diagnosis(
        "no_sie",
        "the LPAR or z/VM guest does not offer SIE",
        "ask the administrator of the LPAR or of z/VM for SIE, or use virt_type=qemu",
    )


def _riscv(host: Host) -> Diagnosis:
    """Diagnose RISC-V."""
    if host.flag_shown:
        return Diagnosis("module", "the kvm module is not loaded", "modprobe kvm")
    return Diagnosis("no_h", "the processor has no hypervisor (H) extension", "use virt_type=qemu, or another host")


def _x86(host: Host) -> Diagnosis:
    """Diagnose x86, where the kernel hides the flag of the processor if firmware has locked it."""
    locked = host.log_has("disabled by bios", "disabled (by bios)")
    return _flag_shown(host, locked) if host.flag_shown else _flag_hidden(host, mapping(host.cpu.get("raw")), locked)


def _flag_shown(host: Host, locked: bool) -> Diagnosis:
    """Diagnose x86 where the kernel shows the flag: the module is kept out, missing or not loaded."""
    blocked = [entry for entry in listing(host.modules.get("blocked")) if isinstance(entry, dict)]
    if blocked:
        return _blocked(host, blocked[0])
    if locked:
        return Diagnosis(
            "firmware",
            f"{host.technology} is present but disabled by firmware (according to the kernel log)",
            FIRMWARE.format(host.technology),
        )
    if host.on_disk and host.module not in host.on_disk:
        release = host.kernel.get("release")
        return Diagnosis(
            "no_module",
            f"the kernel {release} has no module {host.module}",
            f"install the full kernel package (Debian: linux-image-amd64; Ubuntu: linux-modules-extra-{release})",
        )
    names = ", ".join(host.holders)
    hint = f"; {names} is loaded and may hold the processor: stop its guests first" if names else ""
    return Diagnosis(
        "module",
        f"{host.technology} is available, but {host.module} is not loaded",
        f"modprobe {host.module}; if that fails, read dmesg{hint}",
    )


def _blocked(host: Host, entry: dict[str, Any]) -> Diagnosis:
    """Diagnose a module that a line of the configuration keeps out."""
    file, line = entry.get("file"), entry.get("line")
    then = "reboot" if file == "/proc/cmdline" else f"modprobe {host.module}"
    return Diagnosis(
        "blacklisted",
        f'{host.technology} is offered, but "{line}" in {file} keeps {entry.get("module")} out',
        f'remove "{line}" from {file}, then {then}',
    )


def _flag_hidden(host: Host, raw: dict[str, Any], locked: bool) -> Diagnosis:
    """Diagnose x86 where the kernel does not show the flag; raw is what the CPUID instruction returns."""
    present = bool(raw.get("vmx") or raw.get("svm"))
    if present and any(_clears(option) for option in host.options):
        return Diagnosis(
            "disabled_cmdline",
            f"{host.technology} is hidden by clearcpuid= on the kernel command line",
            "remove it there and reboot",
        )
    if (present or locked) and not host.hypervisor:
        how = (
            "the CPUID instruction shows it, the kernel has removed its flag"
            if present
            else "according to the kernel log"
        )
        return Diagnosis(
            "firmware",
            f"{host.technology} is present but locked off by firmware ({how})",
            FIRMWARE.format(host.technology),
        )
    if host.hypervisor:
        vendor = host.vm.get("vendor") or host.dmi.get("sys_vendor") or "unknown"
        return Diagnosis(
            "not_exposed",
            f"a virtual machine ({vendor}) whose hypervisor does not expose {host.technology}",
            BELOW.format(module=host.module),
        )
    if not raw:
        return Diagnosis(
            "unknown_cpu",
            f"the kernel shows no {host.technology} and the CPUID instruction could not be run: "
            "either the processor lacks it or firmware has locked it",
            f"if the processor has it, {FIRMWARE.format(host.technology)}; else use virt_type=qemu or another host",
        )
    return Diagnosis("no_cpu", "the processor has neither Intel VT-x nor AMD-V", "use virt_type=qemu, or another host")


def _clears(option: str) -> bool:
    """Tell whether an option of the kernel hides vmx (bit 4*32+5) or svm (6*32+2): clearcpuid=."""
    name, _separator, value = option.partition("=")
    return name == "clearcpuid" and bool(set(value.split(",")) & {"vmx", "svm", "133", "194"})
