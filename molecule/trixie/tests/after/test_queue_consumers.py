# SPDX-License-Identifier: Apache-2.0
"""The sign that a service takes remote calls, at a real broker: with the service, without it, and a queue of nobody."""

from __future__ import annotations

import json

import pytest

testinfra_hosts = ["ansible://nova_controllers"]


# Nova's account on the message queue, from variables of the inventory: no password is in a command line.
BROKER = {
    "address": "{{ hostvars[groups.rabbitmq[0]].management_address }}",
    "port": 5672,
    "user": "nova",
    "password": "{{ nova_messaging_password | rabbitmq_password }}",
    "vhost": "/",
}


@pytest.fixture
def unserved(module, host):
    """Return look(queue, check): which queues are not consumed; the module waits for them unless it only checks."""

    def look(queue: str, check: bool) -> list:
        wanted = {"queue": queue, "served_by": "somebody", "messaging": BROKER}
        answers = module("nova_controllers", "queue_consumers", json.dumps({"queues": [wanted]}), check=check)
        return [queue for answer in answers.values() for queue in answer["unserved"]]

    return look


def test_a_queue_without_its_service_is_unserved_until_the_service_is_back(host, unserved):
    assert unserved("conductor", check=True) == []
    host.check_output("systemctl stop nova-conductor")
    try:
        assert unserved("conductor", check=True) == ["conductor"]
    finally:
        host.check_output("systemctl start --no-block nova-conductor")
    assert unserved("conductor", check=False) == []


def test_a_queue_that_nobody_made_is_unserved_and_not_made_by_looking(host, unserved):
    assert unserved("of-nobody", check=True) == ["of-nobody"]
    assert "of-nobody" not in host.check_output("rabbitmqctl --quiet list_queues name").split()
