#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_facts
short_description: Gather whether KVM works on a host, and how fast
description:
  - Opens C(/dev/kvm), creates a temporary virtual machine, runs a few dozen machine instructions in it in real mode,
    in 64-bit kernel mode and in user mode, and compares their speed with the same instructions run by the host itself.
  - Reads from the files of the host what they hold about processor, kernel, modules, users, memory, NUMA, IOMMU,
    devices and programs.
  - Everything that touches KVM happens in a child process with a hard deadline. No kernel module is loaded, no file is
    written, no compiler is needed, and the virtual machine exists for about a fifth of a second.
  - A host without KVM is not a failure of this module; M(kvm_verify) evaluates the facts.
options:
  probe:
    description:
      - V(full) runs guest code and measures it.
      - V(open) opens the node and creates a VM, without guest code.
      - V(none) touches nothing.
    type: str
    choices: [full, open, none]
    default: full
  gather:
    description:
      - Which facts to gather. V(libvirt) reads which virt_types libvirt offers, and may start its daemon.
    type: list
    elements: str
    choices: [cpu, kvm, users, iommu, memory, numa, power, secure, qemu, libvirt]
    default: [cpu, kvm, users, iommu, memory, numa, power, secure, qemu]
  users:
    description: Users that try to open the node and create a VM, each in its own process; needs root.
    type: list
    elements: str
    default: [nova, libvirt-qemu]
  slice_ms:
    description: Milliseconds of each speed measurement.
    type: int
    default: 25
  deadline:
    description: Seconds after which the probe is killed.
    type: float
    default: 2.0
  log:
    description: Whether to read the kernel log, where that is permitted; it shows a firmware lock.
    type: str
    choices: [auto, none]
    default: auto
  root:
    description:
      - Directory to read C(/proc), C(/sys), C(/etc) and descriptions of devices from, instead of this host's own.
      - Such a tree describes another machine; the result of its probe is the file C(fixture/probe.json).
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
- name: Gather whether KVM works
  kvm_facts:

- name: Show the reason
  ansible.builtin.debug:
    msg: "{{ ansible_facts.kvm.probe.reason }}"

- name: Compare with what libvirt offers
  kvm_facts:
    gather: [cpu, kvm, libvirt]

- name: Gather without touching the device
  kvm_facts:
    probe: none
"""

RETURN = r"""
ansible_facts:
  description: The facts, kept as C(ansible_facts.kvm).
  returned: always
  type: dict
  contains:
    kvm:
      description: What is known about KVM on this host.
      type: dict
      contains:
        arch:
          description: Architecture of the kernel.
          type: str
          sample: x86_64
        cpu:
          description: Vendor, model, count, the virtualization flag that the kernel shows, and the result of CPUID.
          type: dict
        kernel:
          description: Release, whether KVM is registered, options of note, and the lines of its log about KVM.
          type: dict
        node:
          description: The device node, its owner, group and mode, and whether its mount forbids devices.
          type: dict
        modules:
          description: Loaded modules with their parameters, KVM modules on disk, and lines that block them.
          type: dict
        nested:
          description: Whether this host is itself a guest, and whether guests are offered virtualization.
          type: dict
        users:
          description: For each user whether it exists, is in the node's group, and the result of opening the node.
          type: dict
          sample: {libvirt-qemu: {exists: true, uid: 64055, gids: [104], in_node_group: true, open: ok}}
        probe:
          description:
            - Result of the probe; null without one. C(class) is V(hardware), V(emulated), V(unusable) or
              V(unmeasured), C(reason) is why.
            - C(tests) holds each guest test, C(rates) the loops, C(ratios) their share of native speed, C(exit_ns) the
              nanoseconds of leaving and entering the guest, C(guest_cpu) what guests are offered, C(caps) the
              capabilities of KVM.
          type: dict
        iommu:
          description: Groups, units, tables of the firmware.
          type: dict
        memory:
          description: Sizes in kB, huge pages, transparent huge pages, KSM.
          type: dict
        numa:
          description: Nodes with their processors, memory in kB, distances and huge pages.
          type: dict
        power:
          description: Governors, SMT, clock source, vulnerabilities.
          type: dict
        secure_guests:
          description: SEV, SEV-ES, SEV-SNP, TDX, protected virtualization of Z.
          type: dict
        devices:
          description: Companions of KVM (tun, vhost_net, vfio and others) and whether their node is there.
          type: dict
        programs:
          description: Paths and versions of QEMU and libvirt, swtpm, UEFI firmware.
          type: dict
        libvirt:
          description: Whether libvirt offers each virt_type; only when gathered.
          type: dict
        errors:
          description: Facts that could not be gathered, with the error.
          type: dict
        seconds:
          description: Seconds that the module took.
          type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kvm import facts as kvm


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    return {
        "probe": {"type": "str", "choices": ["full", "open", "none"], "default": "full"},
        "gather": {"type": "list", "elements": "str", "choices": list(kvm.GATHER), "default": kvm.DEFAULT_GATHER},
        "users": {"type": "list", "elements": "str", "default": ["nova", "libvirt-qemu"]},
        "slice_ms": {"type": "int", "default": 25},
        "deadline": {"type": "float", "default": 2.0},
        "log": {"type": "str", "choices": ["auto", "none"], "default": "auto"},
        "root": {"type": "path", "default": "/"},
    }


def main() -> None:
    """Gather the facts."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    problem = kvm.options_problem(options)
    if problem:
        module.fail_json(msg=problem)
    found = kvm.gather(
        root=options["root"],
        level=options["probe"],
        parts=options["gather"],
        users=options["users"],
        slice_ms=options["slice_ms"],
        deadline=options["deadline"],
        log=options["log"],
    )
    module.exit_json(changed=False, ansible_facts={"kvm": found})


if __name__ == "__main__":
    main()
