# SPDX-License-Identifier: Apache-2.0
"""The comparison with plain commands: who is charged for what, and whether both contestants do the same work."""

from __future__ import annotations

import re

import bench
import bench_table
import project
import pytest

DEPLOY = [
    task["name"]
    for part in ("base", "services")
    for task in project.load(project.ROOT / f"roles/deploy/tasks/{part}.yml")
]
BASELINE = project.ROOT / "tests/bench/baseline"


@pytest.mark.parametrize("task", DEPLOY[1:])
def test_every_stage_of_a_deployment_has_a_row(task):
    assert bench_table.row_of(f"deploy : {task}") not in (bench_table.REST, "checks before anything changes")


def test_every_row_but_the_checks_is_timed_for_both():
    timed = {row for row, _, _ in bench.BASELINE} | {bench_table.PACKAGES}
    assert set(bench_table.ROWS) - timed == {"checks before anything changes"}
    assert timed - set(bench_table.ROWS) == set()


def test_rows_sum_up_to_the_wall_time():
    tasks = [
        {"task": "preflight : Check the release", "seconds": 2.0},
        {"task": "deploy : Install the packages of this host in one transaction", "seconds": 100.0},
        {"task": "deploy : Run the services of this host on their current files", "seconds": 10.0},
        {"task": "deploy : Wait until every API answers", "seconds": 5.0},
        {"task": "something else", "seconds": 1.0},
    ]
    rows = bench_table.grouped(tasks, total=120.0)
    assert rows["checks before anything changes"] == 2.0
    assert rows["services, until every API answers"] == 15.0
    assert rows[bench_table.REST] == pytest.approx(3.0)
    assert rows[bench_table.TOTAL] == 120.0
    assert rows[bench_table.WITHOUT] == 20.0


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
        return {"contestant": name, "outcome": {"services of controller1": [*services]}}

    one = run("baseline", "glance-api", "keystone")
    assert bench_table.differences(one, run("ours", "keystone", "glance-api")) == []
    assert bench_table.differences(one, run("ours", "keystone", "memcached")) == [
        "services of controller1: baseline lacks memcached",
        "services of controller1: ours lacks glance-api",
    ]


def test_who_begins_alternates():
    assert bench.schedule(1) == ["baseline", "ours"]
    assert bench.schedule(2) == ["baseline", "ours", "ours", "baseline"]


@pytest.mark.parametrize("host", ["controller1", "compute1"])
def test_the_baseline_installs_what_our_plan_of_a_host_has(host):
    text = (BASELINE / "packages.sh").read_text(encoding="utf-8")
    kind = host.rstrip("1")
    packages = re.search(rf'\[{kind}\]="([^"]*)"', text)[1].split()
    assert sorted(packages) == sorted(project.Plan(host, project.SPLIT)["deploy_plan_packages"])


@pytest.mark.parametrize("host", ["controller1", "compute1"])
def test_the_baseline_gives_debconf_the_answers_of_our_plan(host):
    text = (BASELINE / "packages.sh").read_text(encoding="utf-8")
    wanted = [line for line in project.Plan(host, project.SPLIT)["deploy_plan_debconf"] if "address" not in line]
    assert [line for line in wanted if line not in text.splitlines()] == []


def test_the_baseline_has_a_function_for_every_phase():
    for _, host, phase in bench.BASELINE:
        text = (BASELINE / f"{bench.HOSTS[host]}.sh").read_text(encoding="utf-8")
        assert re.search(rf"^{phase}\(\) \{{", text, re.M), f"{host}: {phase}"
