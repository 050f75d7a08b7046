# SPDX-License-Identifier: Apache-2.0
"""Time a deployment by plain commands and one by nova-ansible, on fresh machines in the same run, and write a table.

Environment: BENCH_ROUNDS (1), BENCH_KEEP=1 (keep the machines of the run that failed, or of the last one).
docs/performance.md explains what is compared.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import bench_table
from bench_lab import HOSTS, MACHINES, ROOT, BenchError, Lab

RESULTS = ROOT / ".cache/bench"
NAMES = {"baseline": "bb", "ours": "bo"}
CONTROLLER, COMPUTE = HOSTS
# The commands in their order: phase (row of the table), host, phase of that host's script.
BASELINE = (
    ("configuration", CONTROLLER, "configuration"),
    ("configuration", COMPUTE, "configuration"),
    ("MariaDB, RabbitMQ, memcached, libvirt, Open vSwitch, accounts", CONTROLLER, "foundation"),
    ("MariaDB, RabbitMQ, memcached, libvirt, Open vSwitch, accounts", COMPUTE, "foundation"),
    ("schemas and cells", CONTROLLER, "schemas"),
    ("Keystone and identity objects", CONTROLLER, "identity"),
    ("services, until every API answers", CONTROLLER, "start"),
    ("agents", CONTROLLER, "agents"),
    ("agents", COMPUTE, "agents"),
    ("compute up and mapped", CONTROLLER, "mapped"),
)


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.datetime.now():%H:%M:%S}  {text}", flush=True)


def baseline(lab: Lab, _phases: Path) -> dict:
    """Deploy by plain commands, one after another; only packages are installed in parallel."""
    begun = time.monotonic()
    installs = [lab.script(host, "baseline/packages.sh", "install", kind) for host, kind in HOSTS.items()]
    seconds = {bench_table.PACKAGES: lab.run(*installs)}
    for row, host, phase in BASELINE:
        seconds[row] = seconds.get(row, 0.0) + lab.run(lab.script(host, f"baseline/{HOSTS[host]}.sh", phase))
    return bench_table.completed(seconds, time.monotonic() - begun)


def ours(lab: Lab, phases: Path) -> dict:
    """Deploy as an operator does, preflight included; the test instance comes after the measurement."""
    total = lab.playbook("site", "-e", '{"verify_enabled": false}', PHASES_FILE=str(phases))
    return bench_table.grouped(json.loads(phases.read_text(encoding="utf-8"))["tasks"], total)


def measure(side: str, number: int, keep: bool, last: bool) -> dict:
    """Deploy with one side on fresh machines, verify the outcome, remove the machines."""
    stem = f"{number}-{side}"
    lab = Lab(NAMES[side], RESULTS / f"{stem}.log")
    wanted = keep  # on a failure
    lab.refuse_existing()
    try:
        say(f"{side}: machines, and every package into the cache")
        lab.up()
        if side == "ours":
            lab.playbook("secrets")
        before = os.getloadavg()[0]
        say(f"{side}: measuring, load average {before:.1f}")
        seconds = {"baseline": baseline, "ours": ours}[side](lab, RESULTS / f"{stem}-tasks.json")
        after = os.getloadavg()[0]
        say(f"{side}: {seconds[bench_table.TOTAL]:.1f} s, load average {after:.1f}; verifying, untimed")
        lab.run(lab.script(CONTROLLER, "verify.sh", lab.hosts[CONTROLLER]["ansible_host"]))
        outcome = lab.outcome()
        if side == "ours":
            lab.playbook("verify")
        wanted = keep and last
    finally:
        if wanted:
            say(f"{side}: keeping the machines of lab {lab.name}")
        else:
            say(f"{side}: removing the machines")
            lab.down()
    return {"side": side, "seconds": seconds, "load": [before, after], "outcome": outcome}


def schedule(rounds: int) -> list:
    """Return the order of the sides. They alternate, so that neither always has a warmer computer."""
    return [name for number in range(rounds) for name in (list(NAMES) if number % 2 == 0 else list(NAMES)[::-1])]


def report(runs: list) -> str:
    """Return the result in markdown."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    each = {name: [run["seconds"] for run in runs if run["side"] == name] for name in NAMES}
    middle = {name: bench_table.medians(seconds) for name, seconds in each.items()}
    return "\n\n".join(
        [
            f"{datetime.date.today()}, {os.cpu_count()} processors ({platform.machine()}), {MACHINES['LAB_SUITE']}, "
            f"commit {commit or 'unknown'}, runs of each: {len(runs) // 2}",
            bench_table.table(middle["baseline"], middle["ours"]),
            bench_table.loads(runs),
        ]
    )


def main() -> None:
    """Measure each side in turn and write the table."""
    rounds, keep = int(os.environ.get("BENCH_ROUNDS") or 1), os.environ.get("BENCH_KEEP") == "1"
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by signal {number}"))
    RESULTS.mkdir(parents=True, exist_ok=True)
    order = schedule(rounds)
    runs: list = []
    for number, side in enumerate(order, 1):
        runs.append(measure(side, number, keep, last=number == len(order)))
        different = bench_table.differences(runs[0], runs[-1])
        if different:
            raise BenchError("The two sides did not do the same work:\n  " + "\n  ".join(different))
    text = report(runs)
    (RESULTS / "result.json").write_text(json.dumps({"runs": runs}, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "result.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\nAlso in {RESULTS}: result.md, result.json, and the logs of the runs.")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(str(error))
