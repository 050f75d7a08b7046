# SPDX-License-Identifier: Apache-2.0
"""Logins to RabbitMQ and consumers of queues, with a stand-in for the AMQP library."""

from __future__ import annotations

import types

import pytest
from ansible.module_utils.messaging import amqp

ACCOUNT = amqp.Account("10.0.0.1", 5672, "nova", "s3cret-of-nova", "/")
QUEUE = {"queue": "conductor", "served_by": "nova-conductor"}
MESSAGING = {"address": "10.0.0.1", "user": "nova", "password": "s3cret-of-nova"}


class AMQPError(Exception):
    """As in the library."""


class NotFound(AMQPError):
    """As in the library."""


class Connection:
    """A connection that keeps its requests; `consumers` gives the answers of one query each."""

    made, consumers = [], []
    refusal = None

    def __init__(self, **options):
        self.options, self.requests, self.collected = options, [], False
        Connection.made.append(self)

    def connect(self):
        if Connection.refusal:
            raise Connection.refusal

    def channel(self):
        return self

    def collect(self):
        self.collected = True

    def queue_declare(self, queue="generated", passive=False, **_options):
        self.requests.append(("declare", queue, passive))
        count = Connection.consumers.pop(0) if passive else 0
        if isinstance(count, Exception):
            raise count
        return types.SimpleNamespace(queue=queue, consumer_count=count)

    def __getattr__(self, name):
        return lambda *arguments, **_options: self.requests.append((name, *arguments[:1]))


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """Replace the library and return the class of its connections."""
    exceptions = types.SimpleNamespace(AMQPError=AMQPError, NotFound=NotFound)
    stand_in = types.SimpleNamespace(Connection=Connection, Message=str, exceptions=exceptions)
    monkeypatch.setattr(amqp, "library", stand_in)
    Connection.made, Connection.consumers, Connection.refusal = [], [], None
    return Connection


def wait(run_module, *queues, check=False, **options):
    queues = [{**queue, "messaging": MESSAGING} for queue in queues or [QUEUE]]
    return run_module("queue_consumers", {"queues": queues, "interval": 0.01, **options}, check=check)


def test_an_account_works_when_it_can_use_a_queue(library):
    assert amqp.works(ACCOUNT)
    done = [name for name, *_rest in library.made[0].requests]
    assert done == ["declare", "queue_bind", "basic_publish", "basic_get", "queue_delete"]
    assert library.made[0].collected
    options = library.made[0].options
    assert (options["host"], options["userid"], options["virtual_host"]) == ("10.0.0.1:5672", "nova", "/")


@pytest.mark.parametrize("refusal", [AMQPError("access refused"), ConnectionRefusedError("refused")])
def test_an_account_that_is_refused_does_not_work(library, refusal):
    library.refusal = refusal
    assert not amqp.works(ACCOUNT)
    assert library.made[0].collected


def test_a_queue_is_awaited_until_it_exists_and_has_a_consumer(run_module, library):
    library.consumers = [NotFound("no queue"), 0, 2]
    result = wait(run_module)
    assert not result.get("failed") and result["unserved"] == []
    assert [connection.requests for connection in library.made] == [[("declare", "conductor", True)]] * 3


def test_the_failure_names_each_queue_with_its_unit_and_reason(run_module, library):
    queues = [{"queue": name, "served_by": f"nova-{name}"} for name in ("conductor", "scheduler", "compute")]
    library.consumers = [1, NotFound("no queue"), AMQPError("ACCESS_REFUSED")]
    result = wait(run_module, *queues, timeout=0)
    assert result["failed"] and result["unserved"] == ["scheduler", "compute"]
    assert result["msg"].splitlines() == [
        "2 of 3 queues have no consumer after 0 s; read the logs:",
        "  - queue scheduler of nova-scheduler: no such queue yet",
        "  - queue compute of nova-compute: ACCESS_REFUSED",
    ]
    assert "s3cret" not in str(result)


def test_check_mode_queries_once_and_never_fails(run_module, library):
    library.consumers = [0]
    result = wait(run_module, check=True)
    assert not result.get("failed") and result["unserved"] == ["conductor"]
    assert len(library.made) == 1


def test_a_missing_library_is_an_error_except_in_check_mode(run_module, monkeypatch):
    monkeypatch.setattr(amqp, "library", None)
    assert wait(run_module, check=True)["unserved"] == ["conductor"]
    assert "python3-amqp" in wait(run_module)["msg"]
