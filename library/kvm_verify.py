#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_verify
short_description: Verify that a host can run KVM guests as a policy requires
description:
  - Evaluates the facts of M(kvm_facts), or gathers them itself when none are given, so that one task suffices.
  - Each row of the result has what was found, what was wanted and what to do. What is unknown is V(skip) or V(warn),
    never V(pass). A host is never silently switched to emulation.
  - Check mode is the full check; nothing is ever changed.
options:
  require:
    description:
      - V(hardware) fails unless guests run on the processor.
      - V(any) accepts emulation, with a warning.
      - V(none) requires nothing; acceleration is still reported.
    type: str
    choices: [hardware, any, none]
    default: hardware
  allow_nested:
    description: Whether the host may itself be a virtual machine.
    type: bool
    default: true
  max_exit_ns:
    description: Nanoseconds of leaving and entering a guest; more is a warning.
    type: int
    default: 10000
  users:
    description: Users that must be able to open the node and create a VM. One that does not exist yet is skipped.
    type: list
    elements: str
    default: [nova, libvirt-qemu]
  nested:
    description: Whether guests must (V(true)) or must not (V(false)) be offered virtualization. Not checked when unset.
    type: bool
  isa_level:
    description: Instruction set level that guests need; images of RHEL 9 and later need V(x86-64-v2).
    type: str
    choices: [x86-64-v1, x86-64-v2, x86-64-v3, x86-64-v4]
  min_vcpus:
    description: Virtual processors that one guest must be able to have.
    type: int
    default: 0
  iommu:
    description: Whether the IOMMU must be on or off. Not checked when unset.
    type: bool
  hugepages:
    description: Number of huge pages that must be there, by their size in kB.
    type: dict
    default: {}
  secure:
    description: Kinds of secure guests that the host must offer.
    type: list
    elements: str
    choices: [sev, sev-es, sev-snp, tdx, s390-pv]
    default: []
  vtpm:
    description: Whether the programs of virtual TPMs must be installed.
    type: bool
    default: false
  devices:
    description:
      - Status when a companion device is missing, V(fail), V(warn) or V(skip), by the name of the device.
      - Known are tun (V(fail) unless set), vhost_net (V(warn)), vfio (V(skip)), vhost_vsock, sev, sgx_vepc, tpm and
        iommufd (not checked unless set).
    type: dict
    default: {}
  release:
    description: Nova release, as V(zed) or V(2025.1); the host must have the libvirt and QEMU that it needs.
    type: str
  warnings_are_errors:
    description: Whether a warning fails.
    type: bool
    default: false
  on_failure:
    description: V(fail) fails the task; V(report) never does, for playbooks that branch on RV(result).
    type: str
    choices: [fail, report]
    default: fail
  return_facts:
    description: Whether to return the facts too, as M(kvm_facts) does, when the module gathers them itself.
    type: bool
    default: false
  facts:
    description: Facts of M(kvm_facts), so that nothing is probed twice. Without them the module gathers them itself.
    type: dict
  slice_ms:
    description: Milliseconds of each speed measurement, when the module gathers the facts itself.
    type: int
    default: 25
  deadline:
    description: Seconds after which the probe is killed, when the module gathers the facts itself.
    type: float
    default: 2.0
  log:
    description: Whether to read the kernel log, when the module gathers the facts itself.
    type: str
    choices: [auto, none]
    default: auto
  root:
    description: Directory that describes another machine, as in M(kvm_facts).
    type: path
    default: /
attributes:
  check_mode:
    description: Nothing is ever changed; check mode does the same.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Verify that guests run on the processor
  kvm_verify:

# the same without a playbook, over all hosts of an inventory:
#   ansible nova_computes -b -m kvm_verify

- name: Verify a host for images of RHEL 9 and for PCI passthrough
  kvm_verify:
    isa_level: x86-64-v2
    iommu: true
    allow_nested: false

- name: Evaluate a host and decide later
  kvm_verify:
    require: any
    on_failure: report
  register: kvm

- name: Show what works there
  ansible.builtin.debug:
    msg: "virt_type={{ kvm.recommended_virt_type }} cpu_mode={{ kvm.recommended.cpu_mode }}"

- name: Evaluate facts that were gathered before, without a second probe
  kvm_verify:
    facts: "{{ ansible_facts.kvm | default(omit) }}"
"""

RETURN = r"""
result:
  description: V(fail) if a row fails, else V(warn) if one warns, else V(pass).
  returned: always
  type: str
class:
  description: V(hardware), V(emulated), V(unusable) or V(unmeasured).
  returned: always
  type: str
cause:
  description: The state of acceleration, as V(ok), V(firmware) or V(node_denied); docs/kvm.md lists all of them.
  returned: always
  type: str
can_be_enabled:
  description: Whether a change of settings (on the host, in its firmware, or on the level below) would enable KVM.
  returned: always
  type: bool
recommended_virt_type:
  description: Nova's virt_type as things are now.
  returned: always
  type: str
  sample: kvm
recommended:
  description: Nova's cpu_mode and cpu_models that go with it.
  returned: always
  type: dict
  sample: {cpu_mode: host-model, cpu_models: []}
checks:
  description: All rows.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the check; the first is acceleration.
      type: str
    status:
      description: V(pass), V(warn), V(fail) or V(skip).
      type: str
    found:
      description: What was found.
      type: str
    wanted:
      description: What was wanted.
      type: str
    remedy:
      description: What to do.
      type: str
failed_checks:
  description: Names of the rows that fail.
  returned: always
  type: list
  elements: str
remedy:
  description: The remedy of the first row that fails, or else warns.
  returned: always
  type: str
repairs:
  description: What M(kvm_repair) can repair, as its option of that name takes it.
  returned: always
  type: list
  elements: dict
repairable:
  description: Whether those RV(repairs) repair every row that fails.
  returned: always
  type: bool
msg:
  description: The rows that fail, each with what was found, what was wanted and what to do; the warnings if none fails.
  returned: always
  type: str
ansible_facts:
  description: The facts, as M(kvm_facts) returns them.
  returned: when the task does not fail, O(return_facts=true) and no facts were given
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import kvm_verify as stage


def main() -> None:
    """Run the stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
