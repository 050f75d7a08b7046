# SPDX-License-Identifier: Apache-2.0
"""From the seconds of two contestants to a table: which phase a task belongs to, medians, ratios."""

from __future__ import annotations

import re
import statistics

# A row, and what the names of our tasks for it look like; the baseline names its rows itself (bench.py).
CHECKS, MAPPED = "checks before anything changes", "compute up and mapped"
TASKS = {
    CHECKS: r"^(cloud|preflight|nova_hypervisor) : ",
    MAPPED: r"Map the computes",
}
# A task that carries out stages counts for the rows of its stages.
STAGES = {
    "packages, both hosts side by side": ("packages",),
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
PACKAGES = "packages, both hosts side by side"
TOTAL, WITHOUT = "in all", "in all, without packages"


def row_of(task: str) -> str:
    """Return the row that a task of ours belongs to by its name."""
    return next((row for row, pattern in TASKS.items() if re.search(pattern, task)), REST)


def row_of_stage(stage: str) -> str:
    """Return the row that a stage of a plan belongs to."""
    return next((row for row, stages in STAGES.items() if stage in stages), REST)


def shares(task: dict) -> dict:
    """Return row -> seconds of one task, which sum up to its wall time.

    The hosts work side by side, so the one that took longest decides; what it did besides its stages (connection,
    start of Python) goes to the rows of the stages in proportion.
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
    """Return row -> seconds from the callback's tasks; what is not a task, like Ansible's start, is of the rest."""
    seconds: dict = {}
    for task in tasks:
        for row, share in shares(task).items():
            seconds[row] = seconds.get(row, 0.0) + share
    return completed(seconds, total)


def completed(seconds: dict, total: float) -> dict:
    """Return the seconds with the rest and the totals, so that the rows sum up to the wall time."""
    named = {row: value for row, value in seconds.items() if row != REST}
    rows = {**named, REST: total - sum(named.values())}
    return {**rows, TOTAL: total, WITHOUT: total - rows.get(PACKAGES, 0.0)}


def medians(runs: list) -> dict:
    """Return row -> median over the runs; of rows, so they need not sum up to the total when there are several."""
    rows = dict.fromkeys(row for run in runs for row in run)
    return {row: statistics.median(run.get(row, 0.0) for run in runs) for row in rows}


def ratio(baseline: float | None, ours: float | None) -> str:
    """Return what part of the baseline's time ours took; nothing where the baseline shows as 0.0."""
    return f"{ours / baseline:.2f}" if baseline and ours and baseline >= 0.05 else ""


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def table(baseline: dict, ours: dict) -> str:
    """Return the comparison in markdown."""
    lines = ["| Phase | Baseline, s | Ours, s | Ours ÷ baseline |", "|---|--:|--:|--:|"]
    for row in [*ROWS, REST, TOTAL, WITHOUT]:
        left, right = baseline.get(row), ours.get(row)
        if left is not None or right is not None:
            lines.append(f"| {row} | {cell(left)} | {cell(right)} | {ratio(left, right)} |")
    return "\n".join(lines)


def differences(one: dict, other: dict) -> list:
    """Return how the outcome of a run differs from that of another: packages installed, services running."""
    lines = []
    for what, there in one["outcome"].items():
        for run, only in ((one, set(there)), (other, set(other["outcome"][what]))):
            missing = sorted((set(there) | set(other["outcome"][what])) - only)
            if missing:
                lines.append(f"{what}: {run['contestant']} lacks {', '.join(missing)}")
    return lines


def loads(runs: list) -> str:
    """Return the load average around each run; a noisy computer shows here."""
    lines = ["| Run | Contestant | Load average before | after |", "|--:|---|--:|--:|"]
    for number, run in enumerate(runs, 1):
        before, after = run["load"]
        lines.append(f"| {number} | {run['contestant']} | {before:.1f} | {after:.1f} |")
    return "\n".join(lines)
