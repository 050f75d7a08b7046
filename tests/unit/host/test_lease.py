# SPDX-License-Identifier: Apache-2.0
"""One run at a time has the lock of a cloud, and a run that was killed leaves no obstacle."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from ansible.module_utils.host import lease

FIRST = {"run": "1" * 32, "user": "ann", "node": "deploy1", "pid": 4711}
SECOND = {"run": "2" * 32, "user": "bob", "node": "deploy2", "pid": 12}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "run.json")


def test_the_second_run_gets_a_description_of_the_first(path):
    assert lease.take(path, FIRST) == {}
    assert lease.take(path, SECOND) == {**FIRST, "age": 0}
    assert lease.read(path) == FIRST


def test_a_run_can_take_its_own_lock_again(path):
    lease.take(path, FIRST)
    assert lease.take(path, FIRST) == {}


@pytest.mark.parametrize("seconds", [lease.EXPIRY + 5, -lease.EXPIRY - 5])
def test_a_lock_that_is_not_renewed_expires_also_when_the_clock_was_set_back(path, seconds):
    lease.take(path, FIRST)
    then = time.time() - seconds
    os.utime(path, (then, then))
    assert lease.take(path, SECOND) == {}
    assert lease.read(path) == SECOND


def test_a_lock_is_kept_between_two_renewals(path):
    lease.take(path, FIRST)
    then = time.time() - 2 * lease.RENEWAL
    os.utime(path, (then, then))
    assert lease.take(path, SECOND)["age"] == 2 * lease.RENEWAL


def test_a_run_that_has_ended_is_no_obstacle(path):
    lease.take(path, FIRST)
    assert lease.take(path, SECOND, ended=FIRST["run"]) == {}


def test_a_third_run_is_not_taken_for_the_one_that_has_ended(path):
    lease.take(path, FIRST)
    assert lease.take(path, SECOND, ended="3" * 32)["run"] == FIRST["run"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_lock_is_free(path, text):
    lease.take(path, FIRST)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    assert lease.take(path, SECOND) == {}


def test_check_mode_takes_nothing(path):
    assert lease.take(path, FIRST, check_mode=True) == {}
    assert not os.path.exists(path)


def test_the_file_is_only_for_root(path):
    mask = os.umask(0)
    try:
        lease.take(path, FIRST)
    finally:
        os.umask(mask)
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_only_the_holder_renews_and_releases(path):
    lease.take(path, FIRST)
    os.utime(path, (1, 1))
    for command in (lease.renewal(path, SECOND["run"]), lease.release(path, SECOND["run"])):
        assert subprocess.run(command, shell=True, check=False).returncode == lease.LOST
    assert os.stat(path).st_mtime == 1 and json.load(open(path, encoding="utf-8")) == FIRST
    subprocess.run(lease.renewal(path, FIRST["run"]), shell=True, check=True)
    assert lease.age(path) < 60
    subprocess.run(lease.release(path, FIRST["run"]), shell=True, check=True)
    assert not os.path.exists(path)


def test_a_lock_that_is_removed_while_it_is_read_is_free(path, monkeypatch):
    lease.take(path, FIRST)
    monkeypatch.setattr(lease, "read", lambda _path: os.path.exists(path) and os.unlink(path) or FIRST)
    assert lease.take(path, SECOND) == {}


def test_a_run_whose_lock_is_renewed_needs_no_second_process_for_that(path):
    assert not lease.is_kept(path, FIRST)
    lease.take(path, FIRST)
    assert lease.is_kept(path, FIRST) and not lease.is_kept(path, SECOND)
    then = time.time() - 2 * lease.RENEWAL - 5
    os.utime(path, (then, then))
    assert not lease.is_kept(path, FIRST)


def test_the_module_gives_the_reason_where_the_lock_cannot_be_written(path, run_module, tmp_path):
    (tmp_path / "run").write_text("")
    result = run_module("run_lock", {"run": FIRST, "path": path})
    assert result["failed"] and result["msg"].startswith("the lock of the cloud cannot be written, ")


def test_the_module_gives_the_reason_where_another_process_writes_the_lock(path, run_module, monkeypatch):
    monkeypatch.setattr(lease, "TAKING", 0)
    with lease.locked(f"{path}.lock"):
        result = run_module("run_lock", {"run": FIRST, "path": path})
    assert result["failed"] and "another run has held" in result["msg"]
