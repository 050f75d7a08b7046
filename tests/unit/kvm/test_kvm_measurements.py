# SPDX-License-Identifier: Apache-2.0
"""Classification by measurements: thresholds; and the decision table of diagnosis on facts made for it."""

from __future__ import annotations

import copy

import pytest
from ansible.module_utils.kvm.classify import classify, ratios
from ansible.module_utils.kvm.diagnose import diagnose

FAST = {
    "arch": "x86_64",
    "api_version": 12,
    "native_per_second": 3e9,
    "tests": {"long_hello": {"ok": True}, "sse2": {"ok": True}},
    "rates": {"long64": {"per_second": 2.9e9, "emulated_share": 0.0}, "real16": {"per_second": 1e6}},
}
STARVED = {"exit": "TIMEOUT", "starved": True}
SILENT = {"exit": "TIMEOUT", "starved": False}


def probe(**changes):
    """Return FAST with rates.long64 (loop), tests or top-level keys changed; None removes a key."""
    changed = copy.deepcopy(FAST)
    loop = changes.pop("loop", {})
    changed["rates"]["long64"].update(loop)
    changed["tests"].update(changes.pop("tests", {}))
    changed["rates"]["long64"] = {
        name: value for name, value in changed["rates"]["long64"].items() if value is not None
    }
    changed.update(changes)
    return {name: value for name, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    "measured, wanted, text",
    [
        (probe(), "hardware", "97 % of native speed"),
        (probe(tests={"real_hello": {"ok": False}}), "hardware", ""),  # real mode is not part of the result
        (probe(tests={"irqchip": {"ok": False}}), "hardware", ""),
        (probe(tests={"sse2": {"ok": False}}), "emulated", "sse2"),
        (probe(tests={"cmpxchg16b": {"ok": False}, "avx": {}}), "emulated", "avx, cmpxchg16b"),
        (probe(loop={"emulated_share": 0.51}), "emulated", "interprets"),
        (probe(loop={"emulated_share": 0.5}), "hardware", ""),
        (probe(loop={"per_second": 0.0201 * 3e9}), "hardware", ""),
        (probe(loop={"per_second": 0.0199 * 3e9}), "emulated", "2 % of native"),
        (probe(loop={"per_second": 0.101 * 3e9, "emulated_share": None}), "hardware", ""),
        (probe(loop={"per_second": 0.099 * 3e9, "emulated_share": None}), "emulated", ""),
        (probe(loop={"per_second": 4.9e7, "emulated_share": None}, native_per_second=None), "emulated", "loops/s"),
        (probe(loop={"per_second": 5.1e7, "emulated_share": None}, native_per_second=None), "hardware", "loops/s"),
        (probe(loop={"per_second": 0}), "unmeasured", "too busy"),
        (probe(loop={"stopped_by": {"exit": "SHUTDOWN"}}), "emulated", "SHUTDOWN"),
        (probe(rates={}), "emulated", "64-bit kernel mode"),
        (probe(rates={}, tests={"long_hello": {"ok": False, "got": STARVED}}), "unmeasured", "too busy"),
        (probe(rates={}, tests={"long_hello": {"ok": False, "got": SILENT}}), "emulated", "does not run"),
        (probe(tests={"avx": {"ok": False, "got": STARVED}}), "unmeasured", "avx"),
        (probe(tests={"avx": {"ok": False, "got": STARVED}, "sse2": {"ok": False}}), "emulated", "avx, sse2"),
        (probe(api_version=11), "unusable", "11"),
        (probe(api_version=None), "unusable", "None"),
        (probe(arch="ppc64le"), "unmeasured", "architecture"),
        (probe(level="open"), "unmeasured", "as requested"),
        ({"failed_step": "open", "errno": "EACCES"}, "unusable", "EACCES"),
        ({"failed_step": "deadline", "at": "sse2", "error": "no answer"}, "unusable", "sse2"),
        ({"failed_step": "deadline", "error": "no answer in 2 s"}, "unusable", "deadline failed: no answer in 2 s"),
        ({"failed_step": "deadline", "at": "open", "starved": True, "error": "no answer"}, "unmeasured", "too busy"),
        ({"failed_step": "internal", "error": "this Python lacks _ctypes"}, "unmeasured", "_ctypes"),
        (probe(failed_step="devices", errno="EMFILE"), "hardware", ""),  # what was measured before counts
        ({}, "unusable", ""),
        (None, "unusable", ""),
    ],
)
def test_class(measured, wanted, text):
    kind, reason = classify(measured)
    assert (kind, text in reason) == (wanted, True), reason


def test_user_mode_speed_is_no_evidence():
    only_user_mode = probe(loop={"per_second": 1e6, "emulated_share": 1.0})
    only_user_mode["rates"]["user64"] = {"per_second": 3e9, "emulated_share": 0.0}
    assert classify(only_user_mode)[0] == "emulated"
    assert ratios(only_user_mode)["user64"] == 1.0


