# SPDX-License-Identifier: Apache-2.0
"""Test instances: their names, and the reason when one does not become ACTIVE."""

from __future__ import annotations

import pytest
from ansible.module_utils.smoke import instances
from ansible.module_utils.smoke.steps import StepFailed
from fake_cloud import FakeCloud

EVENTS = [
    {"event": "schedule", "result": "Success", "host": "h2", "traceback": None},
    {"event": "build", "result": "Error", "host": "h1", "traceback": "Trace\n  File x\nPortBindingFailed: p1\n\n"},
    {"event": "build", "result": "Error", "traceback": None},
]
ACTIONS = {
    "/servers/s1/os-instance-actions": {"instanceActions": [{"request_id": "r1", "action": "create"}]},
    "/servers/s1/os-instance-actions/r1": {"instanceAction": {"events": EVENTS}},
    "/agents": {"agents": [{"binary": "a", "host": "h1", "alive": False}]},
}


def test_instances_are_named_by_host():
    assert instances.wanted_names("verify", []) == {"verify": None}
    assert instances.wanted_names("verify", ["h1", "h2"]) == {"verify-h1": "h1", "verify-h2": "h2"}


def test_the_reason_of_a_fault_is_in_the_actions_of_the_instance():
    cloud = FakeCloud(ACTIONS)
    events = ["build on h1: PortBindingFailed: p1", "build on None: no reason kept"]
    assert instances.build_events(cloud, "s1") == (events, ["h1", "h2"])
    hints = instances.fault_hints(cloud, "s1", "Exceeded maximum number of retries")
    assert hints[2] == "agent a on h1: NOT ALIVE" and hints[-1].startswith("Look at nova-compute.log on h1 and h2,")
    lines, hosts = instances.build_events(cloud, "gone")
    assert "cannot be read: GET" in lines[0] and hosts == []


def test_an_instance_in_error_is_reported_with_its_fault():
    server = {"id": "s1", "name": "v", "status": "ERROR", "fault": {"message": "No valid host was found."}}
    services = [{"binary": "nova-compute", "host": "h1", "status": "enabled", "state": "down"}]
    cloud = FakeCloud({**ACTIONS, "/servers/s1": {"server": server}, "/os-services": {"services": services}})
    with pytest.raises(StepFailed, match="Nova set instance v to ERROR: No valid host was found") as error:
        instances.wait_active(cloud, ["s1"], 5)
    assert "nova-compute on h1: enabled, down" in error.value.hints


@pytest.mark.parametrize(
    ("host", "hint"),
    [(None, "No host has it yet"), ("h1", "Look at nova-compute.log on h1: does it receive messages")],
)
def test_an_instance_that_is_not_active_in_time_is_reported_with_its_host(host, hint):
    server = {"id": "s1", "name": "v", "status": "BUILD", "OS-EXT-SRV-ATTR:host": host}
    cloud = FakeCloud({**ACTIONS, "/servers/s1": {"server": server}, "/os-services": {"services": []}})
    with pytest.raises(StepFailed, match=r"instance v is BUILD \(task None, host") as error:
        instances.wait_active(cloud, ["s1"], 0)
    assert error.value.hints[-1].startswith(hint)


def test_an_instance_without_an_address_is_reported():
    ports = [{"fixed_ips": [{"ip_address": "fd00::5"}]}]
    with pytest.raises(StepFailed, match="no port with an IPv4 address for instance v"):
        instances.instance_of(FakeCloud({"/ports": {"ports": ports}}), {"id": "s1", "name": "v", "status": "ACTIVE"})
