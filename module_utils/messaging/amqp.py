# SPDX-License-Identifier: Apache-2.0
"""Log in to RabbitMQ over AMQP, with the library that every OpenStack service that uses a queue brings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.message import Message, OperatorError

try:
    import amqp as library
except ImportError:
    library = None

TIMEOUT = 5  # seconds to connect, and for each answer


class AmqpError(OperatorError):
    """RabbitMQ cannot be reached, or refused the login or a request.

    missing: whether it refused because there is no such queue.
    """

    def __init__(self, message: Message, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Account(NamedTuple):
    """An account of RabbitMQ, and where to log in with it."""

    address: str
    port: int
    user: str
    password: str
    vhost: str


def available() -> bool:
    """Return whether the library is installed."""
    return library is not None


def missing_library() -> Message:
    """Return the message about a missing library."""
    return Message(missing_required_lib("amqp") + " (Debian: python3-amqp)")


@contextlib.contextmanager
def connect(account: Account) -> Iterator[Any]:
    """Give a channel of a connection as an account; raise AmqpError when the login or something in the block fails."""
    if library is None:
        raise AmqpError(missing_library())
    connection = library.Connection(
        host=f"{account.address}:{account.port}",
        userid=account.user,
        password=account.password,
        virtual_host=account.vhost,
        login_method="PLAIN",
        connect_timeout=TIMEOUT,
        read_timeout=TIMEOUT,
        write_timeout=TIMEOUT,
    )
    try:
        connection.connect()
        yield connection.channel()
    except library.exceptions.NotFound as error:
        raise AmqpError(Message(str(error)), missing=True) from None
    except (library.exceptions.AMQPError, OSError) as error:
        raise AmqpError(Message(str(error) or type(error).__name__)) from None
    finally:
        connection.collect()


def works(account: Account) -> bool:
    """Return whether an account can log in and create, write, read and delete a queue."""
    try:
        with connect(account) as channel:
            queue = channel.queue_declare(exclusive=True, auto_delete=True).queue
            channel.queue_bind(queue, "amq.direct", routing_key=queue)
            channel.basic_publish(library.Message("nova-ansible"), exchange="amq.direct", routing_key=queue)
            channel.basic_get(queue, no_ack=True)
            channel.queue_delete(queue)
    except AmqpError:
        return False
    return True


def consumers(account: Account, queue: str) -> int:
    """Return how many consumers a queue has, without creating it; raise AmqpError."""
    with connect(account) as channel:
        count: int = channel.queue_declare(queue, passive=True).consumer_count
        return count
