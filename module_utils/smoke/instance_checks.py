# SPDX-License-Identifier: Apache-2.0
"""Guests that are made in a cloud and asked, one proof after the other, whether they live. Several go side by side."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys

from ansible.module_utils.guest import guest_report
from ansible.module_utils.openstack.cloud_api import CloudError
from ansible.module_utils.smoke import cloud_checks, reachability, rfb, websocket
from ansible.module_utils.smoke.steps import StepFailed, wait

OPEN_PORT, CLOSED_PORT = 22, 2222  # the guest serves both; the security group lets in the first


# --- Nova ---------------------------------------------------------------------------------------------------------


def wanted_names(name, hosts):
    """[(server name, host or None)]."""
    return [(f"{name}-{host}", host) for host in hosts] or [(name, None)]


def create(cloud, flow, server_name, host, parts):
    """Ask Nova for one guest."""
    body = {
        "name": server_name,
        "imageRef": parts["image"],
        "flavorRef": parts["flavor"],
        "networks": [{"uuid": parts["network"]}],
        "security_groups": [{"name": parts["group"]}],
        "metadata": {"nova_smoke_test": flow, "nova_smoke_test_image": parts["image"]},
    }
    if host:
        body["host"] = host
    return cloud.call("compute", "POST", "/servers", {"server": body})["server"]["id"]


def last_line(traceback):
    return next((line.strip() for line in reversed((traceback or "").splitlines()) if line.strip()), "no reason kept")


def build_events(cloud, server_id):
    """(what went wrong on which host, the hosts that tried it), out of the server's actions.

    A fault is only the last word of the scheduler, and a build that is given to another host counts as a success.
    """
    lines, hosts, path = [], [], f"/servers/{server_id}/os-instance-actions"
    try:
        for action in cloud.get("compute", path)["instanceActions"]:
            events = cloud.get("compute", f"{path}/{action['request_id']}")["instanceAction"].get("events", [])
            hosts += [event["host"] for event in events if event.get("host")]
            lines += [
                f"{event['event']} on {event.get('host')}: {last_line(event.get('traceback'))}"
                for event in events
                if event["result"] == "Error"
            ]
    except CloudError as error:
        lines.append(f"The server's actions cannot be read: {error}")
    return lines, sorted(set(hosts))


def fault_hints(cloud, server, text):
    """Where to look, by what Nova says."""
    hints, hosts = build_events(cloud, server["id"])
    tried, text = " and ".join(hosts) or "no host", " ".join([text, *hints])
    if "No valid host" in text:
        hints += [
            f"{entry['binary']} on {entry['host']}: {entry['status']}, {entry['state']}"
            for entry in cloud_checks.services(cloud)
            if entry["binary"] == "nova-compute"
        ]
        hints.append(
            "Look at nova-scheduler.log; is there room (openstack hypervisor stats show), and is the host "
            "mapped (nova-manage cell_v2 list_hosts)?"
        )
    if any(word in text for word in ("inding", "irtual Interface", "vif", "network")):
        hints += cloud_checks.agent_lines(cloud)
        hints.append(f"Look at the agent's log on {tried} and at neutron's on the controller.")
    hints.append(f"Look at nova-compute.log on {tried}, which had it, and at nova-conductor.log.")
    return hints


def wait_active(cloud, ids, seconds):
    """{id: server} when all are ACTIVE."""
    found = {}

    def ready():
        for server_id in ids:
            if server_id in found and found[server_id]["status"] == "ACTIVE":
                continue
            server = found[server_id] = cloud.get("compute", f"/servers/{server_id}")["server"]
            if server["status"] == "ERROR":
                text = server.get("fault", {}).get("message", "no fault is recorded")
                raise StepFailed(
                    f"Nova put server {server['name']} into ERROR: {text}", fault_hints(cloud, server, text)
                )
        return all(server["status"] == "ACTIVE" for server in found.values())

    if not wait(ready, seconds, 0.5):
        slow = next(server for server in found.values() if server["status"] != "ACTIVE")
        host, task = slow.get("OS-EXT-SRV-ATTR:host"), slow.get("OS-EXT-STS:task_state")
        down = cloud_checks.service_problems(cloud_checks.services(cloud))
        raise StepFailed(
            f"server {slow['name']} is {slow['status']} (task {task}, host {host}) after {seconds} s",
            [
                *down,
                *build_events(cloud, slow["id"])[0],
                f"Look at nova-compute.log on {host}: does it get its messages from RabbitMQ?"
                if host
                else "No host has it yet: look at nova-conductor.log and nova-scheduler.log.",
            ],
        )
    return found


def guest_of(cloud, server):
    """What Nova and Neutron say about a server."""
    ports = cloud.get("network", "/ports", device_id=server["id"])["ports"]
    addresses = [fixed["ip_address"] for port in ports for fixed in port["fixed_ips"] if "." in fixed["ip_address"]]
    if not addresses:
        raise StepFailed(f"Neutron has no port with an IPv4 address for server {server['name']} ({server['id']})")
    return {
        "id": server["id"],
        "name": server["name"],
        "status": server["status"],
        "host": server.get("OS-EXT-SRV-ATTR:host"),
        "address": addresses[0],
        "console": [],
        "novnc_url": "",
        "instance_name": server.get("OS-EXT-SRV-ATTR:instance_name"),
        "hostname": server.get("OS-EXT-SRV-ATTR:hostname") or server["name"],
    }


# --- the console log ----------------------------------------------------------------------------------------------


def console_log(cloud, guest):
    answer = cloud.call("compute", "POST", f"/servers/{guest['id']}/action", {"os-getConsoleOutput": {}})
    return answer["output"]


def await_report(cloud, guests, wanted, what, seconds, look):
    """Read console logs until wanted(report) holds for each guest; guest["report"] is what it said."""
    pending, logs = list(guests), {}

    def said():
        for guest in list(pending):
            log = logs[guest["id"]] = console_log(cloud, guest)
            guest["report"] = guest_report.report(log)
            guest["console"] = [line.rstrip() for line in log.replace("\r", "\n").split("\n") if line.strip()][:12]
            if wanted(guest["report"]):
                pending.remove(guest)
            elif "Kernel panic" in log:
                return True
        return not pending

    if not wait(said, seconds, 0.5) or pending:
        guest = pending[0]
        tail = guest_report.tail(logs[guest["id"]], 6)
        raise StepFailed(
            f"server {guest['name']} on {guest['host']} {what} within {seconds} s",
            [
                *look(guest),
                "Its console log ends with:" if tail else "Its console log is empty: it does not run at all.",
                *("| " + line for line in tail),
            ],
        )


def check_lease(guest):
    if guest["report"]["address"] != guest["address"]:
        raise StepFailed(
            f"server {guest['name']} leased {guest['report']['address']}, but Neutron gave its port "
            f"{guest['address']}: another DHCP server answers on this network"
        )


def metadata_problems(guest):
    """How a guest's metadata differ from what Nova and Neutron say."""
    said, expected = guest["report"]["metadata"], {"uuid": guest["id"], "local-ipv4": guest["address"]}
    if (guest["instance_name"] or "").startswith("instance-"):
        expected["instance-id"] = "i-" + guest["instance_name"][len("instance-") :]
    wrong = [
        f"{key} is {said.get(key)}, Nova says {value}" for key, value in expected.items() if said.get(key) != value
    ]
    if said.get("hostname", "").split(".")[0] != guest["hostname"].split(".")[0]:
        wrong.append(f"hostname is {said.get('hostname')}, Nova says {guest['hostname']}")
    return wrong


