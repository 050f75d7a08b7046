# SPDX-License-Identifier: Apache-2.0
"""What ovs-vsctl shows, what it should show, and the commands between the two."""

from __future__ import annotations

import json

TSO = "userspace-tso-enable"
PENDING = "nova-ansible-restart"  # set together with the option, removed after the restart that applies it
# All tables in one call, and so of one moment.
COLUMNS = {
    "Open_vSwitch": "other_config,external_ids",
    "Bridge": "name,datapath_type,ports",
    "Port": "_uuid,name",
    "Manager": "target",
}
READ = ["--format=json"]
for _table, _columns in COLUMNS.items():
    READ += ["--", f"--columns={_columns}", "list", _table]
RESTARTED = ["remove", "Open_vSwitch", ".", "external_ids", PENDING]


def empty():
    """The settings of a machine without Open vSwitch."""
    return {"datapath": None, "tso": False, "pending": False, "ports": [], "managers": []}


def rows(table: str) -> list[dict]:
    """Return the rows of a table in ovs-vsctl's JSON as dicts."""
    data = json.loads(table)
    return [dict(zip(data["headings"], row)) for row in data["data"]]


def identifiers(value: list) -> set[str]:
    """Return the UUIDs in a column: a set of them, or a single one."""
    pairs = value[1] if value[0] == "set" else [value]
    return {identifier for _kind, identifier in pairs}


def state(tables: str, bridge: str) -> dict:
    """Return the settings from what READ printed: one table a line."""
    (root,), bridges, ports, managers = map(rows, tables.splitlines())
    found = next((row for row in bridges if row["name"] == bridge), None)
    own = identifiers(found["ports"]) if found else set()
    return {
        "datapath": (found["datapath_type"] or "system") if found else None,
        "tso": dict(root["other_config"][1]).get(TSO) == "true",
        "pending": PENDING in dict(root["external_ids"][1]),
        "ports": sorted(row["name"] for row in ports if row["_uuid"][1] in own and row["name"] != bridge),
        "managers": sorted(row["target"] for row in managers),
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
