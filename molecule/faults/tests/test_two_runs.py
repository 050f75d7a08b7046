# SPDX-License-Identifier: Apache-2.0
"""Two runs do not change a cloud at the same time, and a run that was killed does not block the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOLD = "../molecule/resources/hold_lock.yml"
LOCK = "/run/nova-ansible/run.json"


def wait_for(condition, seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.2)


@pytest.fixture
def start(request):
    """Return a function that starts a run, which takes the lock, with an extra variable; it returns the process."""
    sources = [f"--inventory={source}" for source in request.config.getoption("--ansible-inventory").split(",")]

    def process(variable: str, output: int = subprocess.DEVNULL) -> subprocess.Popen:
        command = ["ansible-playbook", *sources, str(ROOT / "playbooks" / HOLD), "-e", variable]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )

    return process


@pytest.fixture
def first_run(start, machines):
    """Return a run that holds the lock, as a process."""
    controller = machines["controller1"]
    process = start("hold_seconds=120")
    try:
        wait_for(lambda: f'"pid": {process.pid},' in controller.run(f"cat {LOCK}").stdout)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_run_is_refused_with_who_runs_the_first(first_run, refusal):
    message = refusal(name="deploy.yml")
    assert "Another run changes this cloud: " in message
    assert f"process {first_run.pid} (ansible-playbook" in message and "the lock on controller1 since 20" in message


def test_a_check_needs_no_lock(first_run, playbook):
    assert "Another run" not in playbook("deploy.yml", "--check").output


def test_a_killed_run_does_not_block_the_next_one(first_run, machines, playbook):
    controller = machines["controller1"]
    first_run.kill()
    first_run.wait()
    done = playbook(HOLD)
    assert done.rc == 0, done.output[-2000:]
    wait_for(lambda: not controller.file(LOCK).exists)


def test_a_run_whose_renewal_was_killed_too_does_not_block_the_next_one(first_run, machines, playbook):
    renewing = subprocess.run(["pgrep", "-f", "hold_seconds=120"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for pid in renewing.split():
        os.kill(int(pid), signal.SIGKILL)
    first_run.wait()
    assert machines["controller1"].file(LOCK).exists
    done = playbook(HOLD)
    assert done.rc == 0, done.output[-2000:]


def test_a_run_that_waits_starts_when_the_first_has_ended(first_run, start):
    second = start("deploy_lock_wait=120", subprocess.PIPE)
    waits = f"Waiting for another run: root on {os.uname().nodename}, process {first_run.pid}"
    assert any(waits in line for line in second.stdout), "it did not wait"
    first_run.terminate()
    output, _none = second.communicate(timeout=60)
    assert second.returncode == 0, output
