#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Accounts of a RabbitMQ broker."""

from __future__ import annotations

DOCUMENTATION = r"""
module: broker_accounts
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
  broker_accounts:
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

import json
import os
import pwd
import tempfile

from ansible.module_utils import broker_definitions, user_command
from ansible.module_utils.basic import AnsibleModule

try:
    import amqp
except ImportError:
    amqp = None


def works(host, port, user):
    """Whether the account can log in and create, write, read and remove a queue."""
    connection = amqp.Connection(
        host=f"{host}:{port}",
        userid=user["name"],
        password=user["password"],
        virtual_host=user["vhost"],
        login_method="PLAIN",
        connect_timeout=5,
        read_timeout=5,
        write_timeout=5,
    )
    try:
        connection.connect()
        channel = connection.channel()
        queue = channel.queue_declare(exclusive=True, auto_delete=True).queue
        channel.queue_bind(queue, "amq.direct", routing_key=queue)
        channel.basic_publish(amqp.Message("nova-ansible"), exchange="amq.direct", routing_key=queue)
        channel.basic_get(queue, no_ack=True)
        channel.queue_delete(queue)
        return True
    except (amqp.exceptions.AMQPError, OSError):
        return False
    finally:
        connection.collect()


def quick_look(params):
    """Whether everything is as wanted, as far as logins can tell; False sends main() to rabbitmqctl."""
    if amqp is None or not params["port"] or any(user["tags"] for user in params["users"]):
        return False
    if not all(works(params["host"], params["port"], user) for user in params["users"]):
        return False
    guest = {"name": "guest", "password": "guest", "vhost": "/"}
    return not (params["remove_guest"] and works(params["host"], params["port"], guest))


def rabbitmqctl(module, *arguments):
    """The output of rabbitmqctl, or None in check mode where there is no broker to ask."""
    code, output = user_command.run(["rabbitmqctl", "--quiet", *arguments], timeout=120)
    if code == 0:
        return output
    if module.check_mode:
        return None
    module.fail_json(
        msg=f"'rabbitmqctl {' '.join(arguments)}' ended with {code}: {user_command.telling(output, 2)}. "
        "Run this on a machine with a running broker (systemctl status rabbitmq-server)."
    )


def import_definitions(module, definitions):
    """Import through a file that only the broker's user can read: rabbitmqctl 4.0 waits for ever on a pipe."""
    account = pwd.getpwnam("rabbitmq")
    with tempfile.NamedTemporaryFile("w", dir="/run", prefix="nova-ansible-", suffix=".json") as stream:
        os.fchown(stream.fileno(), account.pw_uid, account.pw_gid)
        json.dump(definitions, stream)
        stream.flush()
        rabbitmqctl(module, "import_definitions", stream.name, "--format", "json")


def main():
    """Look quickly, else read all, compare, import what differs."""
    user = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "vhost": {"type": "str", "default": "/"},
        "tags": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            "users": {"type": "list", "elements": "dict", "required": True, "options": user},
            "host": {"type": "str", "default": "localhost"},
            "port": {"type": "int", "default": 5672},
            "remove_guest": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    created, updated, removed = [], [], []
    if not quick_look(module.params):
        output = rabbitmqctl(module, "export_definitions", "-", "--format", "json")
        current = broker_definitions.read(output) if output else broker_definitions.new_broker()
        created, updated, removed = broker_definitions.compare(
            module.params["users"], current, module.params["remove_guest"]
        )
        if (created or updated) and not module.check_mode:
            wanted = broker_definitions.wanted(module.params["users"], current)
            import_definitions(module, wanted)
        if removed and not module.check_mode:
            rabbitmqctl(module, "delete_user", "guest")
    added = [f"{line}: present\n" for line in created] + [f"{line}: as wanted\n" for line in updated]
    gone = [f"{line}: absent\n" for line in created] + [f"{line}: another one\n" for line in updated]
    module.exit_json(
        changed=bool(created or updated or removed),
        created=created,
        updated=updated,
        removed=removed,
        diff={"before": "".join(gone + [f"{line}: present\n" for line in removed]), "after": "".join(added)},
    )


if __name__ == "__main__":
    main()
