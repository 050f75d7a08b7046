# SPDX-License-Identifier: Apache-2.0
"""The facts of one host next to a policy, as the checks use them. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible.module_utils.kvm.classify import mapping
from ansible.module_utils.kvm.diagnose import USABLE, diagnose
from ansible.module_utils.kvm.host import TECHNOLOGY
from ansible.module_utils.kvm.policy import POLICY


class Row(NamedTuple):
    """One check: status is pass, warn, fail or skip; the remedy of a check that passes is empty."""

    name: str
    status: str
    found: str
    wanted: str
    remedy: str


def row(name: str, status: str, found: object, wanted: object, remedy: str = "") -> Row:
    """Return a row."""
    return Row(name, status, str(found), str(wanted), "" if status == "pass" else remedy)


def check(name: str, good: bool, found: object, wanted: object, remedy: str, bad: str = "fail") -> Row:
    """Return a row that passes where it is good; `bad` is its status otherwise."""
    return row(name, "pass" if good else bad, found, wanted, remedy)


class Comparison:
    """The facts of a host, the policy with its defaults, and the diagnosis."""

    def __init__(self, facts: object, policy: dict[str, Any]) -> None:
        self.facts = mapping(facts)
        self.policy = {**POLICY, **{name: value for name, value in policy.items() if value is not None}}
        probe = self.facts.get("probe")
        self.probed = isinstance(probe, dict)
        self.measured = mapping(probe)
        self.diagnosis = diagnose(self.facts, probe)
        self.usable = self.diagnosis.cause in USABLE
        self.arch = str(self.facts.get("arch") or "")
        self.users = mapping(self.facts.get("users"))

    @property
    def denied(self) -> bool:
        """Tell whether permissions keep a user of the policy from opening the node."""
        return any(mapping(self.users.get(name)).get("open") == "EACCES" for name in self.policy["users"])

    @property
    def qemu_denied(self) -> bool:
        """Tell whether QEMU, which runs as libvirt's user, may not open the node: a KVM guest does not start."""
        results = [mapping(self.users.get(name)).get("open") for name in ("libvirt-qemu", "qemu") if name in self.users]
        return any(isinstance(result, str) and result != "ok" for result in results)

    @property
    def kvm_module(self) -> str:
        """Return the name of the kernel module for this processor."""
        flag = str(mapping(self.facts.get("cpu")).get("virt_flag"))
        return TECHNOLOGY[flag][1] if flag in TECHNOLOGY else "kvm"
