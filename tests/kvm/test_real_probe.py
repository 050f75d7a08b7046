# SPDX-License-Identifier: Apache-2.0
"""The probe on this machine: the same answer in every run, in bounded time, with nothing left behind."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.kvm import abi, probe
from ansible.module_utils.kvm.facts import gather

pytestmark = pytest.mark.usefixtures("real_kvm")
ALONE = Path(__file__).with_name("alone.py")
EXACT = {"real_hello", "long_hello", "exception", "sse2", "popcnt", "cmpxchg16b", "avx", "msr", "mmu"}
# These tests are about the answer, not the time: on a busy computer, a run may have to wait for a processor.
UNHURRIED = 30
IMPORT = f"""
import sys, os, json, time
sys.path.insert(0, {str(ALONE.parent)!r})
import alone
alone.import_path({str(ALONE.parents[2] / "module_utils")!r})
"""


def expected_class() -> str:
    """Return the class that this machine must have, from a source that the probe does not use."""
    if os.path.exists("/sys/module/kvm_pvm"):
        return "emulated"  # a software backend, whatever the processor is
    if os.uname().machine in ("x86_64", "aarch64"):
        return "hardware"
    return "unmeasured"


def children() -> set[str]:
    """Return the children of this process."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def our_machines() -> set[str]:
    """Return the open KVM files of this process and of processes forked from it, orphans included."""
    ours, found = Path("/proc/self/cmdline").read_bytes(), set()
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link).startswith("anon_inode:kvm"):
                found |= {link} if Path(link).parents[1].joinpath("cmdline").read_bytes() == ours else set()
        except OSError:
            pass
    return found


def modules() -> set[str]:
    """Return the loaded modules of the kernel."""
    try:
        return {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()}
    except OSError:
        return set()


@contextlib.contextmanager
def busy(for_each_processor: int) -> Iterator[None]:
    """Keep every processor busy with so many processes."""
    count = for_each_processor * (os.cpu_count() or 1)
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_twenty_runs_give_one_answer():
    runs = [probe.probe(deadline=UNHURRIED) for _ in range(20)]
    assert {run["class"] for run in runs} == {expected_class()}, [run["reason"] for run in runs]
    passed = {tuple(sorted(name for name, test in run["tests"].items() if test["ok"])) for run in runs}
    assert len(passed) == 1


def test_answer_stays_under_load():
    with busy(3):
        runs = [probe.probe(deadline=UNHURRIED) for _ in range(20)]
    assert {run["class"] for run in runs} == {expected_class()}, [run["reason"] for run in runs]


def test_cost():
    """The facts, the probe and two users, in this process as in a module."""
    costs = []
    for _ in range(15):
        if os.getloadavg()[0] > (os.cpu_count() or 1):
            break
        costs.append(gather(users=["root", "nobody"])["seconds"])
    if len(costs) < 15:
        pytest.skip("this machine is busy with other work (load above its processors): a cost would not be meaningful")
    assert statistics.median(costs) < 0.5
    assert max(costs) < 2.5


def test_nothing_is_left_behind():
    files, processes, loaded = os.listdir("/proc/self/fd"), children(), modules()
    found = gather(users=["nobody"])
    assert found["probe"]["tests"]
    assert os.listdir("/proc/self/fd") == files
    assert children() == processes
    assert our_machines() == set()
    assert modules() == loaded


