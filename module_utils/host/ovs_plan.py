# SPDX-License-Identifier: Apache-2.0
"""Compare the settings of Open vSwitch with the wanted ones, and name the calls of ovs-vsctl between the two.

Pure functions, no I/O.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

TSO = "userspace-tso-enable"
PENDING = "nova-ansible-restart"  # set together with the option, removed after the restart that applies it
# All tables are read in one call, so that they belong together.
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


class Settings(NamedTuple):
    """The settings of Open vSwitch that matter; by default those of a machine without it."""

    datapath: str | None = None  # of the bridge; None without a bridge
    tso: bool = False
    pending: bool = False  # an earlier run set an option and did not restart ovs-vswitchd
    ports: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    up: bool | None = None  # the interface that is a port; None without one


def parse(tables: str, bridge: str) -> Settings:
    """Return the settings from what READ printed: one table a line."""
    (root,), bridges, ports, managers = map(_rows, tables.splitlines())
    found = next((row for row in bridges if row["name"] == bridge), None)
    own = _identifiers(found["ports"]) if found else set()
    return Settings(
        datapath=(found["datapath_type"] or "system") if found else None,
        tso=dict(root["other_config"][1]).get(TSO) == "true",
        pending=PENDING in dict(root["external_ids"][1]),
        ports=tuple(sorted(row["name"] for row in ports if row["_uuid"][1] in own and row["name"] != bridge)),
        managers=tuple(sorted(row["target"] for row in managers)),
    )


def wanted(before: Settings, datapath: str, port: str | None, manager: str | None) -> Settings:
    """Return the settings as they should be; other ports and managers stay."""
    return Settings(
        datapath=datapath,
        tso=before.tso or datapath == "netdev",
        pending=False,
        ports=tuple(sorted({*before.ports, *([port] if port else [])})),
        managers=tuple(sorted({*before.managers, *([manager] if manager else [])})),
        up=True if port else None,
    )


def needs_restart(before: Settings, after: Settings) -> bool:
    """Tell whether ovs-vswitchd must be restarted to apply the options."""
    return before.pending or before.tso != after.tso


def commands(before: Settings, after: Settings, bridge: str) -> list[list[str]]:
    """Return the arguments of each call of ovs-vsctl that leads from before to after."""
    calls = []
    if before.tso != after.tso:
        option = ["set", "Open_vSwitch", ".", f"other_config:{TSO}=true"]
        calls.append([*option, "--", "set", "Open_vSwitch", ".", f"external_ids:{PENDING}=true"])
    if before.datapath != after.datapath:
        add = ["--may-exist", "add-br", bridge]
        calls.append([*add, "--", "set", "Bridge", bridge, f"datapath_type={after.datapath}"])
    for port in after.ports:
        if port not in before.ports:
            calls.append(["--may-exist", "add-port", bridge, port])
    if before.managers != after.managers:
        calls.append(["set-manager", *after.managers])
    return calls


def show(settings: Settings, bridge: str) -> str:
    """Return the settings as lines of a diff."""
    lines = [
        f"{bridge}: {settings.datapath or 'absent'}",
        f"ports: {' '.join(settings.ports) or 'none'}",
        f"port is up: {settings.up}",
        f"{TSO}: {str(settings.tso).lower()}",
        f"restart of ovs-vswitchd pending: {settings.pending}",
        f"managers: {' '.join(settings.managers) or 'none'}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _rows(table: str) -> list[dict[str, Any]]:
    """Return the rows of a table in ovs-vsctl's JSON as dicts."""
    data = json.loads(table)
    return [dict(zip(data["headings"], row)) for row in data["data"]]


def _identifiers(value: list[Any]) -> set[str]:
    """Return the UUIDs in a column: a set of them, or a single one."""
    pairs = value[1] if value[0] == "set" else [value]
    return {identifier for _kind, identifier in pairs}
