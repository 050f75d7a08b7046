# SPDX-License-Identifier: Apache-2.0
"""When a compute host is ready, and the reasons why it is not."""

from __future__ import annotations

import pytest
from ansible.module_utils.stages import nova_compute_hosts

URL = "mysql+pymysql://nova:s3cret-of-nova@127.0.0.1:1/nova"


def reasons(services, nodes=(("c1",),)):
    """Return the reasons of the one host c1."""
    return nova_compute_hosts.reasons_not_ready(["c1"], services, nodes, 60)


def test_a_reporting_compute_with_a_hypervisor_is_ready():
    assert reasons([("c1", 0, 0, 3)]) == {}


@pytest.mark.parametrize(
    ("services", "nodes", "text"),
    [
        ([], [], "never registered"),
        ([("c2", 0, 0, 3)], [("c2",)], "never registered"),
        ([("c1", 0, 0, 61)], [("c1",)], "last reported 61 s ago"),
        ([("c1", 0, 1, 3)], [("c1",)], "forced down"),
        ([("c1", 0, 0, 3)], [], "no hypervisor"),
    ],
)
def test_a_compute_that_is_not_ready_has_a_reason(services, nodes, text):
    assert text in reasons(services, nodes)["c1"]


def test_a_compute_is_mapped_before_it_shows_a_hypervisor():
    assert reasons([("c1", 0, 0, 3)], nodes=None) == {}
    assert "never registered" in reasons([], nodes=None)["c1"]


def test_a_disabled_compute_is_mapped_too():
    assert reasons([("c1", 1, 0, 3)]) == {}


def arguments(**changes):
    """Return arguments with databases that do not answer."""
    return {"computes": ["c1", "c2"], "api_database_url": URL, "cell_database_url": URL, **changes}


def test_an_empty_host_is_predicted(run_module):
    result = run_module("nova_compute_hosts", arguments(), check=True)
    assert (result["changed"], result["mapped"]) == (True, ["c1", "c2"])
    assert "s3cret" not in str(result)


def test_a_wrong_url_is_named_by_its_option(run_module):
    result = run_module("nova_compute_hosts", arguments(api_database_url="sqlite:///x"))
    assert result["failed"]
    assert result["msg"].startswith("api_database_url: ")
