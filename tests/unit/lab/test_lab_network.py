# SPDX-License-Identifier: Apache-2.0
"""The networks of a lab: what is missing is made, what is whole is left alone."""

from __future__ import annotations

import json
import os

import lab_network
import pytest
from ansible.module_utils.lab_process import LabError

MACHINE = {"name": "compute1", "address": "10.77.0.21"}
WHOLE = {
    "mgmt": {"up": True, "master": "", "alias": "/l", "addresses": {"10.77.0.1/24"}},
    "prov": {"up": True, "master": "", "alias": "/l", "addresses": {"10.88.0.1/24"}},
    "m21": {"up": True, "master": "mgmt", "alias": "", "addresses": set()},
    "p21": {"up": True, "master": "prov", "alias": "", "addresses": set()},
}
INSIDE = {
    "eth0": {"up": True, "master": "", "alias": "", "addresses": {"10.77.0.21/24"}},
    "eth1": {"up": True, "master": "", "alias": "", "addresses": set()},
}


@pytest.fixture(autouse=True)
def namespaces(monkeypatch):
    """Every namespace has its file."""
    exists = os.path.exists
    monkeypatch.setattr(
        lab_network.os.path, "exists", lambda path: str(path).startswith("/run/netns/nova-lab") or exists(path)
    )


def commands(steps: list) -> list:
    return [" ".join(step) for step in steps]


def without(devices: dict, *names: str) -> dict:
    return {name: value for name, value in devices.items() if name not in names}


def test_a_whole_network_needs_nothing():
    assert lab_network.bridge_steps("lab", "/l", WHOLE) == []
    assert lab_network.machine_steps("lab", MACHINE, WHOLE, INSIDE) == []


def test_a_new_lab_gets_both_bridges_with_the_gateways():
    steps = commands(lab_network.bridge_steps("lab", "/l", {}))
    assert steps[0] == "netns add nova-lab"
    assert "-n nova-lab address replace 10.77.0.1/24 dev mgmt" in steps
    assert "-n nova-lab address replace 10.88.0.1/24 dev prov" in steps
    assert "-n nova-lab link set mgmt alias /l" in steps


def test_a_device_that_lost_its_other_end_is_removed_first():
    steps = commands(lab_network.machine_steps("lab", MACHINE, WHOLE, {}))
    assert steps.index("-n nova-lab link delete m21") < steps.index(
        "link add m21 netns nova-lab type veth peer name eth0 netns nova-lab.compute1"
    )
    steps = commands(lab_network.machine_steps("lab", MACHINE, without(WHOLE, "m21", "p21"), INSIDE))
    assert "-n nova-lab.compute1 link delete eth0" in steps
    assert steps[-2:] == [
        "-n nova-lab.compute1 address replace 10.77.0.21/24 dev eth0",
        "-n nova-lab.compute1 route replace default via 10.77.0.1",
    ]


def test_a_lost_provider_port_leaves_the_management_network_alone():
    steps = commands(lab_network.machine_steps("lab", MACHINE, without(WHOLE, "p21"), without(INSIDE, "eth1")))
    assert steps == [
        "link add p21 netns nova-lab type veth peer name eth1 netns nova-lab.compute1",
        "-n nova-lab.compute1 link set eth1 up",
        "-n nova-lab link set p21 master prov up",
    ]


def test_a_port_that_left_its_bridge_is_put_back():
    loose = {**WHOLE, "m21": {**WHOLE["m21"], "master": ""}}
    assert commands(lab_network.machine_steps("lab", MACHINE, loose, INSIDE)) == [
        "-n nova-lab link set m21 master mgmt up"
    ]


def test_names_of_devices_are_short_enough_for_the_kernel():
    for number in range(1, 255):
        machine = {"name": "compute1", "address": f"10.77.0.{number}"}
        for step in commands(lab_network.machine_steps("lab", machine, {}, {})):
            if step.startswith("link add"):
                assert len(step.split()[2]) <= 15


