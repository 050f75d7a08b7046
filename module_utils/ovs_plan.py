# SPDX-License-Identifier: Apache-2.0
"""What ovs-vsctl shows, what it should show, and the commands between the two."""

from __future__ import annotations

import json

TSO = "userspace-tso-enable"
PENDING = "nova-ansible-restart"  # set together with the option, removed after the restart that applies it
RESTARTED = ["remove", "Open_vSwitch", ".", "external_ids", PENDING]


def empty():
    """The settings of a machine without Open vSwitch."""
    return {"datapath": None, "tso": False, "pending": False, "ports": [], "managers": []}


def rows(table):
    """The rows of a table in ovs-vsctl's JSON as dicts."""
    data = json.loads(table)
    return [dict(zip(data["headings"], row)) for row in data["data"]]


def column(table, name):
    """One column of a table."""
    return [row[name] for row in rows(table)]


def state(root, bridges, ports, managers, bridge):
    """The settings from the tables Open_vSwitch and Bridge, the bridge's ports and the managers."""
    options = dict(rows(root)[0]["other_config"][1])
    marks = dict(rows(root)[0]["external_ids"][1])
    types = {row["name"]: row["datapath_type"] or "system" for row in rows(bridges)}
    return {
        "datapath": types.get(bridge),
        "tso": options.get(TSO) == "true",
        "pending": PENDING in marks,
        "ports": sorted(ports),
        "managers": sorted(managers),
    }


def wanted(before, datapath, port, manager):
    """The settings as they should be; ports and managers of others stay."""
    return {
        "datapath": datapath,
        "tso": before["tso"] or datapath == "netdev",
        "pending": False,
        "ports": sorted({*before["ports"], *([port] if port else [])}),
        "managers": sorted({*before["managers"], *([manager] if manager else [])}),
    }


def needs_restart(before, after):
    """Whether ovs-vswitchd must start anew to apply the options."""
    return before["pending"] or before["tso"] != after["tso"]


def commands(before, after, bridge):
    """The arguments of each call of ovs-vsctl that leads from before to after."""
    calls = []
    if before["tso"] != after["tso"]:
        option = ["set", "Open_vSwitch", ".", f"other_config:{TSO}=true"]
        calls.append([*option, "--", "set", "Open_vSwitch", ".", f"external_ids:{PENDING}=true"])
    if before["datapath"] != after["datapath"]:
        add = ["--may-exist", "add-br", bridge]
        calls.append([*add, "--", "set", "Bridge", bridge, f"datapath_type={after['datapath']}"])
    for port in after["ports"]:
        if port not in before["ports"]:
            calls.append(["--may-exist", "add-port", bridge, port])
    if before["managers"] != after["managers"]:
        calls.append(["set-manager", *after["managers"]])
    return calls


def shown(settings, bridge):
    """The settings as lines of a diff."""
    lines = [
        f"{bridge}: {settings['datapath'] or 'absent'}",
        f"ports: {' '.join(settings['ports']) or 'none'}",
        f"port is up: {settings['up']}",
        f"{TSO}: {str(settings['tso']).lower()}",
        f"restart of ovs-vswitchd pending: {settings['pending']}",
        f"managers: {' '.join(settings['managers']) or 'none'}",
    ]
    return "".join(f"{line}\n" for line in lines)