# --- the network --------------------------------------------------------------------------------------------------


def probe_place(network_id, command, namespaces="/run/netns"):
    """(argv of a Python that sees the provider network, that place in words)."""
    if command is not None:
        return [*command, "python3", "-"], f"`{' '.join(command)}`" if command else "this host"
    for prefix in ("qdhcp-", "ovnmeta-"):
        if os.path.exists(os.path.join(namespaces, prefix + network_id)):
            return ["ip", "netns", "exec", prefix + network_id, sys.executable, "-"], f"namespace {prefix}{network_id}"
    raise StepFailed(
        f"this host has neither namespace qdhcp-{network_id} nor ovnmeta-{network_id} to look from",
        [
            "Run on the host of the DHCP agent, or give probe_command: what enters a place on the provider network, an "
            "empty list when this host itself reaches it."
        ],
    )


def look_from(argv, where, asked):
    program = reachability.program(asked)
    run = subprocess.run(argv, input=program, capture_output=True, text=True, timeout=120, check=False)
    try:
        return json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise StepFailed(
            f"looking from {where} failed with code {run.returncode}: "
            f"{' '.join(run.stderr.split())[-300:] or run.stdout[-300:] or 'no output'}"
        ) from None


def reach_problem(guest, ping, opened, closed):
    """What is wrong with a guest's answers, or an empty text."""
    who = f"server {guest['name']} ({guest['address']} on {guest['host']})"
    if not ping["answered"]:
        return f"{who} answered none of {ping['sent']} pings{': ' + ping['error'] if ping.get('error') else ''}"
    if opened["state"] != "open":
        return f"{who} answers ping, but TCP port {OPEN_PORT} is {opened['state']}"
    expected = "GUEST-TCP " + guest["report"]["metadata"].get("hostname", "")
    if opened["said"] != expected:
        return f"TCP port {OPEN_PORT} of {who} says '{opened['said']}' instead of '{expected}'"
    if closed["state"] != "silent":
        return (
            f"TCP port {CLOSED_PORT} of {who} is {closed['state']}, though its security group does not let it in: "
            "security groups are not enforced"
        )
    return ""