NODE = {"exists": True, "chr": True, "major": 10, "minor": 232, "mode": "0660", "uid": 0, "gid": 104, "group": "kvm"}
HOST = {
    "arch": "x86_64",
    "cpu": {"virt_flag": "vmx", "virt_flag_shown": True, "raw": {"vmx": True}, "hypervisor": False},
    "kernel": {"kvm_registered": True, "kvm_minor": 232, "cmdline": [], "log_lines": [], "release": "6.1.0"},
    "node": NODE,
    "modules": {"loaded": {"kvm": {}, "kvm_intel": {}}, "on_disk": ["kvm", "kvm_intel"], "blocked": []},
    "container": None,
    "vm": {},
    "dmi": {},
}


def host(**changes):
    """Return HOST with parts updated, as by node={"gid": 1} or container="lxc"."""
    changed = copy.deepcopy(HOST)
    for name, value in changes.items():
        if isinstance(value, dict):
            changed[name].update(value)
        else:
            changed[name] = value
    return changed


def stopped(step, errno):
    return {"class": "unusable", "failed_step": step, "errno": errno, "error": "refused"}


NO_NODE = {"exists": False}
NO_KVM = {"kvm_registered": False}
HIDDEN = {"virt_flag_shown": False}
VM = {"hypervisor": True, "virt_flag_shown": False, "raw": {"hypervisor_bit": True}}
ABSENT = stopped("stat", "ENOENT")


