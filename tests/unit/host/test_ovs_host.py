# SPDX-License-Identifier: Apache-2.0
"""ovs_host: from the output of ovs-vsctl to the calls that change it."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.host import ovs_datapath, ovs_plan
from ansible.module_utils.host.commands import Done
from ansible.module_utils.host.ovs_plan import Settings


def tables(options=(), marks=(), datapath="netdev", ports=("provider", "eth1"), managers=()):
    """Return the output of ovs-vsctl --format=json, with a second bridge; without a datapath there is no first one."""
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
DONE = ovs_plan.parse(tables(TSO), "provider")._replace(up=True)
NEW = Settings()


def test_a_bridge_has_its_own_ports_without_the_internal_one():
    assert DONE == Settings(datapath="netdev", tso=True, pending=False, ports=("eth1",), managers=(), up=True)
    assert ovs_plan.parse(tables(ports=["provider"], managers=["ptcp:6640"]), "provider").ports == ()
    assert ovs_plan.parse(tables(managers=["ptcp:6640"]), "provider").managers == ("ptcp:6640",)
    assert ovs_plan.parse(tables(datapath=None), "provider").datapath is None


def test_a_finished_host_needs_no_command():
    after = ovs_plan.wanted(DONE, "netdev", "eth1", None)
    assert after == DONE
    assert ovs_plan.commands(DONE, after, "provider") == []
    assert not ovs_plan.needs_restart(DONE, after)


def test_the_datapath_of_the_kernel_needs_no_tso_and_no_restart():
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


def test_a_restart_that_an_earlier_run_left_out_is_done():
    marks = [("nova-ansible-restart", "true")]
    before = ovs_plan.parse(tables(TSO, marks, ports=["provider"]), "provider")
    after = ovs_plan.wanted(before, "netdev", None, None)
    assert ovs_plan.commands(before, after, "provider") == []
    assert ovs_plan.needs_restart(before, after)


def test_a_bridge_with_another_datapath_is_changed_in_place():
    before = ovs_plan.parse(tables(datapath="", ports=["provider", "eth1", "tap"]), "provider")
    assert before.datapath == "system"
    calls = ovs_plan.commands(before, ovs_plan.wanted(before, "netdev", "eth1", None), "provider")
    assert calls[-1] == ["--may-exist", "add-br", "provider", "--", "set", "Bridge", "provider", "datapath_type=netdev"]


def test_other_managers_stay():
    before = DONE._replace(managers=("ptcp:6650",))
    after = ovs_plan.wanted(before, "netdev", "eth1", "ptcp:6640:127.0.0.1")
    assert ovs_plan.commands(before, after, "provider") == [["set-manager", "ptcp:6640:127.0.0.1", "ptcp:6650"]]


@pytest.mark.parametrize("datapath", ["system", "netdev"])
def test_the_requested_datapath_is_taken_and_check_mode_loads_nothing(run_module, monkeypatch, datapath):
    monkeypatch.setattr(ovs_datapath, "load", None)
    result = run_module("ovs_host", {"datapath": datapath, "port": "lo"}, check=True)
    assert result["datapath"] == datapath
    assert result["changed"]


def test_ovs_host_decides_nothing_by_itself(run_module):
    assert "auto" in run_module("ovs_host", {"datapath": "auto"}, check=True)["msg"]
    assert "datapath" in run_module("ovs_host", {}, check=True)["msg"]


def test_a_module_that_the_kernel_refuses_ends_the_run_with_the_variable_to_set(run_module, monkeypatch):
    calls = []

    def answer(argv, **_options):
        calls.append(list(argv))
        refused = Done(1, "", "modprobe: ERROR: could not insert 'openvswitch': Key was rejected by service")
        return refused if argv[0] == "modprobe" else Done(0, tables(TSO))

    monkeypatch.setattr("ansible.module_utils.host.commands.run", answer)
    monkeypatch.setattr(ovs_datapath, "LOADED", "/sys/module/no-such-module")
    result = run_module("ovs_host", {"datapath": "system"})
    assert result["failed"]
    assert "Key was rejected" in result["msg"] and "set neutron_datapath to netdev" in result["msg"]
    assert calls[-1] == ["modprobe", "openvswitch"], "nothing was changed after the refusal"


def test_an_interface_that_does_not_exist_is_named_with_those_that_do(run_module):
    result = run_module("ovs_host", {"datapath": "netdev", "port": "nosuch0"}, check=True)
    assert result["failed"]
    assert "'nosuch0'" in result["msg"]
    assert "lo" in result["msg"]
