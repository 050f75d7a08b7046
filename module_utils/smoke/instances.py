# SPDX-License-Identifier: Apache-2.0
"""Make and start test instances, wait until they are ACTIVE, and find the reason when they are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.guest.guest_report import GuestReport
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message
from ansible.module_utils.openstack.session import Cloud
from ansible.module_utils.smoke import cloud_checks, resources
from ansible.module_utils.smoke.steps import StepFailed, wait_for

IMAGE_KEY = f"{resources.MARK}_image"  # metadata of an instance: the id of its image
NETWORK_WORDS = ("inding", "irtual Interface", "vif", "network")  # of faults whose cause is the network


@dataclass
class Instance:
    """A test instance: what Nova and Neutron know about it, and what it reported.

    instance_name: the name of its domain in libvirt.
    console: the first lines of its console log.
    """

    id: str
    name: str
    status: str
    host: str | None
    address: str
    instance_name: str
    hostname: str
    console: list[str] = field(default_factory=list)
    novnc_url: str = ""
    report: GuestReport = field(default_factory=GuestReport)


@dataclass
class Parts:
    """The ids of what an instance is made from."""

    image: str
    flavor: str
    network: str
    group: str


def wanted_names(name: str, hosts: Iterable[str]) -> dict[str, str | None]:
    """Return the hosts of the wanted instances by name; None where the scheduler chooses one."""
    return {f"{name}-{host}": host for host in hosts} or {name: None}


def create(cloud: Cloud, owner: str, name: str, host: str | None, parts: Parts) -> str:
    """Make an instance of the smoke test `owner` and return its id."""
    body: dict[str, Any] = {
        "name": name,
        "imageRef": parts.image,
        "flavorRef": parts.flavor,
        "networks": [{"uuid": parts.network}],
        "security_groups": [{"name": parts.group}],
        "metadata": {resources.MARK: owner, IMAGE_KEY: parts.image},
    }
    if host:
        body["host"] = host
    created: str = cloud.call("compute", "POST", "/servers", {"server": body})["server"]["id"]
    return created


def start(cloud: Cloud, servers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Start the instances that are shut off, as after a reboot of their host; return their names."""
    stopped = [server for server in servers if server["status"] == "SHUTOFF"]
    for server in stopped:
        try:
            cloud.call("compute", "POST", f"/servers/{server['id']}/action", {"os-start": None})
        except HttpError as error:
            if error.code != 409:  # it is already being started
                raise
    return [server["name"] for server in stopped]


def last_line(traceback: str | None) -> str:
    """Return the last line of a traceback."""
    return next((line.strip() for line in reversed((traceback or "").splitlines()) if line.strip()), "no reason kept")


def build_events(cloud: Cloud, server_id: str) -> tuple[list[str], list[str]]:
    """Return the errors in the actions of an instance, and the hosts that tried to build it.

    The fault of an instance is only the last error of the scheduler, and a build that is retried on another host
    counts as a success.
    """
    lines: list[str] = []
    hosts: list[str] = []
    path = f"/servers/{server_id}/os-instance-actions"
    try:
        for action in cloud.get("compute", path)["instanceActions"]:
            events = cloud.get("compute", f"{path}/{action['request_id']}")["instanceAction"].get("events", [])
            hosts += [event["host"] for event in events if event.get("host")]
            lines += [
                f"{event['event']} on {event.get('host')}: {last_line(event.get('traceback'))}"
                for event in events
                if event["result"] == "Error"
            ]
    except HttpError as error:
        lines.append(f"The actions of the instance cannot be read: {error}")
    return lines, sorted(set(hosts))


def fault_hints(cloud: Cloud, server_id: str, fault: str) -> list[str]:
    """Return the errors of a build, and where to look, by the words of the errors."""
    hints, hosts = build_events(cloud, server_id)
    tried, text = " and ".join(hosts) or "no host", " ".join([fault, *hints])
    if "No valid host" in text:
        hints += [
            f"{entry['binary']} on {entry['host']}: {entry['status']}, {entry['state']}"
            for entry in cloud_checks.services(cloud)
            if entry["binary"] == "nova-compute"
        ]
        hints.append(
            "Look at nova-scheduler.log. Is there enough room (openstack hypervisor stats show), and is the host "
            "mapped (nova-manage cell_v2 list_hosts)?"
        )
    if any(word in text for word in NETWORK_WORDS):
        hints += cloud_checks.agent_lines(cloud)
        hints.append(f"Look at the agent's log on {tried} and at Neutron's on the controller.")
    hints.append(f"Look at nova-compute.log on {tried}, which tried to build it, and at nova-conductor.log.")
    return hints


def wait_active(cloud: Cloud, ids: Collection[str], seconds: float) -> dict[str, dict[str, Any]]:
    """Wait until all instances are ACTIVE, and return them by id; raise StepFailed when one of them fails."""
    found: dict[str, dict[str, Any]] = {}

    def ready() -> bool:
        for server_id in ids:
            if server_id in found and found[server_id]["status"] == "ACTIVE":
                continue
            server = found[server_id] = cloud.get("compute", f"/servers/{server_id}")["server"]
            if server["status"] == "ERROR":
                fault = server.get("fault", {}).get("message", "no fault is recorded")
                raise StepFailed(
                    Message(f"Nova set instance {server['name']} to ERROR: {fault}"),
                    fault_hints(cloud, server_id, fault),
                )
        return all(server["status"] == "ACTIVE" for server in found.values())

    if not wait_for(ready, seconds, 0.5):
        raise not_active(cloud, next(server for server in found.values() if server["status"] != "ACTIVE"), seconds)
    return found


def not_active(cloud: Cloud, server: Mapping[str, Any], seconds: float) -> StepFailed:
    """Return the failure of an instance that is not ACTIVE in time."""
    host, task = server.get("OS-EXT-SRV-ATTR:host"), server.get("OS-EXT-STS:task_state")
    where = "No host has it yet: look at nova-conductor.log and nova-scheduler.log."
    if host:
        where = f"Look at nova-compute.log on {host}: does it receive messages from RabbitMQ?"
    problems: Sequence[str] = cloud_checks.service_problems(cloud_checks.services(cloud))
    return StepFailed(
        Message(f"instance {server['name']} is {server['status']} (task {task}, host {host}) after {seconds} s"),
        [*problems, *build_events(cloud, server["id"])[0], where],
    )


def instance_of(cloud: Cloud, server: Mapping[str, Any]) -> Instance:
    """Return an instance by its server in Nova's API; raise StepFailed when Neutron has no address for it."""
    ports = cloud.get("network", "/ports", device_id=server["id"])["ports"]
    addresses = [fixed["ip_address"] for port in ports for fixed in port["fixed_ips"] if "." in fixed["ip_address"]]
    if not addresses:
        raise StepFailed(
            Message(f"Neutron has no port with an IPv4 address for instance {server['name']} ({server['id']})")
        )
    return Instance(
        id=server["id"],
        name=server["name"],
        status=server["status"],
        host=server.get("OS-EXT-SRV-ATTR:host"),
        address=addresses[0],
        instance_name=server.get("OS-EXT-SRV-ATTR:instance_name") or "",
        hostname=server.get("OS-EXT-SRV-ATTR:hostname") or server["name"],
    )