def endless_guest(give_up: float, before: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Return how a guest that never answers is stopped, after 0.25 s of CPU time or `give_up` seconds."""
    if os.uname().machine != "x86_64":
        pytest.skip("the program is x86-64")
    from ansible.module_utils.kvm.guest import Pace
    from ansible.module_utils.kvm.guest_x86_64 import X86Machine, X86Vcpu

    def work(report):
        before()
        out = {"tests": {}, "rates": {}, "notes": [], "guest_cpu": {}, "caps": {}}
        pace = Pace(0.025, 0.25, time.perf_counter() + give_up)
        vcpu = X86Vcpu(X86Machine(probe.open_kvm("/dev/kvm", out), out, report, pace))
        vcpu.load("long_loop", rcx=2**63)
        return vcpu.run_until_exit()

    return probe.in_child(work, 30)


def test_a_guest_that_never_answers_is_stopped():
    stopped = endless_guest(give_up=20)
    assert (stopped["exit"], stopped["starved"]) == ("TIMEOUT", False)
    assert 0.25 <= stopped["cpu_seconds"] < 0.5


def test_a_guest_without_cpu_time_is_starved_not_hanging():
    """With the lowest priority among busy processes, the guest gets almost no CPU time before its end."""
    with busy(2):
        stopped = endless_guest(0.6, lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)))
    assert (stopped["exit"], stopped["starved"]) == ("TIMEOUT", True), stopped


@pytest.mark.parametrize("how", ["sleeps", "spins", "ignores signals"])
def test_a_child_that_hangs_is_killed_in_time(how):
    def work(report):
        report("sse2")
        if how == "ignores signals":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
        while how == "spins":
            pass
        time.sleep(60)

    before, start = children(), time.perf_counter()
    answer = probe.in_child(work, 0.5)
    assert answer["failed_step"] == "deadline" and answer["at"] == "sse2"
    assert how != "sleeps" or answer["starved"] is False
    assert 0.5 <= time.perf_counter() - start < 2
    assert children() == before


def test_a_busy_host_is_not_taken_for_a_hang():
    """A probe that hardly runs before its deadline reports neither a hang nor emulation."""

    def work(report):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while True:
            report("busy")

    with busy(2):
        answer = probe.in_child(work, 0.6)
    assert (answer["failed_step"], answer["starved"]) == ("deadline", True)
    assert probe.classify(answer)[0] == "unmeasured"


def test_a_child_that_dies_is_reported():
    answer = probe.in_child(lambda report: os.kill(os.getpid(), signal.SIGSEGV), 1)
    assert answer["failed_step"] == "child"


def test_a_deadline_shorter_than_the_measurements_is_kept():
    """The result has what was measured until then."""
    start = time.perf_counter()
    answer = probe.probe(slice_seconds=0.5, deadline=0.4)
    assert time.perf_counter() - start < 1.5
    assert answer["class"] in ("unusable", "unmeasured", expected_class())


def test_a_child_dies_with_its_parent(tmp_path):
    code = IMPORT + (
        "from ansible.module_utils.kvm import probe\n"
        "def work(report):\n"
        "    open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "    time.sleep(30)\n"
        "probe.in_child(work, 20)\n"
    )
    note = tmp_path / "child"
    parent = subprocess.Popen([sys.executable, "-c", code, str(note)])
    try:
        for _ in range(200):
            if note.exists() and note.read_text():
                break
            time.sleep(0.02)
        child = int(note.read_text())
        assert os.path.exists(f"/proc/{child}")
        parent.kill()
        parent.wait()
        for _ in range(200):
            if not os.path.exists(f"/proc/{child}") or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
                break
            time.sleep(0.02)
        else:
            pytest.fail(f"the child {child} lives on without its parent")
    finally:
        parent.kill()
        parent.wait()


def test_output_is_not_held_open_by_a_stuck_child():
    """Ansible waits until the output is closed, so the child must not keep it open."""
    code = IMPORT + (
        "from ansible.module_utils.kvm import probe\n"
        "probe._reap = lambda child, kill: None\n"  # as if the kernel could not kill it,
        "sys.modules['ctypes'] = None\n"  # neither now nor when its parent is gone
        "print(probe.in_child(lambda report: time.sleep(15), 0.3)['failed_step'])\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "deadline\n", done.stderr
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_other_versions_of_python_give_the_same_answer(version):
    found = sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python3")))
    found += [path for path in (f"/usr/bin/python{version}", f"/usr/local/bin/python{version}") if os.path.exists(path)]
    if not found:
        pytest.skip(f"no Python {version} on this machine")
    done = subprocess.run([found[0], str(ALONE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["facts"]["probe"]["class"] == expected_class()
    assert not answer["facts"]["errors"]


def test_without_ctypes_the_result_is_unmeasured():
    code = IMPORT + (
        "sys.modules['ctypes'] = None\n"
        "from ansible.module_utils.kvm import evaluate, facts\n"
        "found = facts.gather(users=[])\n"
        "print(json.dumps([found['probe'], evaluate.evaluate(found, {})]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    found, result = json.loads(done.stdout)
    assert (found["class"], result["result"], result["cause"]) == ("unmeasured", "warn", "ok_unmeasured")
    assert "ctypes" in found["reason"]


def test_numbers_of_this_machine_are_sane():
    found = probe.probe(deadline=UNHURRIED)
    assert found["api_version"] == abi.API_VERSION
    assert found["native_per_second"] > 1e6
    assert found["caps"]["user_memory"] == 1
    if os.uname().machine == "x86_64":
        assert found["exit_ns"] > 50 and found["userspace_exit_ns"] > 100
        assert set(found["tests"]) & EXACT >= {"real_hello", "long_hello", "exception", "msr", "mmu"}
