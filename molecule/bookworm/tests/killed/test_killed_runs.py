# SPDX-License-Identifier: Apache-2.0
"""A deployment that is killed three times, each time in the middle of a stage. The next run repairs what is left."""

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
LONGEST = 900  # seconds until a run must reach the point where it is killed
# Kill every process of a session on a machine; its services continue. The session that runs this command is one of them
# and must return before it is killed.
END_SESSIONS = (
    "systemd-run --quiet --collect "
    "sh -c 'sleep 0.5; exec systemctl kill --kill-whom=all --signal=KILL ssh.service user.slice'"
)
UNCOMPILED = "/var/lib/nova-ansible/put-off/py3compile.list"
PROGRAMS = "'/usr/bin/(keystone|placement|glance|neutron-db|nova)-manage'"


class Deployment:
    """A run of site.yml in its own session, with its output in a file."""

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
        """Return the current task of the run."""
        return (re.findall(r"^TASK \[(?:\S+ : )?(.*?)\]", self.output, re.M) or [""])[-1]

    def kill(self) -> None:
        """Kill the run and every process that it started; Ansible's workers have their own sessions."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


def descendants(pid: int) -> list:
    """Return all descendants of a process, from /proc."""
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
    """Return the command lines of all processes on the control node."""
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
            assert run.process.poll() is None, f"it ended before it was killed:\n{run.output[-3000:]}"
            assert time.monotonic() < limit, f"it never reached {task}:\n{run.output[-3000:]}"
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
    assert host.check_output("dpkg --audit") != "", "some packages are half installed"
    assert host.file(UNCOMPILED).exists, "and their Python code is not compiled"


def test_killed_while_schemas_are_created(host, interrupt):
    """The programs on the machine continue, and the next run finds them running."""
    interrupt(
        "Upgrade the schemas and cells to this release, in parallel",
        f"pgrep --full {PROGRAMS}",
        sessions=False,
    )
    assert host.check_output("dpkg --audit") == "", "this run has repaired what the previous one left"
    assert not host.file(UNCOMPILED).exists
    assert host.run("systemctl is-active nova-scheduler").stdout.strip() != "active"


def test_killed_while_units_start(host, interrupt):
    interrupt(
        "Run the services of this host on their current files",
        "systemctl list-units --all --plain 'nova-*' | grep --extended-regexp 'activating|running'",
        sessions=True,
    )
    assert host.run("systemctl is-active keystone").stdout.strip() == "active", "the schemas exist"
