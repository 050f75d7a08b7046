# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the services of Nova and the agents of Neutron."""

from __future__ import annotations

import pytest
from ansible.module_utils.smoke import cloud_checks


def service(binary, host="c1", status="enabled", state="up"):
    return {"binary": binary, "host": host, "status": status, "state": state, "updated_at": "noon"}


HEALTHY = [
    service("nova-conductor"),
    service("nova-scheduler"),
    service("nova-compute", "h1"),
    service("nova-compute", "h2"),
]


def test_healthy_services_have_no_problem():
    assert cloud_checks.service_problems(HEALTHY, ["h1", "h2"]) == []


def test_a_service_that_is_down_is_reported_unless_it_is_disabled():
    assert cloud_checks.service_problems([*HEALTHY, service("nova-compute", "h3", state="down")]) == [
        "nova-compute on h3 is down, last seen at noon"
    ]
    assert cloud_checks.service_problems([*HEALTHY, service("nova-compute", "h3", "disabled", "down")]) == []


@pytest.mark.parametrize("missing", ["nova-conductor", "nova-scheduler", "nova-compute"])
def test_a_missing_service_that_is_needed_is_reported(missing):
    problems = cloud_checks.service_problems([entry for entry in HEALTHY if entry["binary"] != missing])
    assert problems == [f"no {missing} is enabled and up"]


def test_a_requested_host_without_a_working_compute_is_reported():
    listed = [*HEALTHY[:3], service("nova-compute", "h2", "disabled")]
    assert cloud_checks.service_problems(listed, ["h1", "h2"]) == [
        "no nova-compute is enabled and up on h2; there is one on h1"
    ]


def test_a_dead_agent_is_reported_unless_it_is_disabled():
    agents = [
        {
            "binary": "neutron-dhcp-agent",
            "host": "c1",
            "heartbeat_timestamp": "noon",
            "alive": alive,
            "admin_state_up": up,
        }
        for alive, up in ((True, True), (False, True), (False, False))
    ]
    assert cloud_checks.agent_problems(agents) == ["neutron-dhcp-agent on c1 is not alive, last seen at noon"]


def test_problems_may_disappear_within_the_time():
    states = iter([["a"], ["a"], []])
    assert cloud_checks.wait_healthy(lambda: next(states), lambda listed: listed, 30) == ([], [])
    assert cloud_checks.wait_healthy(lambda: ["down"], lambda listed: listed, 0) == (["down"], ["down"])
