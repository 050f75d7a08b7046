# SPDX-License-Identifier: Apache-2.0
"""Processes of a lab: real ones are started, told apart and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ansible.module_utils import lab_machine, lab_process
from ansible.module_utils.lab_process import LabError


@pytest.fixture
def sleeper(tmp_path):
    """Return the pid of a background process and its pid file."""
    pidfile = str(tmp_path / "x.pid")
    pid = lab_process.start(pidfile, ["sleep", "60"], str(tmp_path), str(tmp_path / "log"))
    yield pid, pidfile
    lab_process.stop(pidfile)


def test_a_started_process_is_known_until_it_is_stopped(sleeper):
    pid, pidfile = sleeper
    assert lab_process.running(pidfile) == pid
    assert os.getsid(pid) == pid
    assert lab_process.stop(pidfile) is True
    assert lab_process.start_time(pid) is None
    assert not os.path.exists(pidfile)
    assert lab_process.stop(pidfile) is False


def test_a_process_that_only_has_the_same_pid_is_left_alone(sleeper):
    pid, pidfile = sleeper
    record = json.loads(open(pidfile, encoding="utf-8").read())
    Path(pidfile).write_text(json.dumps({**record, "start": record["start"] - 1}))
    assert lab_process.running(pidfile) == 0
    assert lab_process.stop(pidfile) is False
    assert lab_process.start_time(pid) is not None
    os.kill(pid, signal.SIGKILL)
    assert lab_process.wait_gone([pid], 5) == []


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path):
    pidfile = str(tmp_path / "x.pid")
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    pid = lab_process.start(pidfile, ["sh", "-c", script], str(tmp_path), str(tmp_path / "log"))
    while "ready" not in lab_process.tail(str(tmp_path / "log")):
        time.sleep(0.01)
    assert lab_process.stop(pidfile, seconds=0.3) is True
    assert lab_process.start_time(pid) is None


def test_a_damaged_pid_file_names_no_process(tmp_path):
    (tmp_path / "x.pid").write_text('{"pid": 1')
    assert lab_process.running(str(tmp_path / "x.pid")) == 0
    assert lab_process.running(str(tmp_path / "missing.pid")) == 0


def test_a_failed_command_is_quoted_with_its_last_lines():
    with pytest.raises(LabError, match=r"'sh -c echo no room >&2; exit 3' failed with exit code 3: no room"):
        lab_process.run(["sh", "-c", "echo no room >&2; exit 3"])


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    lock, order = str(tmp_path / "d/lock"), []

    def second():
        with lab_process.locked(lock):
            order.append("second")

    with lab_process.locked(lock):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_child_that_has_the_lock_keeps_it(tmp_path):
    lock = str(tmp_path / "lock")
    with lab_process.locked(lock) as descriptor:
        child = subprocess.Popen(["sleep", "0.5"], pass_fds=(descriptor,))
    began = time.monotonic()
    with lab_process.locked(lock):
        assert time.monotonic() - began > 0.2
    child.wait()


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert lab_process.accepts("127.0.0.1", port)
        assert lab_process.free_port(port) > port
    assert lab_process.free_port(port, {port}) > port
    assert not lab_process.accepts("127.0.0.1", port)


def test_descendants_are_found_at_any_depth():
    process = subprocess.Popen(["sh", "-c", "sh -c 'sleep 60 & wait' & wait"])
    try:
        for _ in range(100):
            found = lab_machine.descendants(process.pid)
            if len(found) == 2:
                break
            time.sleep(0.02)
        assert len(found) == 2
        assert not any(lab_machine.is_first(pid) for pid in found)
    finally:
        for pid in [process.pid, *found]:
            os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace needs root")
def test_the_first_process_of_a_pid_namespace_is_recognised():
    process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"])
    try:
        for _ in range(100):
            found = lab_machine.children(process.pid)
            if found:
                break
            time.sleep(0.02)
        assert lab_machine.is_first(found[0])
        assert not lab_machine.is_first(process.pid)
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_a_look_into_a_namespace_does_not_move_the_one_who_looks():
    name = f"nova-test-{os.getpid()}"
    outside = os.readlink("/proc/thread-self/ns/net")
    lab_process.run(["ip", "netns", "add", name])
    try:
        inside = lab_process.in_namespace(name, lambda: os.readlink("/proc/thread-self/ns/net"))
        assert inside != outside
        assert os.readlink("/proc/thread-self/ns/net") == outside
    finally:
        lab_process.run(["ip", "netns", "delete", name])
    with pytest.raises(FileNotFoundError):
        lab_process.in_namespace(name, lambda: None)


def test_devices_are_made_anew_in_a_machine_not_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(lab_machine, "DEVICES", ("/dev/null", "/dev/not-there"))
    monkeypatch.setattr(lab_machine, "DEVICE_GROUPS", {"/dev/null": "kvm"})
    assert lab_machine.device_rules() == "c! /dev/null 0660 root kvm - 1:3\n"


def test_a_machine_that_is_gone_leaves_nothing_of_systemd_nspawn(tmp_path, monkeypatch):
    monkeypatch.setattr(lab_machine, "NSPAWN", str(tmp_path / "nspawn"))
    monkeypatch.setattr(lab_machine, "cgroup2", lambda: "")
    for part in ("propagate", "unix-export"):
        for name in ("nova-x-compute1", "nova-y-compute1"):
            (tmp_path / "nspawn" / part / name).mkdir(parents=True)
    lab_machine.Machine({"name": "x"}, {"name": "compute1"}, str(tmp_path / "x")).sweep()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("nspawn/*/*"))
    assert left == ["nspawn/propagate/nova-y-compute1", "nspawn/unix-export/nova-y-compute1"]


def test_a_machine_leaves_no_lock_file(tmp_path, monkeypatch):
    started = {}
    monkeypatch.setattr(lab_machine, "start", lambda pidfile, argv, cwd, log, env: started.update(env))
    monkeypatch.setattr(lab_machine, "cgroup2", lambda: "")
    machine = lab_machine.Machine({"name": "x"}, {"name": "compute1"}, str(tmp_path))
    os.makedirs(machine.dir)
    (tmp_path / "machines/compute1/machine.json").write_text(json.dumps({"template": str(tmp_path), "layers": []}))
    machine.launch()
    assert started["SYSTEMD_NSPAWN_LOCK"] == "0"