@pytest.mark.parametrize(
    "facts, result, cause, remedy",
    [
        (host(), {"class": "hardware"}, "ok", ""),
        (host(cpu={"hypervisor": True}), {"class": "hardware"}, "ok_nested", ""),
        (host(), {"class": "unmeasured", "reason": "too busy"}, "ok_unmeasured", "boot a guest"),
        (host(), {"class": "emulated"}, "emulated", "virt_type=qemu"),
        (host(modules={"loaded": {"kvm_pvm": {}}}), {"class": "emulated"}, "software_backend", "exposes Intel VT-x"),
        (host(), stopped("open", "EACCES"), "node_denied", "0660 root:kvm"),
        (host(node={"nodev": True}), stopped("open", "EACCES"), "node_nodev", "remount,dev"),
        (host(), stopped("open", "EPERM"), "node_cgroup", "DeviceAllow=/dev/kvm rw"),
        (host(), stopped("open", "EIO"), "failed", "dmesg"),
        (host(), stopped("open", "ENODEV"), "node_dead", "modprobe kvm_intel"),
        (host(), stopped("open", "ENXIO"), "node_dead", "modprobe kvm_intel"),
        (host(node={"minor": 200}), stopped("KVM_GET_API_VERSION", "EBADFD"), "node_wrong", "mknod"),
        (host(node={"chr": False}), stopped("KVM_GET_API_VERSION", "ENOTTY"), "node_wrong", "10 232"),
        (host(node={"major": 240, "minor": 1}), stopped("open", "ENXIO"), "node_wrong", "mknod"),
        (host(), stopped("KVM_GET_API_VERSION", "ENOTTY"), "node_wrong", "mknod"),
        (host(node={"minor": 500}, kernel={"kvm_minor": 500}), {"class": "hardware"}, "ok", ""),
        (host(), stopped("KVM_CREATE_VM", "EBUSY"), "busy", "vboxdrv"),
        (host(modules={"loaded": {"vmmon": {}}}), stopped("KVM_CREATE_VM", "EBUSY"), "busy", "(rmmod vmmon)"),
        (host(), stopped("KVM_CREATE_VM", "ENOMEM"), "resources", "memory cgroup"),
        (host(), stopped("KVM_CREATE_VM", "EMFILE"), "resources", "RLIMIT_NOFILE"),
        (host(), stopped("KVM_CREATE_VCPU", "EINVAL"), "failed", "dmesg"),
        (host(), {"class": "unusable", "failed_step": "deadline", "at": "sse2"}, "hang", "dmesg"),
        (host(), {"class": "unmeasured", "failed_step": "deadline", "starved": True}, "ok_unmeasured", "boot a guest"),
        (host(node=NO_NODE, container="lxc"), ABSENT, "node_container", "lxd"),
        (host(node=NO_NODE), ABSENT, "node_missing", "udevadm trigger"),
        (host(), None, "not_probed", "probe: full"),
        (host(node=NO_NODE), None, "node_missing", "udevadm"),
        (
            host(
                node=NO_NODE,
                kernel=NO_KVM,
                modules={"blocked": [{"file": "/etc/x.conf", "line": "blacklist kvm", "module": "kvm"}]},
            ),
            ABSENT,
            "blacklisted",
            'remove "blacklist kvm" from /etc/x.conf',
        ),
        (
            host(
                node=NO_NODE,
                kernel=NO_KVM,
                modules={
                    "blocked": [{"file": "/proc/cmdline", "line": "module_blacklist=kvm_intel", "module": "kvm_intel"}]
                },
            ),
            ABSENT,
            "blacklisted",
            "then reboot",
        ),
        (host(node=NO_NODE, kernel=NO_KVM, modules={"on_disk": ["kvm"]}), ABSENT, "no_module", "linux-image-amd64"),
        (host(node=NO_NODE, kernel=NO_KVM), ABSENT, "module", "modprobe kvm_intel"),
        (host(node=NO_NODE, kernel=NO_KVM, modules={"on_disk": []}), ABSENT, "module", "modprobe kvm_intel"),
        (
            host(node=NO_NODE, kernel={"kvm_registered": False, "log_lines": ["kvm: disabled by bios"]}),
            ABSENT,
            "firmware",
            "power the machine off",
        ),
        (host(node=NO_NODE, kernel=NO_KVM, cpu=HIDDEN), ABSENT, "firmware", "power the machine off"),
        (
            host(
                node=NO_NODE,
                kernel={"kvm_registered": False, "log_lines": ["SVM disabled (by BIOS) in MSR_VM_CR on CPU 0"]},
                cpu={"virt_flag_shown": False, "raw": None, "virt_flag": "svm"},
            ),
            ABSENT,
            "firmware",
            "enable AMD-V",
        ),
        (
            host(node=NO_NODE, kernel={"kvm_registered": False, "cmdline": ["clearcpuid=133"]}, cpu=HIDDEN),
            ABSENT,
            "disabled_cmdline",
            "reboot",
        ),
        (
            host(node=NO_NODE, kernel={"kvm_registered": False, "cmdline": ["clearcpuid=514"]}, cpu=HIDDEN),
            ABSENT,
            "firmware",
            "power",
        ),
        (host(node=NO_NODE, kernel=NO_KVM, cpu=VM), ABSENT, "not_exposed", "kvm_intel nested=1"),
        (host(node=NO_NODE, kernel=NO_KVM, cpu=dict(VM, raw=None)), ABSENT, "not_exposed", "nested"),
        (host(node=NO_NODE, kernel=NO_KVM, cpu=dict(HIDDEN, raw={"vmx": False})), ABSENT, "no_cpu", "another host"),
        (host(node=NO_NODE, kernel=NO_KVM, cpu=dict(HIDDEN, raw=None)), ABSENT, "unknown_cpu", "another host"),
        (
            host(
                arch="aarch64",
                node=NO_NODE,
                kernel={"kvm_registered": False, "log_lines": ["CPU features: detected: 32-bit EL1 Support"]},
            ),
            ABSENT,
            "no_kvm",
            "CONFIG_KVM",
        ),
        (
            host(
                arch="aarch64",
                node=NO_NODE,
                kernel={"kvm_registered": False, "log_lines": ["CPU: All CPU(s) started at EL1"]},
            ),
            ABSENT,
            "no_el2",
            "EL2",
        ),
        (
            host(arch="aarch64", node=NO_NODE, kernel={"kvm_registered": False, "cmdline": ["kvm-arm.mode=none"]}),
            ABSENT,
            "disabled_cmdline",
            "reboot",
        ),
        (
            host(arch="ppc64le", node=NO_NODE, kernel=NO_KVM, cpu={"virt_flag_shown": True}),
            ABSENT,
            "module",
            "modprobe kvm_hv",
        ),
        (host(arch="ppc64le", node=NO_NODE, kernel=NO_KVM, cpu={"virt_flag_shown": None}), ABSENT, "no_hv", "PowerNV"),
        (
            host(arch="ppc64le", kernel=NO_KVM, cpu={"virt_flag_shown": None}),
            stopped("open", "ENODEV"),
            "no_hv",
            "PowerNV",
        ),
        (host(arch="s390x", node=NO_NODE, kernel=NO_KVM), ABSENT, "module", "modprobe kvm"),
        (host(arch="s390x", node=NO_NODE, kernel=NO_KVM, cpu=HIDDEN), ABSENT, "no_sie", "SIE"),
        (host(arch="riscv64", node=NO_NODE, kernel=NO_KVM), ABSENT, "module", "modprobe kvm"),
        (host(arch="riscv64", node=NO_NODE, kernel=NO_KVM, cpu=HIDDEN), ABSENT, "no_h", "virt_type=qemu"),
    ],
)
def test_cause(facts, result, cause, remedy):
    found = diagnose(facts, result)
    assert found[0] == cause
    assert remedy in found[2]
    assert found[1]
