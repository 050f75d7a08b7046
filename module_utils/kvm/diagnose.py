# SPDX-License-Identifier: Apache-2.0
"""Diagnose why KVM works or does not: one cause, what was found, what to do. Pure."""

from __future__ import annotations

from ansible.module_utils.kvm.host import Diagnosis, Host
from ansible.module_utils.kvm.not_started import not_started

USABLE = ("ok", "ok_nested", "ok_unmeasured", "not_probed")
# A change of settings gives KVM: on the host, in its firmware, or one level below. Otherwise only another host does.
CAN_BE_ENABLED = (
    *("node_denied", "node_nodev", "node_cgroup", "node_dead", "node_wrong", "node_container", "node_missing"),
    *("busy", "resources", "blacklisted", "no_module", "module", "firmware", "disabled_cmdline", "not_exposed"),
    *("unknown_cpu", "no_el2", "no_kvm", "no_sie", "failed"),
)


def diagnose(facts: object, probe: object) -> Diagnosis:
    """Return the diagnosis of the first rule that applies."""
    host = Host(facts, probe)
    for rule in (_works, _emulated, _hangs, _wrong_node, _node_refused, _vm_refused, _no_node, _not_probed):
        found = rule(host)
        if found:
            return found
    return not_started(host)


def _works(host: Host) -> Diagnosis | None:
    """Diagnose KVM that works, or could not be measured."""
    kind = host.probe.get("class")
    if kind == "hardware" and host.hypervisor:
        return Diagnosis("ok_nested", "guests run on the processor, inside a virtual machine (nested)", "")
    if kind == "hardware":
        return Diagnosis("ok", "guests run on the processor", "")
    if kind == "unmeasured":
        reason = host.probe.get("reason") or "speed not measured"
        return Diagnosis(
            "ok_unmeasured", f"KVM is there, but not verified: {reason}", "boot a guest and look at its speed"
        )
    return None


def _emulated(host: Host) -> Diagnosis | None:
    """Diagnose KVM that does not run guests on the processor."""
    if host.probe.get("class") != "emulated":
        return None
    reason = host.probe.get("reason") or "too slow"
    exposes = f"a host that exposes {host.technology}"
    if "kvm_pvm" in host.loaded:
        return Diagnosis(
            "software_backend",
            f'/dev/kvm can be opened, but its backend is the software "PVM" module: {reason}',
            f"stock guest images do not boot under it: use virt_type=qemu, or {exposes}",
        )
    return Diagnosis(
        "emulated",
        f"/dev/kvm can be opened, but guest code does not run on the processor: {reason}",
        f"use virt_type=qemu, or {exposes} to this kernel",
    )


def _hangs(host: Host) -> Diagnosis | None:
    """Diagnose KVM that does not return."""
    if host.step != "deadline":
        return None
    return Diagnosis(
        "hang",
        f"KVM did not answer in time (at: {host.probe.get('at') or 'unknown'})",
        "read dmesg and report the version of the kernel; until it is solved use virt_type=qemu",
    )


def _wrong_node(host: Host) -> Diagnosis | None:
    """Diagnose a /dev/kvm that is something else."""
    refused = host.errno in ("ENOTTY", "EBADFD", "EISDIR") and host.step != "KVM_CREATE_VM"
    if not host.has_node or not (host.wrong_node or refused):
        return None
    kind = "char" if host.node.get("chr") else "not a character device,"
    return Diagnosis(
        "node_wrong",
        f"/dev/kvm is not the KVM device ({kind} {host.node.get('major')}:{host.node.get('minor')})",
        f"rm /dev/kvm; mknod -m 0660 /dev/kvm c 10 {host.minor}; chgrp kvm /dev/kvm "
        "(or udevadm trigger --name-match=kvm)",
    )


def _node_refused(host: Host) -> Diagnosis | None:
    """Diagnose a /dev/kvm that cannot be opened."""
    node = host.node
    if not host.has_node or host.step not in ("open", "stat"):
        return None
    if host.errno == "EACCES" and node.get("nodev"):
        return Diagnosis(
            "node_nodev",
            "/dev is mounted nodev",
            "mount -o remount,dev /dev, and correct what mounts it with nodev",
        )
    if host.errno == "EACCES":
        return Diagnosis(
            "node_denied",
            f"/dev/kvm is {node.get('mode')}, uid {node.get('uid')}, gid {node.get('gid')} "
            f"({node.get('group') or 'a group without a name here'}): opening it is refused",
            "add the user to group kvm and make /dev/kvm 0660 root:kvm (udevadm trigger --name-match=kvm)",
        )
    if host.errno == "EPERM":
        return Diagnosis(
            "node_cgroup",
            "opening /dev/kvm is refused by the device cgroup of this container or unit",
            "allow it: DeviceAllow=/dev/kvm rw (systemd, nspawn), --device /dev/kvm (docker, podman), "
            f"lxc.cgroup2.devices.allow = c 10:{host.minor} rwm (lxc)",
        )
    if host.errno in ("ENODEV", "ENXIO") and not host.static_node:
        return Diagnosis(
            "node_dead",
            "/dev/kvm is there but has no driver: the KVM module did not start",
            f"modprobe {host.module}; if that fails, read dmesg",
        )
    return None


def _vm_refused(host: Host) -> Diagnosis | None:
    """Diagnose a later step that was refused."""
    if not host.step or not host.has_node:
        return None
    if host.step == "KVM_CREATE_VM" and host.errno == "EBUSY":
        who = f": {', '.join(host.holders)}" if host.holders else ""
        unload = ", ".join(f"rmmod {name}" for name in host.holders)
        return Diagnosis(
            "busy",
            f"another hypervisor holds {host.technology}{who}",
            f"stop its virtual machines and unload it ({unload or 'VirtualBox: rmmod vboxdrv, VMware: rmmod vmmon'}), "
            "then run again",
        )
    if host.errno in ("ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EAGAIN"):
        return Diagnosis(
            "resources",
            f"{host.step}: {host.errno}",
            "free memory or raise the limit (memory cgroup, RLIMIT_NOFILE), then run again",
        )
    if host.step in ("stat", "open") and (host.errno == "ENOENT" or host.static_node):
        return None
    return Diagnosis(
        "failed",
        f"{host.step}: {host.errno or host.probe.get('error')}",
        "read dmesg; report the version of the kernel",
    )


def _no_node(host: Host) -> Diagnosis | None:
    """Diagnose a kernel with KVM where /dev/kvm is missing."""
    if host.has_node and host.step not in ("stat", "open") or not host.registered:
        return None
    if host.container:
        return Diagnosis(
            "node_container",
            f"the kernel has KVM, but this container ({host.container}) has no /dev/kvm",
            "give it the device: --bind=/dev/kvm and DeviceAllow=/dev/kvm rw (nspawn), --device /dev/kvm "
            "(docker, podman), a unix-char device (lxd)",
        )
    return Diagnosis(
        "node_missing",
        f"the kernel has registered KVM (10:{host.minor}), but /dev/kvm does not exist",
        "udevadm trigger --name-match=kvm, or mount devtmpfs on /dev",
    )


def _not_probed(host: Host) -> Diagnosis | None:
    """Diagnose facts without a probe."""
    if host.has_node and host.registered and not host.probed:
        return Diagnosis(
            "not_probed",
            "/dev/kvm is there, but it was not tested",
            "run again with probe: full and without facts of another run",
        )
    return None
