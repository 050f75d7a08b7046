# SPDX-License-Identifier: Apache-2.0
"""The policy for a host: its default, and the values that it may have. Pure."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.message import Message

POLICY: dict[str, Any] = {
    "require": "hardware",
    "allow_nested": True,
    "max_exit_ns": 10000,
    "users": ["nova", "libvirt-qemu"],
    "nested": None,
    "isa_level": None,
    "min_vcpus": 0,
    "iommu": None,
    "hugepages": {},
    "secure": [],
    "vtpm": False,
    "devices": {},
    "release": None,
    "warnings_are_errors": False,
}
DEVICE_RULES = {"tun": "fail", "vhost_net": "warn", "vfio": "skip"}
OTHER_DEVICES = ("vhost_vsock", "sev", "sgx_vepc", "tpm", "iommufd")  # checked only where the policy names them
ISA_LEVELS = ("i686", "x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4")
SECURE = ("sev", "sev-es", "sev-snp", "tdx", "s390-pv")
# libvirt and QEMU below which a Nova release refuses to start (nova/virt/libvirt/driver.py of its tags)
FLOORS = {
    "ocata": ("1.2.1", "1.5.3"),
    "rocky": ("1.3.1", "2.5.0"),
    "victoria": ("5.0.0", "4.0.0"),
    "zed": ("6.0.0", "4.2.0"),
    "antelope": ("6.0.0", "4.2.0"),
    "bobcat": ("7.0.0", "5.2.0"),
    "caracal": ("7.0.0", "5.2.0"),
    "epoxy": ("8.0.0", "6.2.0"),
    "flamingo": ("8.0.0", "6.2.0"),
    "gazpacho": ("8.0.0", "6.2.0"),
    "hibiscus": ("8.0.0", "6.2.0"),
}
RELEASE_IDS = {
    "2023.1": "antelope",
    "2023.2": "bobcat",
    "2024.1": "caracal",
    "2025.1": "epoxy",
    "2025.2": "flamingo",
    "2026.1": "gazpacho",
    "2026.2": "hibiscus",
}


def policy_problem(policy: dict[str, Any]) -> Message | None:
    """Return what is wrong with a policy beyond the types of its options; None if nothing."""
    known = (*DEVICE_RULES, *OTHER_DEVICES)
    for name, rule in policy["devices"].items():
        if name not in known:
            return Message(f"devices has {name}; known are {', '.join(known)}.")
        if rule not in ("fail", "warn", "skip"):
            return Message(f"devices.{name} is {rule}; choose fail, warn or skip.")
    for size, count in policy["hugepages"].items():
        if not (str(size).isdigit() and str(count).isdigit()):
            return Message(f"hugepages has {size}: {count}; give pages by their size in kB, as 2048: 512.")
    for name in ("min_vcpus", "max_exit_ns"):
        if policy[name] < 0:
            return Message(f"{name} is {policy[name]}; give 0 or more.")
    return None
