# SPDX-License-Identifier: Apache-2.0
"""Whether a queue is consumed, at a real RabbitMQ: with its service, without it, and an unknown queue."""

from __future__ import annotations

import json

import pytest

testinfra_hosts = ["ansible://nova_controllers"]


# Nova's account on RabbitMQ, from variables of the inventory: no password is on a command line.
ACCOUNT = {
    "address": "{{ hostvars[groups.rabbitmq[0]].management_address }}",
    "port": 5672,
    "user": "nova",
    "password": "{{ nova_messaging_password | rabbitmq_password }}",
    "vhost": "/",
}


@pytest.fixture
def unserved(module, host):
    """Return look(queue, check): the queues that are not consumed; outside check mode, the module waits for them."""

    def look(queue: str, check: bool) -> list:
        wanted = {"queue": queue, "served_by": "a service", "messaging": ACCOUNT}
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


def test_a_queue_that_does_not_exist_is_unserved_and_not_created(host, unserved):
    assert unserved("no-such-queue", check=True) == ["no-such-queue"]
    assert "no-such-queue" not in host.check_output("rabbitmqctl --quiet list_queues name").split()
