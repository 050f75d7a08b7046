# SPDX-License-Identifier: Apache-2.0
"""The table of the comparison: the phase of each task, medians, ratios."""

from __future__ import annotations

import re
import statistics

# A row, and the pattern of its task names; the baseline names its rows itself (bench.py).
CHECKS, MAPPED = "checks before anything changes", "compute up and mapped"
TASKS = {
    CHECKS: r"^(cloud|preflight|nova_hypervisor) : ",
    MAPPED: r"Map the computes",
}
# A task that carries out stages counts for the rows of its stages.
STAGES = {
    "packages, both hosts in parallel": ("packages",),
    "configuration": ("files",),
    "MariaDB, RabbitMQ, memcached, libvirt, Open vSwitch, accounts": (
        "base_units",
        "databases",
        "messaging_users",
        "prepare",
    ),
    "schemas and cells": ("schema",),
    "Keystone and identity objects": ("identity_units", "identity_endpoints", "identity"),
    "services, until every API answers": ("api_units", "api_endpoints", "queues"),
    "agents": ("agent_units", "finish"),
    MAPPED: ("cells",),
}
ROWS = [CHECKS, *STAGES]
REST = "the rest"
PACKAGES = "packages, both hosts in parallel"
TOTAL, WITHOUT = "in all", "in all, without packages"


def row_of(task: str) -> str:
    """Return the row of a task, by its name."""
    return next((row for row, pattern in TASKS.items() if re.search(pattern, task)), REST)


def row_of_stage(stage: str) -> str:
    """Return the row of a stage."""
    return next((row for row, stages in STAGES.items() if stage in stages), REST)


def shares(task: dict) -> dict:
    """Return row -> seconds of one task, which sum up to its wall time.

    The hosts work in parallel, so the slowest one counts. Its time outside of stages (connection, start of Python) is
    distributed over the rows of its stages in proportion.
    """
    row, hosts = row_of(task["task"]), [seconds for seconds in task.get("stage_seconds", {}).values() if seconds]
    longest = max(hosts, key=lambda seconds: sum(seconds.values()), default={})
    whole = sum(longest.values())
    if row != REST or not whole:
        return {row: task["seconds"]}
    found: dict = {}
    for stage, seconds in longest.items():
        name = row_of_stage(stage)
        found[name] = found.get(name, 0.0) + task["seconds"] * seconds / whole
    return found


def grouped(tasks: list, total: float) -> dict:
    """Return row -> seconds from the callback's tasks; time outside of tasks, like Ansible's start, is in the rest."""
    seconds: dict = {}
    for task in tasks:
        for row, share in shares(task).items():
            seconds[row] = seconds.get(row, 0.0) + share
    return completed(seconds, total)


def completed(seconds: dict, total: float) -> dict:
    """Return the seconds with the rest and the totals; the rows sum up to the wall time."""
    named = {row: value for row, value in seconds.items() if row != REST}
    rows = {**named, REST: total - sum(named.values())}
    return {**rows, TOTAL: total, WITHOUT: total - rows.get(PACKAGES, 0.0)}


def medians(runs: list) -> dict:
    """Return row -> median over the runs; with several runs, the rows need not sum up to the total."""
    rows = dict.fromkeys(row for run in runs for row in run)
    return {row: statistics.median(run.get(row, 0.0) for run in runs) for row in rows}


def ratio(baseline: float | None, ours: float | None) -> str:
    """Return the ratio to the baseline's time; empty where the baseline shows as 0.0."""
    return f"{ours / baseline:.2f}" if baseline and ours and baseline >= 0.05 else ""


def cell(value: float | None) -> str:
    """Return the text of a cell."""
    return "" if value is None else f"{value:.1f}"


def table(baseline: dict, ours: dict) -> str:
    """Return the comparison in markdown."""
    lines = ["| Phase | Baseline, s | `site.yml`, s | Ratio |", "|---|--:|--:|--:|"]
    for row in [*ROWS, REST, TOTAL, WITHOUT]:
        left, right = baseline.get(row), ours.get(row)
        if left is not None or right is not None:
            lines.append(f"| {row} | {cell(left)} | {cell(right)} | {ratio(left, right)} |")
    return "\n".join(lines)


def differences(one: dict, other: dict) -> list:
    """Return the differences in the outcome of two runs: packages installed, services running."""
    lines = []
    for what, there in one["outcome"].items():
        for run, only in ((one, set(there)), (other, set(other["outcome"][what]))):
            missing = sorted((set(there) | set(other["outcome"][what])) - only)
            if missing:
                lines.append(f"{what}: {run['side']} does not have {', '.join(missing)}")
    return lines


def loads(runs: list) -> str:
    """Return the load average before and after each run, which shows a noisy computer."""
    lines = ["| Run | Side | Load average before | after |", "|--:|---|--:|--:|"]
    for number, run in enumerate(runs, 1):
        before, after = run["load"]
        lines.append(f"| {number} | {run['side']} | {before:.1f} | {after:.1f} |")
    return "\n".join(lines)
