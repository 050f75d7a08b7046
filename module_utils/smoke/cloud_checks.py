# SPDX-License-Identifier: Apache-2.0
"""The services of Nova and the agents of Neutron, as their APIs list them, and what is wrong with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message
from ansible.module_utils.openstack.session import Cloud

NEEDED_SERVICES = ("nova-conductor", "nova-scheduler", "nova-compute")
POLL = 2  # seconds


def services(cloud: Cloud) -> list[dict[str, Any]]:
    """Return Nova's services."""
    keys = ("binary", "host", "status", "state", "disabled_reason", "updated_at")
    return [{key: entry.get(key) for key in keys} for entry in cloud.get("compute", "/os-services")["services"]]


def agents(cloud: Cloud) -> list[dict[str, Any]]:
    """Return Neutron's agents."""
    keys = ("binary", "host", "alive", "admin_state_up", "heartbeat_timestamp")
    return [{key: entry.get(key) for key in keys} for entry in cloud.get("network", "/agents")["agents"]]


def service_problems(listed: Iterable[dict[str, Any]], hosts: Collection[str] = ()) -> list[Message]:
    """Return what is wrong with Nova's services; each of the hosts needs a nova-compute.

    A disabled service is no problem: an administrator decided that.
    """
    enabled = [entry for entry in listed if entry["status"] == "enabled"]
    working = [entry for entry in enabled if entry["state"] == "up"]
    binaries = {entry["binary"] for entry in working}
    computes = [entry["host"] for entry in working if entry["binary"] == "nova-compute"]
    problems = [
        Message(f"{entry['binary']} on {entry['host']} is {entry['state']}, last seen at {entry['updated_at']}")
        for entry in enabled
        if entry["state"] != "up"
    ]
    problems += [Message(f"no {binary} is enabled and up") for binary in NEEDED_SERVICES if binary not in binaries]
    problems += [
        Message(f"no nova-compute is enabled and up on {host}; there is one on {', '.join(computes) or 'no host'}")
        for host in hosts
        if host not in computes
    ]
    return problems


def service_table(listed: Iterable[dict[str, Any]]) -> list[str]:
    """Return Nova's services as a table, one line each."""
    rows = sorted((entry["binary"], entry["host"], entry["status"], entry["state"]) for entry in listed)
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths)).rstrip() for row in rows]


def agent_problems(listed: Iterable[dict[str, Any]]) -> list[Message]:
    """Return what is wrong with Neutron's agents; an agent that an administrator disabled is no problem."""
    return [
        Message(f"{entry['binary']} on {entry['host']} is not alive, last seen at {entry['heartbeat_timestamp']}")
        for entry in listed
        if entry["admin_state_up"] and not entry["alive"]
    ]


def agent_lines(cloud: Cloud) -> list[str]:
    """Return the states of Neutron's agents as hints for a failure of networking."""
    try:
        return [
            f"agent {entry['binary']} on {entry['host']}: {'alive' if entry['alive'] else 'NOT ALIVE'}"
            for entry in agents(cloud)
        ]
    except HttpError as error:
        return [f"the list of agents cannot be read: {error}"]


def wait_healthy(
    read: Callable[[], list[dict[str, Any]]],
    problems: Callable[[list[dict[str, Any]]], Sequence[Message]],
    seconds: float,
) -> tuple[list[dict[str, Any]], Sequence[Message]]:
    """Read a list until it has no problems, for at most this many seconds; return the list and its problems."""
    end = time.monotonic() + seconds
    while True:
        listed = read()
        found = problems(listed)
        if not found or time.monotonic() > end:
            return listed, found
        time.sleep(POLL)
