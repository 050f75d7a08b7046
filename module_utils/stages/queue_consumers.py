# SPDX-License-Identifier: Apache-2.0
"""Wait until queues of RabbitMQ have a consumer."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.message import Message
from ansible.module_utils.messaging import amqp
from ansible.module_utils.plan.in_process import StageModule


def problem(queue: str, account: amqp.Account) -> str:
    """Return why a queue is not served, or an empty text."""
    try:
        return "" if amqp.consumers(account, queue) else "no consumer"
    except amqp.AmqpError as error:
        return "no such queue yet" if error.missing else str(error)


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    messaging = {
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "default": 5672},
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "vhost": {"type": "str", "default": "/"},
    }
    queue = {
        "queue": {"type": "str", "required": True},
        "served_by": {"type": "str", "required": True},
        "messaging": {"type": "dict", "required": True, "options": messaging},
    }
    return {
        "queues": {"type": "list", "elements": "dict", "required": True, "options": queue},
        "timeout": {"type": "float", "default": 120},
        "interval": {"type": "float", "default": 0.3},
    }


ARGUMENT_SPEC = argument_spec()


def run(module: StageModule) -> None:
    """Query RabbitMQ until each queue has a consumer."""
    wanted, timeout, began = module.params["queues"], module.params["timeout"], time.monotonic()
    if not amqp.available():
        if module.check_mode:
            module.exit_json(changed=False, unserved=[one["queue"] for one in wanted], seconds=0.0)
        module.fail_json(msg=amqp.missing_library())
    while True:
        problems = {one["queue"]: problem(one["queue"], amqp.Account(**one["messaging"])) for one in wanted}
        unserved = [queue for queue, text in problems.items() if text]
        late = time.monotonic() - began >= timeout
        if not unserved or late or module.check_mode:
            break
        time.sleep(module.params["interval"])
    result = {"changed": False, "unserved": unserved, "seconds": round(time.monotonic() - began, 2)}
    if unserved and not module.check_mode:
        units = {one["queue"]: one["served_by"] for one in wanted}
        head = Message(
            f"{len(unserved)} of {len(wanted)} queues have no consumer after {timeout:.0f} s; read the logs:"
        )
        lines = [Message(f"queue {queue} of {units[queue]}: {problems[queue]}") for queue in unserved]
        module.fail_json(msg=Message("\n  - ".join([head, *lines])), **result)
    module.exit_json(**result)
