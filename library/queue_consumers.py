# SPDX-License-Identifier: Apache-2.0
"""Wait until somebody consumes a queue of RabbitMQ."""

from __future__ import annotations

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
      messaging:
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
        messaging: {address: 10.77.0.11, user: nova, password: "{{ nova_messaging_password }}"}
"""

RETURN = r"""
unserved:
  description: Queues that nobody consumes.
  returned: always
  type: list
  elements: str
seconds: {description: How long it took until all were consumed., returned: always, type: float}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import queue_consumers as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
