# SPDX-License-Identifier: Apache-2.0
"""Measure what a further compute costs in a run of site.yml that changes nothing, and write a table.

Environment: BENCH_LAB (a deployed lab to use; without it the bench makes one, deploys on it and removes it),
BENCH_COMPUTES ("1 4 8 16"), BENCH_ROUNDS (1), BENCH_CHECKOUT (another checkout, to be measured on a lab of its own
instead of this one), BENCH_KEEP=1 (keep the lab that the bench made). tests/bench/stand_ins.py says what of the
computes is real, docs/performance.md what is measured.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import scale_table
import stand_ins
from bench_lab import PLAYBOOK, ROOT, BenchError, Lab
from bench_table import medians

RESULTS = ROOT / ".cache/bench"
OWN = "bs"  # the lab that the bench makes
GROUP = "nova-bench-scale"
ENTER = 'echo $$ >"$0/cgroup.procs"; exec "$@"'
IDLE_SECONDS = 20


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.datetime.now():%H:%M:%S}  {text}", flush=True)


def cgroup2() -> Path:
    """Return the mount point of cgroup2, whose cpu.stat also counts processes that continue, like ssh's connections."""
    with open("/proc/mounts", encoding="utf-8") as stream:
        found = [line.split()[1] for line in stream if line.split()[2] == "cgroup2"]
    if not found:
        raise BenchError("cgroup2 is not mounted, but CPU time is read from it: mount -t cgroup2 none DIRECTORY.")
    return Path(found[0])


def cpu_seconds(group: Path) -> float:
    """Return the CPU seconds that a control group has used."""
    fields = dict(line.split() for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines())
    return int(fields["usage_usec"]) / 1e6


