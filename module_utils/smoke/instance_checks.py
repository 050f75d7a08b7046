# SPDX-License-Identifier: Apache-2.0
"""Checks of test instances: their console logs, their leases and metadata, and their answers on the network."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansible.module_utils.guest import guest_report
from ansible.module_utils.guest.guest_report import GuestReport
from ansible.module_utils.host import commands, output
from ansible.module_utils.message import Message
from ansible.module_utils.openstack.session import Cloud
from ansible.module_utils.smoke import cloud_checks, reachability
from ansible.module_utils.smoke.instances import Instance
from ansible.module_utils.smoke.reachability import Connect, ConnectAnswer, Ping, PingAnswer, Probe
from ansible.module_utils.smoke.steps import StepFailed, wait_for

OPEN_PORT, CLOSED_PORT = 22, 2222  # the guest serves both; the security group allows only the first one
LOOK_LIMIT = 120  # seconds for all probes together
FIRST_LINES, LAST_LINES = 12, 6  # of a console log, that are shown


# --- the console log --------------------------------------------------------------------------------------------------


def console_log(cloud: Cloud, instance: Instance) -> str:
    """Return the console log of an instance."""
    answer = cloud.call("compute", "POST", f"/servers/{instance.id}/action", {"os-getConsoleOutput": {}})
    log: str = answer["output"]
    return log


def await_report(
    cloud: Cloud,
    instances: Iterable[Instance],
    wanted: Callable[[GuestReport], object],
    missing: str,
    seconds: float,
    hints: Callable[[Instance], Iterable[str]],
) -> None:
    """Read console logs until `wanted` is true for the report of each instance, and keep the reports.

    missing: what an instance did not do, for the message of StepFailed, which is raised after this many seconds or when
    the kernel of a guest panics.
    hints: function that returns where to look.
    """
    pending = list(instances)
    logs: dict[str, str] = {}

    def complete() -> bool:
        for instance in list(pending):
            log = logs[instance.id] = console_log(cloud, instance)
            instance.report = guest_report.report(log)
            instance.console = output.lines_of(log)[:FIRST_LINES]
            if wanted(instance.report):
                pending.remove(instance)
            elif "Kernel panic" in log:
                return True
        return not pending

    if not wait_for(complete, seconds, 0.5) or pending:
        instance = pending[0]
        last = output.tail(logs[instance.id], LAST_LINES)
        raise StepFailed(
            Message(f"instance {instance.name} on {instance.host} {missing} within {seconds} s"),
            [
                *hints(instance),
                "Its console log ends with:" if last else "Its console log is empty: the guest does not run at all.",
                *(f"| {line}" for line in last),
            ],
        )


def check_lease(instance: Instance) -> None:
    """Raise StepFailed unless the address of the lease is the one that Neutron assigned."""
    if instance.report.address != instance.address:
        raise StepFailed(
            Message(
                f"instance {instance.name} leased {instance.report.address}, but Neutron assigned {instance.address}: "
                "another DHCP server answers on this network"
            )
        )


def metadata_problems(instance: Instance) -> list[Message]:
    """Return the differences between the metadata that a guest received and what Nova and Neutron know."""
    found, expected = instance.report.metadata, {"uuid": instance.id, "local-ipv4": instance.address}
    if instance.instance_name.startswith("instance-"):
        expected["instance-id"] = "i-" + instance.instance_name[len("instance-") :]
    problems = [
        Message(f"{key} is {found.get(key)}, but Nova has {value}")
        for key, value in expected.items()
        if found.get(key) != value
    ]
    hostname = found.get("hostname")
    if (hostname or "").split(".")[0] != instance.hostname.split(".")[0]:
        problems.append(Message(f"hostname is {hostname}, but Nova has {instance.hostname}"))
    return problems


# --- the network ------------------------------------------------------------------------------------------------------


def probe_place(
    network_id: str, command: Sequence[str] | None, namespaces: str = "/run/netns"
) -> tuple[list[str], str]:
    """Return a command that runs Python where the provider network is reachable, and the name of that place.

    command: the option probe_command; without it, a namespace of this host. Raise StepFailed when there is none.
    """
    if command is not None:
        return [*command, "python3", "-"], f"`{' '.join(command)}`" if command else "this host"
    for prefix in ("qdhcp-", "ovnmeta-"):
        if os.path.exists(os.path.join(namespaces, prefix + network_id)):
            return ["ip", "netns", "exec", prefix + network_id, sys.executable, "-"], f"namespace {prefix}{network_id}"
    raise StepFailed(
        Message(f"this host has neither namespace qdhcp-{network_id} nor ovnmeta-{network_id} to look from"),
        [
            "Run on the host of the DHCP agent, or set probe_command: a command that enters a place on the provider "
            "network, or an empty list when this host itself reaches it."
        ],
    )


def look_from(argv: Sequence[str], place: str, probes: Iterable[Probe]) -> list[dict[str, Any]]:
    """Return the answers to probes that run in another place, as dicts; raise StepFailed when they do not run."""
    done = commands.run(argv, text_in=reachability.program(probes), timeout=LOOK_LIMIT)
    try:
        answers: list[dict[str, Any]] = json.loads(done.out.strip().splitlines()[-1])
        return answers
    except (IndexError, ValueError):
        reason = " ".join(done.err.split())[-300:] or done.out[-300:] or "no output"
        raise StepFailed(Message(f"the probes from {place} failed with code {done.code}: {reason}")) from None


def reach_problem(instance: Instance, ping: PingAnswer, opened: ConnectAnswer, closed: ConnectAnswer) -> Message | None:
    """Return what is wrong with the answers of an instance, or None."""
    name = f"instance {instance.name} ({instance.address} on {instance.host})"
    if not ping.answered:
        return Message(f"{name} answered none of {ping.sent} pings{': ' + ping.error if ping.error else ''}")
    if opened.state != "open":
        return Message(f"{name} answers ping, but its TCP port {OPEN_PORT} is {opened.state}")
    expected = "GUEST-TCP " + instance.report.metadata.get("hostname", "")
    if opened.greeting != expected:
        return Message(f"TCP port {OPEN_PORT} of {name} sent '{opened.greeting}' instead of '{expected}'")
    if closed.state != "silent":
        return Message(
            f"TCP port {CLOSED_PORT} of {name} is {closed.state}, although its security group does not allow it: "
            "security groups are not enforced"
        )
    return None


def check_reach(cloud: Cloud, instances: Sequence[Instance], argv: Sequence[str], place: str) -> str:
    """Raise StepFailed unless each instance answers as it must on the provider network; return what was seen."""
    probes: list[Probe] = []
    for instance in instances:
        probes += [
            Ping(instance.address, 10.0),
            Connect(instance.address, OPEN_PORT, 10.0),
            Connect(instance.address, CLOSED_PORT, 2.0),
        ]
    answers = look_from(argv, place, probes)
    times = []
    for index, instance in enumerate(instances):
        first, second, third = answers[3 * index : 3 * index + 3]
        ping = PingAnswer(**first)
        problem = reach_problem(instance, ping, ConnectAnswer(**second), ConnectAnswer(**third))
        if problem:
            raise StepFailed(
                Message(f"seen from {place}: {problem}"),
                [
                    *cloud_checks.agent_lines(cloud),
                    f"Look at the rules of the security group, and on {instance.host} at the agent's log and the flows "
                    "of the port.",
                ],
            )
        times.append(f"{ping.milliseconds} ms")
    return f"ping ({', '.join(times)}) and TCP {OPEN_PORT} answer, TCP {CLOSED_PORT} is closed, seen from {place}"
