# SPDX-License-Identifier: Apache-2.0
"""Wait until somebody consumes a queue of RabbitMQ."""

from __future__ import annotations

import time

from ansible.module_utils.basic import missing_required_lib

try:
    import amqp
except ImportError:
    amqp = None


def complaint(wanted: dict) -> str:
    """Return why a queue is not served, or nothing when it is."""
    broker = wanted["messaging"]
    connection = amqp.Connection(
        host=f"{broker['address']}:{broker['port']}",
        userid=broker["user"],
        password=broker["password"],
        virtual_host=broker["vhost"],
        login_method="PLAIN",
        connect_timeout=5,
        read_timeout=5,
        write_timeout=5,
    )
    try:
        connection.connect()
        return "" if connection.channel().queue_declare(wanted["queue"], passive=True).consumer_count else "no consumer"
    except amqp.exceptions.NotFound:
        return "no such queue yet"
    except (amqp.exceptions.AMQPError, OSError) as error:
        return str(error) or type(error).__name__
    finally:
        connection.collect()


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    broker = {
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "default": 5672},
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "vhost": {"type": "str", "default": "/"},
    }
    queue = {
        "queue": {"type": "str", "required": True},
        "served_by": {"type": "str", "required": True},
        "messaging": {"type": "dict", "required": True, "options": broker},
    }
    return {
        "queues": {"type": "list", "elements": "dict", "required": True, "options": queue},
        "timeout": {"type": "float", "default": 120},
        "interval": {"type": "float", "default": 0.3},
    }


ARGUMENT_SPEC = argument_spec()


def run(module) -> None:
    """Ask the broker until each queue is consumed."""
    wanted, timeout, begun = module.params["queues"], module.params["timeout"], time.monotonic()
    if amqp is None and module.check_mode:
        module.exit_json(changed=False, unserved=[one["queue"] for one in wanted], seconds=0.0)
    if amqp is None:
        module.fail_json(msg=missing_required_lib("amqp") + " (Debian: python3-amqp)")
    while True:
        said = {one["queue"]: complaint(one) for one in wanted}
        unserved = [name for name, text in said.items() if text]
        late = time.monotonic() - begun >= timeout
        if not unserved or late or module.check_mode:
            break
        time.sleep(module.params["interval"])
    result = {"changed": False, "unserved": unserved, "seconds": round(time.monotonic() - begun, 2)}
    if unserved and not module.check_mode:
        lines = [f"{len(unserved)} of {len(wanted)} queues are not consumed after {timeout:.0f} s; read the logs:"]
        units = {one["queue"]: one["served_by"] for one in wanted}
        lines += [f"queue {name} of {units[name]}: {said[name]}" for name in unserved]
        module.fail_json(msg="\n  - ".join(lines), **result)
    module.exit_json(**result)
