# SPDX-License-Identifier: Apache-2.0
"""Users of RabbitMQ."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from typing import Any

from ansible.module_utils.host import commands, output
from ansible.module_utils.message import Message
from ansible.module_utils.messaging import amqp, rabbitmq_definitions
from ansible.module_utils.messaging.rabbitmq_definitions import Definitions, User
from ansible.module_utils.plan.in_process import StageModule

TIMEOUT = 120  # seconds of one rabbitmqctl


def complete(params: dict[str, Any]) -> bool:
    """Return whether logins show that everything is as wanted; False where they cannot show it, or show a difference.

    A user with tags cannot be checked this way.
    """
    users: list[User] = params["users"]
    if not amqp.available() or not params["port"] or any(user["tags"] for user in users):
        return False
    place = (params["host"], params["port"])
    if not all(amqp.works(amqp.Account(*place, user["name"], user["password"], user["vhost"])) for user in users):
        return False
    return not (params["remove_guest"] and amqp.works(amqp.Account(*place, "guest", "guest", "/")))


def rabbitmqctl(module: StageModule, *arguments: str) -> str | None:
    """Return the output of rabbitmqctl; fail where it fails, in check mode return None (no server there yet)."""
    done = commands.run(["rabbitmqctl", "--quiet", *arguments], user="root", timeout=TIMEOUT, merge=True)
    if done.code == 0:
        return done.out
    if module.check_mode:
        return None
    text = "\n".join(output.error_tail(done.out, 2))
    module.fail_json(
        msg=Message(
            f"'rabbitmqctl {' '.join(arguments)}' {done.ending}: {text}. "
            "RabbitMQ must run on this host (systemctl status rabbitmq-server)."
        )
    )


def import_definitions(module: StageModule, definitions: dict[str, Any]) -> None:
    """Import through a file that only RabbitMQ's user can read; on a pipe, rabbitmqctl 4.0 waits without end."""
    account = pwd.getpwnam("rabbitmq")
    with tempfile.NamedTemporaryFile("w", dir="/run", prefix="nova-ansible-", suffix=".json") as stream:
        os.fchown(stream.fileno(), account.pw_uid, account.pw_gid)
        json.dump(definitions, stream)
        stream.flush()
        rabbitmqctl(module, "import_definitions", stream.name, "--format", "json")


def argument_spec() -> dict[str, Any]:
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


def run(module: StageModule) -> None:
    """Check by logins; where that is not enough, read the definitions, compare, and import what differs."""
    created: list[str] = []
    updated: list[str] = []
    removed: list[str] = []
    users: list[User] = module.params["users"]
    if not complete(module.params):
        exported = rabbitmqctl(module, "export_definitions", "-", "--format", "json")
        current: Definitions = rabbitmq_definitions.read(exported) if exported else rabbitmq_definitions.initial()
        created, updated, removed = rabbitmq_definitions.compare(users, current, module.params["remove_guest"])
        if (created or updated) and not module.check_mode:
            import_definitions(module, rabbitmq_definitions.wanted(users, current))
        if removed and not module.check_mode:
            rabbitmqctl(module, "delete_user", "guest")
    before = [f"{line}: absent\n" for line in created] + [f"{line}: different\n" for line in updated]
    after = [f"{line}: present\n" for line in created] + [f"{line}: as wanted\n" for line in updated]
    module.exit_json(
        changed=bool(created or updated or removed),
        created=created,
        updated=updated,
        removed=removed,
        diff={"before": "".join(before + [f"{line}: present\n" for line in removed]), "after": "".join(after)},
    )