def check_reach(cloud, guests, argv, where):
    asked = [
        question
        for guest in guests
        for question in (
            {"address": guest["address"], "ping": 10.0},
            {"address": guest["address"], "port": OPEN_PORT, "seconds": 10.0},
            {"address": guest["address"], "port": CLOSED_PORT, "seconds": 2.0},
        )
    ]
    answers = look_from(argv, where, asked)
    for index, guest in enumerate(guests):
        problem = reach_problem(guest, *answers[3 * index : 3 * index + 3])
        if problem:
            raise StepFailed(
                f"seen from {where}: {problem}",
                [
                    *cloud_checks.agent_lines(cloud),
                    f"Look at the security group's rules, and on {guest['host']} at the "
                    "agent's log and the port's flows.",
                ],
            )
    times = ", ".join(f"{answers[3 * index]['milliseconds']} ms" for index in range(len(guests)))
    return f"ping ({times}) and TCP {OPEN_PORT} answer, TCP {CLOSED_PORT} is closed, seen from {where}"


# --- the screen ---------------------------------------------------------------------------------------------------


def console_url(cloud, guest):
    answer = cloud.call(
        "compute",
        "POST",
        f"/servers/{guest['id']}/remote-consoles",
        {"remote_console": {"protocol": "vnc", "type": "novnc"}},
    )
    return answer["remote_console"]["url"]


def connect_console(endpoint, address, context):
    host, port = endpoint["host"], endpoint["port"]
    if address:
        host, _, port = address.rpartition(":")
    sock = socket.create_connection((host.strip("[]"), int(port)), 20)
    return context.wrap_socket(sock, server_hostname=endpoint["host"]) if endpoint["tls"] else sock


def console_page(endpoint, address, context):
    """The status of the page that a browser would load."""
    connection = http.client.HTTPConnection(endpoint["host"], endpoint["port"], timeout=20)
    connection.sock = connect_console(endpoint, address, context)
    try:
        connection.request("GET", endpoint["page"], headers={"Host": endpoint["authority"], "Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def see_screen(guest, address, context):
    """One VNC session through the proxy: {version, width, height, name, colours}."""
    endpoint = websocket.console_endpoint(guest["novnc_url"])
    place = address or f"{endpoint['host']}:{endpoint['port']}"
    hints = [
        f"The console URL is {guest['novnc_url'].split('?')[0]}, the connection went to {place}.",
        f"Look at nova-novncproxy.log on the controller and at the VNC address of the guest on {guest['host']}.",
    ]
    try:
        status = console_page(endpoint, address, context)
        if status != 200:
            raise StepFailed(f"the page {endpoint['page']} at {place} answers {status}: is noVNC installed?", hints)
        stream = websocket.WebSocket(connect_console(endpoint, address, context))
        try:
            stream.handshake(endpoint)
            screen = rfb.handshake(stream)
            screen.update(rfb.picture(stream, screen))
        finally:
            stream.close()
    except (OSError, http.client.HTTPException, websocket.WebSocketError, rfb.RfbError) as error:
        raise StepFailed(f"no VNC session with server {guest['name']}: {error}", hints) from None
    if guest["instance_name"] and guest["instance_name"] not in screen["name"]:
        raise StepFailed(
            f"the screen of server {guest['name']} says '{screen['name']}' instead of {guest['instance_name']}", hints
        )
    return screen


def start(cloud, servers):
    """Start what is stopped (as after a reboot of its host); the names of those."""
    stopped = [server for server in servers if server["status"] == "SHUTOFF"]
    for server in stopped:
        try:
            cloud.call("compute", "POST", f"/servers/{server['id']}/action", {"os-start": None})
        except CloudError as error:
            if error.code != 409:  # somebody else starts it
                raise
    return [server["name"] for server in stopped]
