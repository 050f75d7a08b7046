# SPDX-License-Identifier: Apache-2.0
"""The comparison with plain commands: the phase of each task, and whether both sides do the same work."""

from __future__ import annotations

import re

import bench
import bench_table
import project
import pytest
from ansible.module_utils.plan.stage_table import NAMES

BASELINE = project.ROOT / "tests/bench/baseline"


@pytest.mark.parametrize("stage", NAMES)
def test_every_stage_of_a_deployment_has_a_row(stage):
    assert bench_table.row_of_stage(stage) not in (bench_table.REST, bench_table.CHECKS)


def test_the_stages_of_the_rows_are_those_that_there_are():
    assert sorted(stage for stages in bench_table.STAGES.values() for stage in stages) == sorted(NAMES)


@pytest.mark.parametrize("role", ["cloud", "preflight", "nova_hypervisor"])
def test_the_checks_are_the_tasks_of_roles_that_check(role):
    paths = project.files(f"roles/{role}/tasks/*.yml")
    names = [task["name"] for path in paths for task in project.tasks_of(project.load(path))]
    assert names
    assert {bench_table.row_of(f"{role} : {name}") for name in names} == {bench_table.CHECKS}


def test_every_row_but_the_checks_is_timed_for_both():
    timed = {row for row, _, _ in bench.BASELINE} | {bench_table.PACKAGES}
    assert set(bench_table.ROWS) - timed == {bench_table.CHECKS}
    assert timed - set(bench_table.ROWS) == set()


def test_rows_sum_up_to_the_wall_time():
    tasks = [
        {"task": "preflight : Check each host", "seconds": 2.0, "stage_seconds": {"a": {"packages": 1.5}}},
        {"task": "deploy : Install", "seconds": 100.0, "stage_seconds": {"a": {"packages": 90.0}}},
        {
            "task": "deploy : Run",
            "seconds": 15.0,
            "stage_seconds": {"a": {"api_units": 9.0, "api_endpoints": 4.0}, "b": {}},
        },
        {"task": "Map the computes into their cell", "seconds": 1.0, "stage_seconds": {"a": {"cells": 0.5}}},
        {"task": "something else", "seconds": 0.5, "stage_seconds": {}},
    ]
    rows = bench_table.grouped(tasks, total=120.0)
    assert rows["checks before anything changes"] == 2.0
    assert rows["services, until every API answers"] == pytest.approx(15.0)
    assert rows["compute up and mapped"] == 1.0
    assert rows[bench_table.REST] == pytest.approx(2.0)
    assert rows[bench_table.TOTAL] == 120.0
    assert rows[bench_table.WITHOUT] == pytest.approx(20.0)


def test_a_task_of_several_stages_is_shared_among_their_rows_as_on_the_host_that_took_longest():
    task = {
        "task": "deploy : Write the configuration files",
        "seconds": 20.0,
        "stage_seconds": {"a": {"files": 1.0, "base_units": 6.0, "prepare": 3.0}, "b": {"files": 2.0, "prepare": 2.0}},
    }
    foundation = "MariaDB, RabbitMQ, memcached, libvirt, Open vSwitch, accounts"
    assert bench_table.shares(task) == pytest.approx({"configuration": 2.0, foundation: 18.0})


def test_medians_are_of_the_runs_and_a_phase_that_a_run_lacks_took_no_time():
    assert bench_table.medians([{"a": 1.0, "b": 4.0}, {"a": 9.0}, {"a": 2.0}]) == {"a": 2.0, "b": 0.0}


def test_the_table_compares_and_leaves_empty_what_cannot_be_compared():
    text = bench_table.table(
        {"schemas and cells": 30.0, "the rest": 0.01, "in all": 60.0},
        {"schemas and cells": 20.0, "checks before anything changes": 5.0, "the rest": 1.0, "in all": 40.0},
    )
    assert "| schemas and cells | 30.0 | 20.0 | 0.67 |" in text
    assert "| checks before anything changes |  | 5.0 |  |" in text
    assert "| the rest | 0.0 | 1.0 |  |" in text
    assert text.splitlines()[-1] == "| in all | 60.0 | 40.0 | 0.67 |"


def test_another_outcome_is_noticed():
    def run(name, *services):
        return {"side": name, "outcome": {"services of controller1": [*services]}}

    one = run("baseline", "glance-api", "keystone")
    assert bench_table.differences(one, run("ours", "keystone", "glance-api")) == []
    assert bench_table.differences(one, run("ours", "keystone", "memcached")) == [
        "services of controller1: baseline does not have memcached",
        "services of controller1: ours does not have glance-api",
    ]


def test_the_sides_alternate():
    assert bench.schedule(1) == ["baseline", "ours"]
    assert bench.schedule(2) == ["baseline", "ours", "ours", "baseline"]


@pytest.mark.parametrize("host", ["controller1", "compute1"])
def test_the_baseline_installs_what_our_plan_of_a_host_has(host):
    text = (BASELINE / "packages.sh").read_text(encoding="utf-8")
    kind = host.rstrip("1")
    packages = re.search(rf'\[{kind}\]="([^"]*)"', text)[1].split()
    assert sorted(packages) == sorted(project.plan_of(f"split-{kind}", "epoxy")["packages"])


@pytest.mark.parametrize("host", ["controller1", "compute1"])
def test_the_baseline_gives_debconf_the_answers_of_our_plan(host):
    text = (BASELINE / "packages.sh").read_text(encoding="utf-8")
    wanted = [
        line for line in project.plan_of(f"split-{host.rstrip('1')}", "epoxy")["debconf"] if "address" not in line
    ]
    assert [line for line in wanted if line not in text.splitlines()] == []


def test_the_baseline_has_a_function_for_every_phase():
    for _, host, phase in bench.BASELINE:
        text = (BASELINE / f"{bench.HOSTS[host]}.sh").read_text(encoding="utf-8")
        assert re.search(rf"^{phase}\(\) \{{", text, re.M), f"{host}: {phase}"
