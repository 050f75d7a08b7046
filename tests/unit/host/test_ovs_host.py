# SPDX-License-Identifier: Apache-2.0
"""From what ovs-vsctl shows to the commands that change it."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.host import ovs_plan


def tables(options=(), marks=(), datapath="netdev", ports=("provider", "eth1"), managers=()):
    """The tables as ovs-vsctl --format=json writes them, with a second bridge; without a datapath there is no first."""
    maps = [["map", [list(pair) for pair in pairs]] for pairs in (options, marks)]
    members = [["uuid", f"of-{port}"] for port in ports]
    column = members[0] if len(members) == 1 else ["set", members]
    rows = {
        "Open_vSwitch": [maps],
        "Bridge": [["br-int", "netdev", ["uuid", "of-br-int"]]]
        + ([["provider", datapath, column]] * (datapath is not None)),
        "Port": [[["uuid", f"of-{port}"], port] for port in ("br-int", *ports)],
        "Manager": [[target] for target in managers],
    }
    return "".join(
        json.dumps({"data": rows[table], "headings": columns.split(",")}) + "\n"
        for table, columns in ovs_plan.COLUMNS.items()
    )


TSO = [("userspace-tso-enable", "true")]
DONE = ovs_plan.state(tables(TSO), "provider")
NEW = ovs_plan.empty()


def test_the_ports_of_a_bridge_are_its_own_without_itself():
    assert DONE == {"datapath": "netdev", "tso": True, "pending": False, "ports": ["eth1"], "managers": []}
    assert ovs_plan.state(tables(ports=["provider"], managers=["ptcp:6640"]), "provider")["ports"] == []
    assert ovs_plan.state(tables(managers=["ptcp:6640"]), "provider")["managers"] == ["ptcp:6640"]
    assert ovs_plan.state(tables(datapath=None), "provider")["datapath"] is None


def test_a_finished_host_needs_no_command():
    after = ovs_plan.wanted(DONE, "netdev", "eth1", None)
    assert after == DONE
    assert ovs_plan.commands(DONE, after, "provider") == []
    assert not ovs_plan.needs_restart(DONE, after)


def test_the_datapath_of_the_kernel_needs_neither_tso_nor_a_restart():
    after = ovs_plan.wanted(NEW, "system", "eth1", None)
    assert not ovs_plan.needs_restart(NEW, after)
    assert ovs_plan.commands(NEW, after, "provider") == [
        ["--may-exist", "add-br", "provider", "--", "set", "Bridge", "provider", "datapath_type=system"],
        ["--may-exist", "add-port", "provider", "eth1"],
    ]


def test_userspace_needs_tso_and_marks_the_restart_in_the_same_transaction():
    after = ovs_plan.wanted(NEW, "netdev", None, None)
    first = ovs_plan.commands(NEW, after, "provider")[0]
    assert "other_config:userspace-tso-enable=true" in first
    assert "external_ids:nova-ansible-restart=true" in first
    assert ovs_plan.needs_restart(NEW, after)


def test_a_restart_that_an_earlier_run_owed_is_made_up_for():
    marks = [("nova-ansible-restart", "true")]
    before = ovs_plan.state(tables(TSO, marks, ports=["provider"]), "provider")
    after = ovs_plan.wanted(before, "netdev", None, None)
    assert ovs_plan.commands(before, after, "provider") == []
    assert ovs_plan.needs_restart(before, after)


def test_a_bridge_with_another_datapath_is_changed_in_place():
    before = ovs_plan.state(tables(datapath="", ports=["provider", "eth1", "tap"]), "provider")
    assert before["datapath"] == "system"
    calls = ovs_plan.commands(before, ovs_plan.wanted(before, "netdev", "eth1", None), "provider")
    assert calls[-1] == ["--may-exist", "add-br", "provider", "--", "set", "Bridge", "provider", "datapath_type=netdev"]


def test_managers_of_others_stay():
    before = {**DONE, "managers": ["ptcp:6650"]}
    after = ovs_plan.wanted(before, "netdev", "eth1", "ptcp:6640:127.0.0.1")
    assert ovs_plan.commands(before, after, "provider") == [["set-manager", "ptcp:6640:127.0.0.1", "ptcp:6650"]]


@pytest.mark.parametrize("datapath", ["system", "netdev"])
def test_a_datapath_that_was_asked_for_is_taken(run_module, datapath):
    result = run_module("ovs_host", {"datapath": datapath, "port": "lo"}, check=True)
    assert (result["datapath"], result["reason"]) == (datapath, "asked for")
    assert result["changed"]


def test_an_interface_that_does_not_exist_is_named_with_those_that_do(run_module):
    result = run_module("ovs_host", {"port": "nosuch0"}, check=True)
    assert result["failed"]
    assert "'nosuch0'" in result["msg"]
    assert "lo" in result["msg"]
