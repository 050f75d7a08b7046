# SPDX-License-Identifier: Apache-2.0
"""Accounts of a RabbitMQ broker."""

from __future__ import annotations

import json
import os
import pwd
import tempfile

from ansible.module_utils.host import commands, output
from ansible.module_utils.messaging import rabbitmq_definitions

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
    done = commands.run(["rabbitmqctl", "--quiet", *arguments], user="root", timeout=120, merge=True)
    if done.code == 0:
        return done.out
    if module.check_mode:
        return None
    said = "\n".join(output.error_tail(done.out, 2))
    module.fail_json(
        msg=f"'rabbitmqctl {' '.join(arguments)}' {done.ending}: {said}. "
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


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    user = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "vhost": {"type": "str", "default": "/"},
        "tags": {"type": "list", "elements": "str", "default": []},
    }
    return {
        "users": {"type": "list", "elements": "dict", "required": True, "options": user},
        "host": {"type": "str", "default": "localhost"},
        "port": {"type": "int", "default": 5672},
        "remove_guest": {"type": "bool", "default": True},
    }


ARGUMENT_SPEC = argument_spec()


def run(module) -> None:
    """Look quickly, else read all, compare, import what differs."""
    created, updated, removed = [], [], []
    if not quick_look(module.params):
        exported = rabbitmqctl(module, "export_definitions", "-", "--format", "json")
        current = rabbitmq_definitions.read(exported) if exported else rabbitmq_definitions.new_broker()
        created, updated, removed = rabbitmq_definitions.compare(
            module.params["users"], current, module.params["remove_guest"]
        )
        if (created or updated) and not module.check_mode:
            wanted = rabbitmq_definitions.wanted(module.params["users"], current)
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
