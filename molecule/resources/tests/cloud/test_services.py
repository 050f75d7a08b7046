# SPDX-License-Identifier: Apache-2.0
"""The cloud as its APIs describe it to a client on a controller."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://nova_controllers"]
OF_A_CONTROLLER = {"nova-conductor", "nova-scheduler"}


@pytest.fixture(scope="module")
def groups(host, machines) -> dict:
    """Return the groups with the host names of the machines; an inventory may use other names."""
    own = {name: machine.check_output("hostname") for name, machine in machines.items()}
    known = host.ansible.get_variables()["groups"]
    return {group: [own[name] for name in names if name in own] for group, names in known.items()}


def test_every_service_of_nova_is_up_and_there_is_no_other(cloud, groups):
    wanted = {(binary, name) for binary in OF_A_CONTROLLER for name in groups["nova_controllers"]}
    wanted |= {("nova-compute", name) for name in groups["nova_computes"]}
    assert {(row["binary"], row["host"]) for row in cloud["services"]} == wanted
    assert [row for row in cloud["services"] if (row["state"], row["status"]) != ("up", "enabled")] == []


def test_every_compute_offers_its_resources(cloud, groups):
    computes = set(groups["nova_computes"])
    assert {row["hypervisor_hostname"] for row in cloud["hypervisors"] if row["state"] == "up"} == computes
    assert {row["name"] for row in cloud["providers"]} == computes


def test_every_agent_of_the_network_is_alive(cloud, groups):
    agents = {(row["agent_type"], row["host"]) for row in cloud["agents"] if row["alive"]}
    assert {("Open vSwitch agent", name) for name in groups["nova_computes"]} <= agents
    assert {kind for kind, _ in agents} >= {"Open vSwitch agent", "DHCP agent", "Metadata agent"}
    assert len(agents) == len(cloud["agents"]), "an agent is dead"


@pytest.mark.parametrize("kind", ["servers", "flavors", "networks", "ports", "images"])
def test_the_smoke_test_left_nothing_behind(cloud, kind):
    assert cloud[kind] == []


def test_the_smoke_test_left_no_security_group_behind(cloud):
    assert {row["name"] for row in cloud["security_groups"]} <= {"default"}
