#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Accounts of a RabbitMQ broker."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_users
short_description: Accounts of a RabbitMQ broker
description:
  - Creates accounts and virtual hosts, and sets passwords, tags and permissions that differ. Removes the account guest.
  - Runs on a broker's machine. The quick look is a login over AMQP as each account that also creates, writes, reads and
    removes a queue of its own; only what fails there is looked at with rabbitmqctl, which costs seconds.
  - The broker gets the hash of a password in a file that only its user can read, never the password on a command line.
  - In check mode on a machine without a broker, every account counts as missing.
options:
  users:
    description: The wanted accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
      vhost:
        description: Virtual host on which it gets all permissions.
        type: str
        default: /
      tags:
        description: Its tags. An account with tags is always looked at with rabbitmqctl.
        type: list
        elements: str
        default: []
  host:
    description: Address where the broker listens, for the quick look.
    type: str
    default: localhost
  port:
    description: Port where the broker listens without TLS, for the quick look. 0 skips the quick look.
    type: int
    default: 5672
  remove_guest:
    description: Whether to remove the account guest, which every new broker has with a known password.
    type: bool
    default: true
requirements: ["amqp (python3-amqp) on the target, for the quick look; without it rabbitmqctl is asked"]
attributes:
  check_mode:
    description: Predicts what a run would do.
    support: full
  diff_mode:
    description: Lists what changes, without passwords.
    support: full
author: [nova-ansible]
"""

EXAMPLES = r"""
- name: Create the broker's account of OpenStack
  rabbitmq_users:
    host: 10.77.0.11
    users:
      - {name: openstack, password: "{{ rabbitmq_password }}"}
"""

RETURN = r"""
created:
  description: Virtual hosts, accounts and permissions that were missing.
  returned: success
  type: list
  elements: str
  sample: ["account openstack", "permissions of openstack on /"]
updated:
  description: Accounts whose password or tags were others.
  returned: success
  type: list
  elements: str
  sample: ["account openstack: password"]
removed:
  description: Accounts that were removed.
  returned: success
  type: list
  elements: str
  sample: ["account guest"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import rabbitmq_users as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