def test_the_ways_out_listen_on_loopback_only():
    lab = {
        "name": "lab",
        "machines": [{"name": "controller1", "address": "10.77.0.11"}],
        "forwards": [{"name": "novnc", "machine": "controller1", "port": 6080, "listen": 6081}],
    }
    doors = lab_network.doors(lab)
    outside = {key: addresses for key, (_, space, addresses) in doors.items() if not space}
    assert list(outside) == ["forward-novnc-out"]
    assert "TCP4-LISTEN:6081,bind=127.0.0.1," in outside["forward-novnc-out"][0]
    assert doors["forward-novnc-in"][2][1] == "TCP4:10.77.0.11:6080"


def test_a_lab_of_ipv6_has_it_on_the_management_network_only():
    steps = commands(lab_network.bridge_steps("lab", "/l", {}, "ipv6"))
    assert "-n nova-lab address replace fd00:77::1/64 dev mgmt nodad" in steps
    assert "-n nova-lab address replace 10.88.0.1/24 dev prov" in steps
    machine = {"name": "compute1", "address": "fd00:77::21"}
    steps = commands(lab_network.machine_steps("lab", machine, {}, {}))
    assert "link add m21 netns nova-lab type veth peer name eth0 netns nova-lab.compute1" in steps
    assert steps[-2:] == [
        "-n nova-lab.compute1 address replace fd00:77::21/64 dev eth0 nodad",
        "-n nova-lab.compute1 route replace default via fd00:77::1",
    ]
    assert not [step for step in steps if "10.77" in step]
    whole = {**WHOLE, "mgmt": {**WHOLE["mgmt"], "addresses": {"fd00:77::1/64"}}}
    inside = {**INSIDE, "eth0": {**INSIDE["eth0"], "addresses": {"fd00:77::21/64"}}}
    assert lab_network.bridge_steps("lab", "/l", whole, "ipv6") == []
    assert lab_network.machine_steps("lab", machine, whole, inside) == []


def test_the_ways_of_a_lab_of_ipv6_end_there():
    lab = {
        "name": "lab",
        "family": "ipv6",
        "machines": [{"name": "controller1", "address": "fd00:77::11"}],
        "forwards": [{"name": "novnc", "machine": "controller1", "port": 6080, "listen": 6081}],
    }
    doors = lab_network.doors(lab)
    assert doors["apt"][2][0].startswith("TCP6-LISTEN:3142,bind=[fd00:77::1],")
    assert doors["forward-novnc-in"][2][1] == "TCP6:[fd00:77::11]:6080"
    assert doors["forward-novnc-out"][2][0].startswith("TCP4-LISTEN:6081,bind=127.0.0.1,")


def test_a_namespace_of_another_checkout_is_left_alone(monkeypatch, tmp_path):
    other = {"mgmt": {**WHOLE["mgmt"], "alias": str(tmp_path)}}
    monkeypatch.setattr(lab_network, "links", lambda space: other)
    with pytest.raises(LabError, match="another checkout: choose another LAB_NAME"):
        lab_network.check_owner("lab", "/my/.lab/lab")
    assert lab_network.check_owner("lab", str(tmp_path)) == other
    tmp_path.rmdir()  # nobody's any more
    assert lab_network.check_owner("lab", "/my/.lab/lab") == other


def test_a_door_counts_only_with_its_arguments_and_in_its_namespace(tmp_path):
    pidfile = str(tmp_path / "d.pid")
    lab_network.start(pidfile, ["sleep", "60"], str(tmp_path), str(tmp_path / "log"))
    try:
        assert lab_network.is_open(pidfile, ["sleep", "60"], "")
        assert not lab_network.is_open(pidfile, ["sleep", "61"], "")
        assert not lab_network.is_open(pidfile, ["sleep", "60"], "nova-lab-that-is-not-there")
    finally:
        lab_network.stop(pidfile)
    assert not lab_network.is_open(pidfile, ["sleep", "60"], "")


def test_devices_are_read_from_ip(monkeypatch):
    answer = [
        {
            "ifname": "mgmt",
            "flags": ["UP", "LOWER_UP"],
            "ifalias": "/l",
            "addr_info": [
                {"family": "inet", "local": "10.77.0.1", "prefixlen": 24, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        }
    ]
    done = lab_network.run(["echo", json.dumps(answer)])
    monkeypatch.setattr(lab_network, "run", lambda *args, **kwargs: done)
    assert lab_network.links("nova-lab") == {"mgmt": WHOLE["mgmt"]}
