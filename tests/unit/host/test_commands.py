# SPDX-License-Identifier: Apache-2.0
"""Commands run as other users: their result, limits and what they inherit. Real processes."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
from ansible.module_utils.host import commands

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ME = __import__("pwd").getpwuid(os.geteuid()).pw_name


def test_code_and_both_outputs_come_back():
    assert commands.run(["sh", "-c", "echo out; echo err >&2; exit 3"], ME) == (3, "out\nerr\n")


def test_the_environment_is_clean_but_for_what_is_given(monkeypatch):
    monkeypatch.setenv("OS_TOKEN", "of-the-caller")
    _code, output = commands.run(["env"], ME, {"GIVEN": "yes"})
    assert "GIVEN=yes" in output
    assert "OS_TOKEN" not in output


@as_root
def test_another_user_has_its_own_groups_and_no_root():
    _code, output = commands.run(["id"], "nobody")
    assert "uid=65534(nobody)" in output
    assert "(root)" not in output


@pytest.mark.parametrize(
    ("argv", "user", "words"),
    [(["no-such-command"], ME, "no command 'no-such-command'"), (["true"], "no-such-user", "no user 'no-such-user'")],
)
def test_a_missing_command_or_user_asks_for_the_package(argv, user, words):
    code, output = commands.run(argv, user)
    assert code == 127
    assert words in output
    assert "package" in output


def ends(pid, patience=5):
    """Whether a process is gone soon: a signal that was sent takes effect when the process is next scheduled."""
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
    code, output = commands.run(["sh", "-c", f"sleep 60 & echo $! >{pid_file}; echo begun; wait"], ME, timeout=1)
    assert (code, time.monotonic() - started < 10) == (124, True)
    assert "begun" in output
    assert "stopped after 1 s" in output
    assert ends(int(pid_file.read_text()))


def test_a_command_that_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 0.5)
    argv = ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"]
    code, output = commands.run(argv, ME, timeout=1)
    assert code == 124
    assert not Path(f"/proc/{output.split()[0]}").exists()


def test_a_child_that_escaped_cannot_hold_the_caller(monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 0.5)
    started = time.monotonic()
    code, output = commands.run(["sh", "-c", "echo begun; setsid sleep 8 & sleep 8"], ME, timeout=1)
    assert (code, "begun" in output) == (124, True)
    assert time.monotonic() - started < 5


def test_a_lock_that_the_command_inherits_lasts_as_long_as_the_command(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        commands.run(["sh", "-c", "sleep 2 >/dev/null 2>&1 &"], ME, keep_fds=[lock.fileno()])
    with path.open("w") as second:
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(2.5)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_of_a_long_output_the_last_error_and_the_end_are_told():
    output = "Traceback:\n  File x\npymysql.err.OperationalError: (1050, 'exists')\n\n[SQL:\nCREATE\n]\n(Background)\n"
    assert commands.telling(output, 2) == "pymysql.err.OperationalError: (1050, 'exists')\n]\n(Background)"
    assert commands.telling("a\n\nError: broken\n \n", 2) == "a\nError: broken"


def test_a_signal_is_told_as_such():
    assert commands.ended(-9) == "was killed by signal 9"
    assert commands.ended(4) == "ended with 4"
