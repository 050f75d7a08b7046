# SPDX-License-Identifier: Apache-2.0
"""Commands run as other users: their result, limits and what they inherit. Real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

import pytest
from ansible.module_utils.host import commands

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ME = __import__("pwd").getpwuid(os.geteuid()).pw_name


def test_code_and_both_outputs_come_back():
    assert commands.run(["sh", "-c", "echo out; echo err >&2; exit 3"], user=ME) == (3, "out\n", "err\n")
    assert commands.run(["sh", "-c", "echo out; echo err >&2"], user=ME, merge=True) == (0, "out\nerr\n", "")


def test_the_environment_is_clean_but_for_what_is_given(monkeypatch):
    monkeypatch.setenv("OS_TOKEN", "of-the-caller")
    _code, output, _ = commands.run(["env"], user=ME, environment={"GIVEN": "yes"})
    assert "GIVEN=yes" in output
    assert "OS_TOKEN" not in output


@as_root
def test_another_user_has_its_own_groups_and_no_root():
    _code, output, _ = commands.run(["id"], user="nobody")
    assert "uid=65534(nobody)" in output
    assert "(root)" not in output


@pytest.mark.parametrize(
    ("argv", "user", "words"),
    [
        (["no-such-command"], ME, "command 'no-such-command' cannot be run (No such file"),
        (["true"], "no-such-user", "user 'no-such-user' does not exist"),
    ],
)
def test_the_message_about_a_missing_command_or_user_names_the_package(argv, user, words):
    code, output, _ = commands.run(argv, user=user, merge=True)
    assert code == 127
    assert words in output
    assert "package" in output


def ends(pid, patience=5):
    """Tell whether a process ends soon: a signal takes effect when the process is next scheduled."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_takes_too_long_is_stopped_with_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    started = time.monotonic()
    code, output, _ = commands.run(
        ["sh", "-c", f"sleep 60 & echo $! >{pid_file}; echo begun; wait"], user=ME, timeout=1, merge=True
    )
    assert (code, time.monotonic() - started < 10) == (124, True)
    assert "begun" in output
    assert "stopped after 1 s" in output
    assert ends(int(pid_file.read_text()))


def test_a_command_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(commands, "GRACE", 0.5)
    argv = ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"]
    code, output, _ = commands.run(argv, user=ME, timeout=1, merge=True)
    assert code == 124
    assert not Path(f"/proc/{output.split()[0]}").exists()


def test_a_child_in_another_session_does_not_block_the_caller(monkeypatch):
    monkeypatch.setattr(commands, "GRACE", 0.5)
    started = time.monotonic()
    code, output, _ = commands.run(["sh", "-c", "echo begun; setsid sleep 8 & sleep 8"], user=ME, timeout=1, merge=True)
    assert (code, "begun" in output) == (124, True)
    assert time.monotonic() - started < 5


def test_a_lock_that_the_command_inherits_lasts_as_long_as_the_command(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        commands.run(["sh", "-c", "sleep 2 >/dev/null 2>&1 &"], user=ME, keep_fds=[lock.fileno()])
    with path.open("w") as second:
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(2.5)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_standard_input_and_a_directory_can_be_given(tmp_path):
    assert commands.run(["sh", "-c", "cat; pwd"], text_in="in\n", cwd=str(tmp_path)).out == f"in\n{tmp_path}\n"


def test_without_a_user_the_environment_of_the_caller_is_kept_and_messages_are_english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("HERE", "kept")
    assert commands.run(["sh", "-c", "echo $HERE $LC_ALL"]).out == "kept C.UTF-8\n"


class Interrupted(Exception):
    """Raised by a handler of a signal."""


def test_a_signal_ends_the_command_too(tmp_path):
    mark = tmp_path / "pid"
    argv = ["sh", "-c", f"echo $$ >{mark}; exec sleep 60"]

    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Interrupted):
            commands.run(argv)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ends(int(mark.read_text()))


def test_the_ending_names_a_signal():
    assert commands.Done(-9, "").ending == "was killed by signal 9"
    assert commands.Done(4, "").ending == "ended with 4"
