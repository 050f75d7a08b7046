# SPDX-License-Identifier: Apache-2.0
"""Probe architectures without a guest program (ppc64le, s390x, riscv64): VM, memory and vCPU, no speed."""

from __future__ import annotations

import platform

from ansible.module_utils.kvm.guest import Machine, Vcpu


class OtherMachine(Machine):
    """A VM that runs nothing."""

    def probe(self) -> None:
        """Create a vCPU."""
        self.step("KVM_CREATE_VCPU")
        Vcpu(self)
        self.record("vcpu", True, None)
        self.out["notes"].append(f"no guest program for {platform.machine()}: nothing was run, speed is not measured")
