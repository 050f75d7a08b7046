# SPDX-License-Identifier: Apache-2.0
"""A deployment that is killed, three times, each time in the middle of something. What heals it is the next run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
testinfra_hosts = ["ansible://nova_controllers"]
LONGEST = 900  # s until a run must have come to the point where it is killed
# Everything that a session on a machine began, as when its power fails; the machine's services live on. The session
# that says so is one of them, and must be told first that it was understood.
END_SESSIONS = (
    "systemd-run --quiet --collect "
    "sh -c 'sleep 0.5; exec systemctl kill --kill-whom=all --signal=KILL ssh.service user.slice'"
)
UNCOMPILED = "/var/lib/nova-ansible/put-off/py3compile.list"
PROGRAMS = "'/usr/bin/(keystone|placement|glance|neutron-db|nova)-manage'"


class Deployment:
    """A run of the whole site in a session of its own, with its output in a file."""

    def __init__(self, request, log: Path) -> None:
        self.log = log
        inventory = request.config.getoption("--ansible-inventory")
        with log.open("w", encoding="utf-8") as stream:
            self.process = subprocess.Popen(
                ["ansible-playbook", f"--inventory={inventory}", str(ROOT / "playbooks/site.yml")],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def task(self) -> str:
        """The task that the run is at."""
        return (re.findall(r"^TASK \[(?:\S+ : )?(.*?)\]", self.output, re.M) or [""])[-1]

    def kill(self) -> None:
        """Kill the run with everything that it started; Ansible's workers have sessions of their own."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


def descendants(pid: int) -> list:
    """Every process below one, from /proc."""
    children: dict = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children.setdefault(int(parent), []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def command_lines() -> str:
    """What the processes of the control node show of themselves to everybody."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


@pytest.fixture
def interrupt(request, host, machines, tmp_path, secrets_in):
    """Return act(task, reached, sessions): kill a run in that task, once a command on the machine succeeds."""
    runs = []

    def act(task: str, reached: str, sessions: bool) -> Deployment:
        run = Deployment(request, tmp_path / "run.log")
        runs.append(run)
        limit = time.monotonic() + LONGEST
        while not (run.task == task and host.run(reached).rc == 0):
            assert run.process.poll() is None, f"it ended before it could be killed:\n{run.output[-3000:]}"
            assert time.monotonic() < limit, f"it never came to {task}:\n{run.output[-3000:]}"
            assert secrets_in(command_lines() + host.run("ps -ww -e -o args=").stdout) == []
            time.sleep(0.5)
        run.kill()
        if sessions:
            for machine in machines.values():
                machine.run(END_SESSIONS)
            time.sleep(3)
        assert run.task == task
        assert "PLAY RECAP" not in run.output
        assert secrets_in(run.output) == []
        return run

    yield act
    for run in runs:
        if run.process.poll() is None:
            run.kill()


def test_killed_while_packages_are_installed(host, interrupt):
    interrupt(
        "Install the packages of this host in one transaction",
        f"test -e {UNCOMPILED}",
        sessions=True,
    )
    assert host.run("pgrep -x dpkg").rc != 0, "the transaction died with the session"
    assert host.check_output("dpkg --audit") != "", "packages are left half-way"
    assert host.file(UNCOMPILED).exists, "and their Python code is not compiled"


def test_killed_while_schemas_are_made(host, interrupt):
    """The programs on the machine go on here: the next run meets them."""
    interrupt(
        "Bring the schemas and cells up to this release, side by side",
        f"pgrep --full {PROGRAMS}",
        sessions=False,
    )
    assert host.check_output("dpkg --audit") == "", "this run has healed what the one before left"
    assert not host.file(UNCOMPILED).exists
    assert host.run("systemctl is-active nova-scheduler").stdout.strip() != "active"


def test_killed_while_units_start(host, interrupt):
    interrupt(
        "Run the services of this host on their current files",
        "systemctl list-units --all --plain 'nova-*' | grep --extended-regexp 'activating|running'",
        sessions=True,
    )
    assert host.run("systemctl is-active keystone").stdout.strip() == "active", "the schemas are there"
