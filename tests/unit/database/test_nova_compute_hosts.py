# SPDX-License-Identifier: Apache-2.0
"""When a compute host is ready, and the reasons why it is not."""

from __future__ import annotations

import pytest
from ansible.module_utils.host.commands import Done
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


@pytest.fixture
def cell(monkeypatch):
    """Return the rows of the databases by query; nova-manage maps the hosts of `discovers`."""
    rows = {
        nova_compute_hosts.SERVICES: [(host, 0, 0, 3) for host in ("c1", "c2")],
        nova_compute_hosts.NODES: [("c1",), ("c2",)],
        nova_compute_hosts.MAPPINGS: [("c1",)],
        "discovers": ["c2"],
        "ran": [],
    }

    def run(argv, **options):
        rows["ran"].append((argv, options["user"]))
        rows[nova_compute_hosts.MAPPINGS] += [(host,) for host in rows["discovers"]]
        return Done(2, "Error: no such cell", "")

    monkeypatch.setattr(nova_compute_hosts.sql_url, "query", lambda _url, text, **_options: rows[text])
    monkeypatch.setattr(nova_compute_hosts.sql_url, "available", lambda: True)
    monkeypatch.setattr(nova_compute_hosts.commands, "run", run)
    return rows


def test_hosts_without_a_mapping_are_mapped_once(run_module, cell):
    assert run_module("nova_compute_hosts", arguments(), check=True)["mapped"] == ["c2"] and not cell["ran"]
    result = run_module("nova_compute_hosts", arguments())
    assert (result["changed"], result["mapped"]) == (True, ["c2"])
    assert cell["ran"] == [(["nova-manage", "cell_v2", "discover_hosts", "--by-service"], "nova")]
    assert run_module("nova_compute_hosts", arguments())["mapped"] == [] and len(cell["ran"]) == 1


def test_hosts_that_stay_unmapped_are_named_with_the_output_of_nova_manage(run_module, cell):
    cell["discovers"] = []
    result = run_module("nova_compute_hosts", arguments())
    assert result["failed"] and "ended with 2 and left c2 without a cell: Error: no such cell" in result["msg"]


def test_hosts_that_are_not_ready_in_time_are_named_with_those_that_are(run_module, cell):
    cell[nova_compute_hosts.SERVICES].pop()
    result = run_module("nova_compute_hosts", arguments(timeout=0))
    assert result["failed"] and result["mapped"] == []
    assert "c2: nova-compute never registered." in result["msg"]
    assert "Waited 0 s; registered are: c1." in result["msg"]


def test_a_mapped_host_is_returned_even_when_its_hypervisor_does_not_show(run_module, cell):
    cell[nova_compute_hosts.NODES].pop()
    result = run_module("nova_compute_hosts", arguments(timeout=0))
    assert result["failed"] and result["mapped"] == ["c2"]
    assert "c2: nova-compute registered, but shows no hypervisor yet." in result["msg"]
