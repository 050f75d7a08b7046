# SPDX-License-Identifier: Apache-2.0
"""Evaluate a host: compare its facts with a policy, and recommend what Nova should use. Pure.

What is unknown is "skip" or "warn", never "pass".
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from ansible.module_utils.kvm import guest_checks, host_checks
from ansible.module_utils.kvm.classify import known_class, mapping
from ansible.module_utils.kvm.comparison import Comparison, Row
from ansible.module_utils.kvm.diagnose import CAN_BE_ENABLED, USABLE
from ansible.module_utils.kvm.host_checks import DEVICE_MODULES

CHECKS = (
    guest_checks.acceleration,
    guest_checks.bare_metal,
    guest_checks.access,
    guest_checks.exit_cost,
    guest_checks.real_mode,
    guest_checks.interrupt_controller,
    guest_checks.repeated_tests,
    guest_checks.instruction_set,
    guest_checks.nested_guests,
    guest_checks.max_vcpus,
    host_checks.iommu,
    host_checks.hugepages,
    host_checks.secure,
    host_checks.vtpm,
    host_checks.devices,
    host_checks.release,
    host_checks.unread,
)
# Causes that the repairs of a module or of the node, made on a running system, put right.
MODULE_CAUSES = ("module", "node_dead")
NODE_CAUSES = ("node_missing", "node_wrong", "node_denied")
# Nova's cpu_mode when guests are emulated. QEMU's default x86 model lacks what images built for x86-64-v2 need.
EMULATED_CPU = {"x86_64": ("custom", ["Nehalem"]), "aarch64": ("custom", ["cortex-a57"])}


class Repair(TypedDict, total=False):
    """An entry of the option `repairs` of kvm_repair; act is module, parameter, node or group."""

    act: str
    name: str
    module: str
    value: str
    user: str


class Recommendation(NamedTuple):
    """Options of nova.conf for the host as it is now."""

    virt_type: str
    cpu_mode: str
    cpu_models: list[str]


def evaluate(facts: object, policy: dict[str, Any]) -> dict[str, Any]:
    """Return the result of one host, as kvm_verify documents it."""
    host = Comparison(facts, policy)
    rows = [row for check in CHECKS for row in check(host)]
    warnings = [row for row in rows if row.status == "warn"]
    strict = bool(host.policy["warnings_are_errors"])
    failing = [row for row in rows if row.status == "fail" or strict and row.status == "warn"]
    shown = failing or warnings
    recommended = recommend(host)
    repairs = repairs_of(host, {row.name for row in rows if row.status in ("fail", "warn")})
    return {
        "result": "fail" if failing else "warn" if warnings else "pass",
        "class": _class_of(host),
        "cause": host.diagnosis.cause,
        "can_be_enabled": host.diagnosis.cause in CAN_BE_ENABLED or host.usable and host.qemu_denied,
        "recommended_virt_type": recommended.virt_type,
        "recommended": {"cpu_mode": recommended.cpu_mode, "cpu_models": recommended.cpu_models},
        "checks": [row._asdict() for row in rows],
        "failed_checks": [row.name for row in failing],
        "remedy": shown[0].remedy if shown else "",
        "repairs": repairs,
        "repairable": bool(failing) and all(_repaired(row, host.diagnosis.cause, repairs) for row in failing),
        "msg": "; ".join(_sentence(row) for row in shown) or f"{host.diagnosis.cause}: {host.diagnosis.found}",
    }


def recommend(host: Comparison) -> Recommendation:
    """Return the options of nova.conf that work as things are now."""
    if host.usable and not host.qemu_denied:
        return Recommendation("kvm", "host-passthrough" if host.arch == "aarch64" else "host-model", [])
    cpu_mode, cpu_models = EMULATED_CPU.get(host.arch, ("none", []))
    return Recommendation("qemu", cpu_mode, cpu_models)


def repairs_of(host: Comparison, failing: set[str]) -> list[Repair]:
    """Return what kvm_repair can put right without a reboot; failing names the rows that fail or warn."""
    cause = host.diagnosis.cause
    repairs: list[Repair] = []
    if cause in MODULE_CAUSES:
        repairs.append({"act": "module", "name": {"ppc64le": "kvm_hv"}.get(host.arch, host.kvm_module)})
    if cause in NODE_CAUSES or host.denied and cause != "node_nodev":
        repairs.append({"act": "node"})
    if host.denied or cause in USABLE + NODE_CAUSES + MODULE_CAUSES:
        users = {name: mapping(host.users.get(name)) for name in host.policy["users"]}
        repairs += [
            {"act": "group", "user": name}
            for name, user in users.items()
            if user.get("exists") and user.get("open") != "ok"
        ]
    if "nested" in failing and host.kvm_module != "kvm":
        value = str(int(bool(host.policy["nested"])))
        repairs.append({"act": "parameter", "module": host.kvm_module, "name": "nested", "value": value})
    repairs += [
        {"act": "module", "name": DEVICE_MODULES[name].replace("-", "_")}
        for name in ("tun", "vhost_net", "vhost_vsock")
        if name in failing
    ]
    return repairs


def _repaired(row: Row, cause: str, repairs: list[Repair]) -> bool:
    """Tell whether repairs put a failing row right."""
    acts = {repair["act"] for repair in repairs}
    modules = {repair["name"] for repair in repairs if repair["act"] == "module"}
    if row.name == "acceleration":
        return cause in MODULE_CAUSES + NODE_CAUSES
    if row.name.startswith("access "):
        return row.found in ("EACCES", "ENOENT", "ENODEV", "ENXIO") and bool(acts & {"node", "group", "module"})
    if row.name == "nested":
        return "parameter" in acts
    return DEVICE_MODULES.get(row.name, "").replace("-", "_") in modules


def _class_of(host: Comparison) -> str:
    """Return the class of a host; a probe without a known one is unusable."""
    if not host.probed and host.usable:
        return "unmeasured"
    return known_class(host.measured.get("class")) or "unusable"


def _sentence(row: Row) -> str:
    """Return a row as part of the message."""
    return f"{row.name}: {row.found}; wanted: {row.wanted}" + (f"; do: {row.remedy}" if row.remedy else "")
