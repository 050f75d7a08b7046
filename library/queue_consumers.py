# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

DOCUMENTATION = r"""
module: queue_consumers
short_description: Wait until somebody consumes a queue of RabbitMQ
description:
  - Asks the broker, again and again, until each queue exists and has a consumer. A service that takes remote calls is
    ready then; its unit says so seconds earlier. Who calls before waits for an answer that nobody gives, a minute long.
  - Declares nothing and takes nothing from a queue.
author: nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Asks once and never fails; see RV(unserved)."}
  diff_mode: {support: none, description: "Changes nothing."}
options:
  queues:
    description: Queues, and the account that may look at each.
    type: list
    elements: dict
    required: true
    suboptions:
      queue: {description: Name of the queue., type: str, required: true}
      served_by: {description: Unit that consumes it; for messages., type: str, required: true}
      broker:
        description: The broker, and an account of the service.
        type: dict
        required: true
        suboptions:
          address: {description: Address., type: str, required: true}
          port: {description: TCP port., type: int, default: 5672}
          user: {description: Account., type: str, required: true}
          password: {description: Its password., type: str, required: true}
          vhost: {description: Virtual host., type: str, default: /}
  timeout: {description: Seconds after which a queue without a consumer is an error., type: float, default: 120}
  interval: {description: Seconds between two tries., type: float, default: 0.3}
requirements: ["amqp (python3-amqp) on the target; every OpenStack service that uses a queue brings it"]
"""

EXAMPLES = r"""
- name: Wait until remote calls are answered
  queue_consumers:
    queues:
      - queue: conductor
        served_by: nova-conductor
        broker: {address: 10.77.0.11, user: nova, password: "{{ nova_broker_password }}"}
"""

RETURN = r"""
unserved:
  description: Queues that nobody consumes.
  returned: always
  type: list
  elements: str
seconds: {description: How long it took until all were consumed., returned: always, type: float}
"""

try:
    import amqp
except ImportError:
    amqp = None


def complaint(wanted: dict) -> str:
    """Return why a queue is not served, or nothing when it is."""
    broker = wanted["broker"]
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


def main():
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
        "broker": {"type": "dict", "required": True, "options": broker},
    }
    module = AnsibleModule(
        argument_spec={
            "queues": {"type": "list", "elements": "dict", "required": True, "options": queue},
            "timeout": {"type": "float", "default": 120},
            "interval": {"type": "float", "default": 0.3},
        },
        supports_check_mode=True,
    )
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


if __name__ == "__main__":
    main()
