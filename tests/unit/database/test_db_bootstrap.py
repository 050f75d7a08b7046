# SPDX-License-Identifier: Apache-2.0
"""Steps run for what is missing, side by side, and survive runs that died. Real commands and locks, no database."""

from __future__ import annotations

import os
import pwd
import subprocess
import time

import pytest
from ansible.module_utils.database import migration_guard

ME = pwd.getpwuid(os.geteuid()).pw_name
URL = "mysql+pymysql://nova:s3cret-of-nova@127.0.0.1:1/nova"
CHAIN = {"a": set(), "b": {"a"}, "c": {"b"}}
BRANCHES = {"root": set(), "e1": {"root"}, "e2": {"e1"}, "c1": {"root"}}
MARKED = {migration_guard.MARK, "instances"}


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """Locks of this test alone."""
    monkeypatch.setattr(migration_guard, "LOCKS", str(tmp_path / "locks"))


def service(name, *steps):
    """A service of this user."""
    return {"name": name, "user": ME, "steps": list(steps)}


def creating(path, command="touch {}"):
    """A step that creates a path."""
    return {"argv": ["sh", "-c", command.format(path)], "creates": str(path)}


def test_a_step_runs_once(run_module, tmp_path):
    arguments = {"services": [service("one", creating(tmp_path / "made"))]}
    first, second = (run_module("db_bootstrap", arguments) for _ in range(2))
    assert [entry["service"] for entry in first["ran"]] == ["one"]
    assert (first["changed"], second["changed"], second["ran"]) == (True, False, [])


def test_check_mode_predicts_and_does_nothing(run_module, tmp_path):
    arguments = {"services": [service("one", creating(tmp_path / "made"))]}
    result = run_module("db_bootstrap", arguments, check=True)
    assert result["changed"]
    assert f"{tmp_path / 'made'} does not exist" in result["diff"]["before"]
    assert not (tmp_path / "made").exists()


def test_a_failure_lets_the_other_services_finish_and_its_own_later_steps_not_start(run_module, tmp_path):
    services = [
        service("bad", creating(tmp_path / "x", "echo why it failed; exit 4"), creating(tmp_path / "later")),
        service("worse", creating(tmp_path / "y", "exit 5")),
        service("good", creating(tmp_path / "good", "sleep 0.5; touch {}")),
    ]
    result = run_module("db_bootstrap", {"services": services})
    assert result["failed"]
    assert "bad: 'sh -c echo why it failed; exit 4'" in result["msg"]
    assert "ended with 4: why it failed" in result["msg"]
    assert "worse: " in result["msg"]
    assert [entry["service"] for entry in result["ran"]] == ["good"]
    assert (tmp_path / "good").exists()
    assert not (tmp_path / "later").exists()


def test_services_go_side_by_side_and_steps_in_their_order(run_module, tmp_path):
    both = f"until test -e {tmp_path}/in-a && test -e {tmp_path}/in-b; do sleep 0.05; done"
    services = [
        service(name, creating(tmp_path / f"in-{name}"), creating(tmp_path / name, f"{both}; touch {{}}"))
        for name in ("a", "b")
    ]
    result = run_module("db_bootstrap", {"services": services, "timeout": 20})
    assert "failed" not in result
    assert len(result["ran"]) == 4


def test_a_command_that_ends_well_without_its_outcome_is_a_failure(run_module, tmp_path):
    result = run_module(
        "db_bootstrap", {"services": [service("one", creating(tmp_path / "made", "echo nothing done"))]}
    )
    assert result["failed"]
    assert "made does not exist" in result["msg"]
    assert "nothing done" in result["msg"]


def test_secrets_of_the_environment_reach_the_command_but_no_output(run_module, tmp_path):
    step = creating(tmp_path / "made", "printenv SECRET >{}; printenv SECRET; exit 1")
    result = run_module(
        "db_bootstrap", {"services": [service("one", {**step, "environment": {"SECRET": "s3cret-pw"}})]}
    )
    assert (tmp_path / "made").read_text() == "s3cret-pw\n"
    assert "s3cret-pw" not in str(result)


def test_a_password_of_a_url_is_masked_wherever_it_appears(run_module, tmp_path):
    schema = [{"url": URL, "versions": [str(tmp_path)]}]
    step = {**creating(tmp_path / "made", "echo password s3cret-of-nova refused; exit 1"), "schema": schema}
    result = run_module("db_bootstrap", {"services": [service("one", step)]})
    assert result["failed"]
    assert "password ******** refused" in result["msg"] or "PyMySQL" in result["msg"]
    assert "s3cret" not in str(result)


def test_a_step_whose_values_an_earlier_step_will_bring_is_not_predicted(run_module, tmp_path):
    row = {"url": URL, "query": "SELECT 1"}
    earlier = {"argv": ["create"], "row": row}
    later = {"argv": ["update", "ID"], "row": row, "values": [{"name": "ID", **row}]}
    result = run_module("db_bootstrap", {"services": [service("one", earlier, later)]}, check=True)
    assert [entry["argv"] for entry in result["ran"]] == [["create"]]


def test_a_step_without_an_outcome_is_an_error(run_module):
    result = run_module("db_bootstrap", {"services": [service("one", {"argv": ["true"]})]})
    assert "step 'true' names no outcome" in result["msg"]


def test_a_second_run_waits_for_a_command_whose_module_was_killed(run_module, tmp_path):
    with migration_guard.locked("one", 1) as lock:
        orphan = subprocess.Popen(["sleep", "2"], pass_fds=[lock.fileno()])
    started = time.monotonic()
    result = run_module("db_bootstrap", {"services": [service("one", creating(tmp_path / "made"))]})
    assert result["changed"]
    assert time.monotonic() - started > 1.5
    assert orphan.wait() == 0


def test_a_second_run_does_not_wait_for_ever(run_module, tmp_path):
    with migration_guard.locked("one", 1):
        arguments = {"services": [service("one", creating(tmp_path / "made"))], "timeout": 1}
        result = run_module("db_bootstrap", arguments)
    assert result["failed"]
    assert "one.lock" in result["msg"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("tables", "mark", "found", "revisions", "wanted"),
    [
        (set(), None, set(), CHAIN, "first"),
        ({migration_guard.MARK}, {"c"}, set(), CHAIN, "empty"),
        ({migration_guard.MARK}, set(), set(), CHAIN, "empty"),
        (MARKED, {"c"}, set(), CHAIN, "empty"),
        (MARKED, {"c"}, {"b"}, CHAIN, "empty"),
        (MARKED, {"e2", "c1"}, {"e1", "c1"}, BRANCHES, "empty"),
        # complete, only the mark was left
        (MARKED, {"c"}, {"c"}, CHAIN, "go"),
        (MARKED, {"e2", "c1"}, {"e2", "c1"}, BRANCHES, "go"),
        # complete once, and its package is newer by now
        (MARKED, {"b"}, {"b"}, CHAIN, "go"),
        (MARKED, {"b"}, {"c"}, CHAIN, "go"),
        (MARKED, {"e1", "c1"}, {"e2", "c1"}, BRANCHES, "go"),
        # never marked: an operator's database
        ({"instances"}, None, set(), CHAIN, "go"),
        ({"instances"}, None, {"a"}, CHAIN, "go"),
        # the mark's package is gone
        (MARKED, {"x"}, {"a"}, CHAIN, "go"),
    ],
)
def test_only_a_database_that_was_never_complete_is_emptied(tables, mark, found, revisions, wanted):
    assert migration_guard.verdict(tables, mark, found, revisions) == wanted
