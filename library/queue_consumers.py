#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_consumers
short_description: Wait until queues of RabbitMQ have a consumer
description:
  - Queries RabbitMQ until each queue exists and has a consumer. Only then does a service answer remote calls; its unit
    is active seconds earlier, and a call in between waits for its timeout, a minute, without an answer.
  - Declares no queue and takes no message.
author:
  - nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Queries once and never fails; see RV(unserved)."}
  diff_mode: {support: none, description: "Changes nothing."}
options:
  queues:
    description: The queues, each with an account that may query it.
    type: list
    elements: dict
    required: true
    suboptions:
      queue: {description: Name of the queue., type: str, required: true}
      served_by: {description: Unit that consumes it, for messages., type: str, required: true}
      messaging:
        description: RabbitMQ and an account of the service.
        type: dict
        required: true
        suboptions:
          address: {description: Address of RabbitMQ., type: str, required: true}
          port: {description: TCP port., type: int, default: 5672}
          user: {description: User name., type: str, required: true}
          password: {description: Its password., type: str, required: true}
          vhost: {description: Virtual host., type: str, default: /}
  timeout: {description: Seconds after which a queue without a consumer is an error., type: float, default: 120}
  interval: {description: Seconds between two tries., type: float, default: 0.3}
requirements: ["amqp (python3-amqp) on the managed host; every OpenStack service that uses a queue brings it"]
"""

EXAMPLES = r"""
- name: Wait for the consumers of the RPC queues
  queue_consumers:
    queues:
      - queue: conductor
        served_by: nova-conductor
        messaging: {address: 10.77.0.11, user: nova, password: "{{ nova_messaging_password }}"}
"""

RETURN = r"""
unserved:
  description: Queues without a consumer.
  returned: always
  type: list
  elements: str
seconds: {description: How many seconds it took until each had a consumer., returned: always, type: float}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import queue_consumers as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
