# SPDX-License-Identifier: Apache-2.0
"""When a compute counts as registered, and what a person is told otherwise."""

from __future__ import annotations

import pytest
from ansible.module_utils.stages import nova_compute_hosts

URL = "mysql+pymysql://nova:s3cret-of-nova@127.0.0.1:1/nova"


def judge(services, nodes=(("c1",),)):
    """judge() of the one host c1."""
    return nova_compute_hosts.judge(["c1"], services, nodes, 60)


def test_a_reporting_compute_with_a_hypervisor_is_ready():
    assert judge([("c1", 0, 0, 3)]) == {}


@pytest.mark.parametrize(
    ("services", "nodes", "words"),
    [
        ([], [], "never registered"),
        ([("c2", 0, 0, 3)], [("c2",)], "never registered"),
        ([("c1", 0, 0, 61)], [("c1",)], "last reported 61 s ago"),
        ([("c1", 0, 1, 3)], [("c1",)], "forced down"),
        ([("c1", 0, 0, 3)], [], "no hypervisor"),
    ],
)
def test_a_compute_that_is_not_ready_is_told_why(services, nodes, words):
    assert words in judge(services, nodes)["c1"]


def test_a_compute_is_mapped_before_it_shows_a_hypervisor():
    assert judge([("c1", 0, 0, 3)], nodes=None) == {}
    assert "never registered" in judge([], nodes=None)["c1"]


def test_a_disabled_compute_is_mapped_too():
    assert judge([("c1", 1, 0, 3)]) == {}


def arguments(**changes):
    """Arguments with databases that nobody serves."""
    return {"computes": ["c1", "c2"], "api_database_url": URL, "cell_database_url": URL, **changes}


def test_an_empty_machine_is_predicted(run_module):
    result = run_module("nova_compute_hosts", arguments(), check=True)
    assert (result["changed"], result["mapped"]) == (True, ["c1", "c2"])
    assert "s3cret" not in str(result)


def test_a_wrong_url_is_told_by_its_option(run_module):
    result = run_module("nova_compute_hosts", arguments(api_database_url="sqlite:///x"))
    assert result["failed"]
    assert result["msg"].startswith("api_database_url: ")
