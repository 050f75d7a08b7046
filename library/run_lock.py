#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Let one run at a time change a cloud
description:
  - Takes a lock on a host for the rest of a run. A second run that wants it is refused with the user, the control node,
    the process and the start of the first, or waits.
  - The lock ends with the run, also with one that was killed. A process on the control node renews it every 15 seconds
    and removes it when C(ansible-playbook) has ended. Without a renewal, as when the control node has lost its power,
    it is free after 90 seconds, and a run that wants it waits for that.
  - Use the same host for the whole cloud. The action of this name runs on the control node, and describes the run.
options:
  wait:
    description: Seconds to wait for another run; V(0) refuses at once. An option of the action.
    type: int
    default: 0
  run:
    description: Description of the run, with C(run), its unique name. The action sets it.
    type: dict
    required: true
  ended:
    description: Unique name of a run that has ended without removing its lock. The action sets it.
    type: str
    default: ""
  path:
    description: File of the lock.
    type: path
    default: /run/nova-ansible/run.json
attributes:
  check_mode: {support: full, description: Takes no lock; a run in check mode changes nothing.}
  diff_mode: {support: none, description: A lock is no change of the host.}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Let no other run change this cloud
  run_lock:
    wait: 600
  delegate_to: "{{ groups['nova_controllers'][0] }}"
  run_once: true
"""

RETURN = r"""
held_by:
  description:
    - Description of another run that has the lock, empty where this run has it. C(user), C(node), C(pid), C(command),
      C(since) as a text in ISO 8601, and C(age), the seconds since the last renewal.
  returned: always
  type: dict
  sample: {user: root, node: deploy1, pid: 4711, since: "2026-11-25T09:30:00+00:00", age: 4}
kept:
  description: Whether this run had the lock before, so that a process renews it already.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import lease
from ansible.module_utils.message import Message, OperatorError


def main() -> None:
    """Take the lock, or return who has it."""
    module = AnsibleModule(
        argument_spec={
            "wait": {"type": "int", "default": 0},
            "run": {"type": "dict", "required": True},
            "ended": {"type": "str", "default": ""},
            "path": {"type": "path", "default": lease.PATH},
        },
        supports_check_mode=True,
    )
    path, run = module.params["path"], module.params["run"]
    try:
        kept = lease.is_kept(path, run)
        held_by = lease.take(path, run, module.params["ended"], module.check_mode)
    except OperatorError as error:
        module.fail_json(msg=error.message)
    except OSError as error:
        module.fail_json(msg=Message(f"the lock of the cloud cannot be written, {error}; correct that and run again"))
    module.exit_json(changed=False, held_by=held_by, kept=kept)


if __name__ == "__main__":
    main()
