#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_repair
short_description: Repair what keeps KVM from working and can be repaired on a running system
description:
  - Carries out the C(repairs) of M(kvm_verify). Loads modules, now and at boot; sets module parameters; creates the
    device node and sets its owner, group and mode, now and by a udev rule; adds users to the group of the node.
  - Never changes firmware, never reboots, and never unloads a module that is in use. What has to wait is returned as
    RV(pending).
options:
  repairs:
    description: The repairs, as M(kvm_verify) returns them.
    type: list
    elements: dict
    required: true
    suboptions:
      act:
        description: Kind of repair.
        type: str
        choices: [module, parameter, node, group]
        required: true
      name:
        description: Name of the module or of the parameter.
        type: str
      module:
        description: Module that has the parameter.
        type: str
      value:
        description: Value of the parameter.
        type: str
      user:
        description: User to add to the group.
        type: str
  group:
    description: Group that may open the node; created as a system group if it is missing.
    type: str
    default: kvm
attributes:
  check_mode:
    description: Returns what would be done.
    support: full
  diff_mode:
    description: Shows the changes of files.
    support: full
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Verify KVM
  kvm_verify:
    on_failure: report
  register: kvm

- name: Repair KVM
  kvm_repair:
    repairs: "{{ kvm.repairs }}"

- name: Offer virtualization to the guests of an Intel host
  kvm_repair:
    repairs: [{act: parameter, module: kvm_intel, name: nested, value: "1"}]
"""

RETURN = r"""
acts:
  description: What was done, or in check mode what would be done.
  returned: always
  type: list
  elements: str
pending:
  description: Repairs that have to wait, and for what.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kvm import repair


def main() -> None:
    """Carry out the repairs and return them."""
    suboptions = {
        "act": {"type": "str", "choices": repair.ORDER, "required": True},
        "name": {"type": "str"},
        "module": {"type": "str"},
        "value": {"type": "str"},
        "user": {"type": "str"},
    }
    needed = [
        ("act", "module", ["name"]),
        ("act", "parameter", ["module", "name", "value"]),
        ("act", "group", ["user"]),
    ]
    module = AnsibleModule(
        argument_spec={
            "repairs": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": suboptions,
                "required_if": needed,
            },
            "group": {"type": "str", "default": "kvm"},
        },
        supports_check_mode=True,
    )
    work = repair.Repair(module)
    work.repair(module.params["repairs"])
    module.exit_json(changed=bool(work.acts), acts=work.acts, pending=work.pending, diff=work.diff)


if __name__ == "__main__":
    main()
