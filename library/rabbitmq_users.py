#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_users
short_description: Users of RabbitMQ
description:
  - Creates users and virtual hosts, and sets passwords, tags and permissions that differ. Removes the user guest.
  - Runs on the host of RabbitMQ. It first logs in over AMQP as each user and creates, writes, reads and deletes a
    temporary queue; it runs rabbitmqctl, which takes seconds, only when one of these fails.
  - RabbitMQ gets the hash of a password in a file that only its Unix user can read, never a password on a command line.
  - In check mode on a host without RabbitMQ, every user counts as missing.
options:
  users:
    description: The wanted users.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Password of the user.
        type: str
        required: true
      vhost:
        description: Virtual host on which the user has all permissions.
        type: str
        default: /
      tags:
        description: Tags of the user. A user with tags is always checked with rabbitmqctl.
        type: list
        elements: str
        default: []
  host:
    description: Address where RabbitMQ listens, for the logins over AMQP.
    type: str
    default: localhost
  port:
    description: Port where RabbitMQ listens without TLS, for the logins over AMQP. 0 means no logins, only rabbitmqctl.
    type: int
    default: 5672
  remove_guest:
    description: Whether to remove the user guest, which a new server has with a known password.
    type: bool
    default: true
requirements: ["amqp (python3-amqp) on the managed host, for the logins; without it, only rabbitmqctl is used"]
attributes:
  check_mode:
    description: Predicts what a run would do.
    support: full
  diff_mode:
    description: Lists what changes, without passwords.
    support: full
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Create the user of Nova
  rabbitmq_users:
    host: 10.77.0.11
    users:
      - {name: nova, password: "{{ nova_messaging_password }}"}
"""

RETURN = r"""
created:
  description: Virtual hosts, users and permissions that were missing.
  returned: success
  type: list
  elements: str
  sample: ["user nova", "permissions of nova on /"]
updated:
  description: Users whose password or tags were different.
  returned: success
  type: list
  elements: str
  sample: ["user nova: password"]
removed:
  description: Users that were removed.
  returned: success
  type: list
  elements: str
  sample: ["user guest"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import rabbitmq_users as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