class Scale:
    """A deployed lab with stand-ins, and runs over it."""

    def __init__(self, lab: Lab, most: int, directory: Path) -> None:
        self.lab, self.most, self.directory = lab, most, directory
        self.lab.look()
        self.compute = "compute1"
        if not {"compute1", "controller1"} <= set(lab.hosts):
            raise BenchError(f"Lab {lab.name} has {', '.join(lab.hosts)}; the bench needs controller1 and compute1.")
        self.address = lab.hosts[self.compute]["management_address"]
        top = cgroup2()
        self.groups = {
            "control": top / GROUP,
            "computes": top / f"nova-{lab.name}.{self.compute}",
            "controller": top / f"nova-{lab.name}.controller1",
        }

    def shell(self, host: str, script: str) -> None:
        """Run a shell script on a machine."""
        self.lab.run(self.lab.ssh(host, "sh -eu"), stdin=script.encode())

    def sql(self, text: str) -> None:
        """Run SQL on the controller."""
        self.lab.run(self.lab.ssh("controller1", "mariadb"), stdin=text.encode())

    @contextlib.contextmanager
    def stand_ins(self) -> Iterator[None]:
        """Run stand-ins while the block runs, and leave nothing behind."""
        self.groups["control"].mkdir(exist_ok=True)
        try:
            self.forget()
            self.shell(self.compute, stand_ins.begin_script(self.address, self.most))
            self.sql(stand_ins.rows_sql(self.compute, self.most))
            self.shell("controller1", stand_ins.beat_script())
            yield
        finally:
            self.leave()
            self.forget()

    def forget(self) -> None:
        """Remove the stand-ins of this bench, or of one that was killed."""
        self.shell(self.compute, "set +e\n" + stand_ins.end_script(self.address, self.most))
        self.shell("controller1", "systemctl stop 'bench-*.service'\n")
        self.sql(stand_ins.no_rows_sql())

    def leave(self) -> None:
        """End what runs in the control group of the control node: connections of ssh."""
        group = self.groups["control"]
        for _ in range(50):
            pids = [int(pid) for pid in (group / "cgroup.procs").read_text(encoding="ascii").split()]
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
        group.rmdir()

    def site(self, count: int, *options: str) -> tuple:
        """Run site.yml on a number of computes; return (seconds, output)."""
        inventory = self.directory / f"hosts-{count}.json"
        inventory.write_text(
            stand_ins.inventory(self.lab.hosts, self.compute, count - 1, self.directory), encoding="utf-8"
        )
        begun = self.lab.log.stat().st_size
        command = [PLAYBOOK, "-i", "inventory/lab", "-i", str(inventory), "playbooks/site.yml", *options]
        seconds = self.lab.run(
            ["sh", "-c", ENTER, str(self.groups["control"]), *command], ANSIBLE_NOCOLOR="1", ANSIBLE_FORCE_COLOR="0"
        )
        with open(self.lab.log, "rb") as log:
            log.seek(begun)
            return seconds, log.read().decode(errors="replace")

    def used(self) -> dict:
        """Return the CPU seconds that each place has used."""
        return {place: cpu_seconds(group) for place, group in self.groups.items()}

    def idle(self) -> dict:
        """Return the CPU seconds that each place takes per second while nothing runs."""
        before, begun = self.used(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        after, seconds = self.used(), time.monotonic() - begun
        return {place: (after[place] - before[place]) / seconds for place in before}

    def measure(self, count: int, idle: dict) -> dict:
        """Run once to open the connections and once to measure; raise BenchError if a run changes something."""
        hosts = [*self.lab.hosts, *stand_ins.names(count - 1)]
        self.unchanged(hosts, self.site(count)[1])
        load, before = os.getloadavg()[0], self.used()
        seconds, output = self.site(count)
        after = self.used()
        self.unchanged(hosts, output)
        cpu = {place: scale_table.net(after[place] - before[place], idle[place], seconds) for place in before}
        say(f"{count} computes: {', '.join(f'{place} {value:.2f} CPU s' for place, value in cpu.items())}")
        return {"computes": count, "cpu": cpu, "wall": seconds, "load": load}

    def unchanged(self, hosts: list, output: str) -> None:
        """Raise BenchError if a run changed something or left out a host: it must not be measured."""
        wrong = scale_table.complaints(scale_table.recap(output), hosts)
        if wrong:
            raise BenchError(
                f"The run changed something or missed a host; see {self.lab.log}:\n  " + "\n  ".join(wrong)
            )


def middle(runs: list) -> list:
    """Return one row for each number of computes: medians over the rounds."""
    rows = []
    for count in dict.fromkeys(run["computes"] for run in runs):
        same = [run for run in runs if run["computes"] == count]
        rest = medians([{"wall": run["wall"], "load": run["load"]} for run in same])
        rows.append({"computes": count, "cpu": medians([run["cpu"] for run in same]), **rest})
    return rows


def report(runs: list, idle: dict, root: Path) -> str:
    """Return the result in markdown."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.strip()
    rounds = len(runs) // len({run["computes"] for run in runs})
    quiet = ", ".join(f"{scale_table.PLACES[place]} {rate:.3f}" for place, rate in idle.items())
    return "\n\n".join(
        [
            f"{datetime.date.today()}, {os.cpu_count()} processors ({platform.machine()}), commit "
            f"{commit or 'unknown'}, rounds: {rounds}",
            scale_table.table(middle(runs)),
            f"CPU seconds per second of idle machines, which were subtracted: {quiet}.",
        ]
    )


@contextlib.contextmanager
def deployed(name: str, root: Path, log: Path) -> Iterator[Lab]:
    """Give the lab of that name, or create one, deploy on it, and remove it afterwards."""
    if name:
        if not (root / ".lab" / name / "state.json").exists():
            raise BenchError(f"There is no lab {name} in {root}; leave BENCH_LAB empty to create one.")
        yield Lab(name, log, root)
        return
    lab = Lab(OWN, log, root)
    lab.refuse_existing()
    try:
        say("creating machines and deploying on them")
        lab.playbook("lab")
        lab.playbook("secrets")
        lab.playbook("site", "-e", '{"verify_enabled": false}')
        yield lab
    finally:
        if os.environ.get("BENCH_KEEP") == "1":
            say(f"keeping lab {OWN}")
        else:
            lab.down()


def main() -> None:
    """Measure and write the table."""
    counts = sorted({int(word) for word in (os.environ.get("BENCH_COMPUTES") or "1 4 8 16").split()})
    if len(counts) < 2 or not 1 <= counts[0] <= counts[-1] <= 100:
        raise BenchError(f"BENCH_COMPUTES is {counts}; give two or more numbers from 1 to 100.")
    rounds = int(os.environ.get("BENCH_ROUNDS") or 1)
    root = Path(os.environ.get("BENCH_CHECKOUT") or ROOT).resolve()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by signal {number}"))
    RESULTS.mkdir(parents=True, exist_ok=True)
    log = RESULTS / "scale.log"
    log.write_bytes(b"")
    directory = Path(tempfile.mkdtemp(prefix="nova-bench-"))  # short, for the sockets of ssh
    try:
        with deployed(os.environ.get("BENCH_LAB", ""), root, log) as lab:
            scale = Scale(lab, counts[-1] - 1, directory)
            with scale.stand_ins():
                say(f"first run on {counts[-1]} computes, which writes the files of the stand-ins; not measured")
                scale.site(counts[-1], "--forks", "4", "-e", '{"verify_enabled": false}')
                idle = scale.idle()
                runs = [scale.measure(count, idle) for _ in range(rounds) for count in counts]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    text = report(runs, idle, root)
    result = {"runs": runs, "idle": idle, "slopes": scale_table.slopes(middle(runs))}
    (RESULTS / "scale.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "scale.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\nAlso in {RESULTS}: scale.md, scale.json, and scale.log.")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(str(error))
