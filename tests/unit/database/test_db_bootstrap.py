# SPDX-License-Identifier: Apache-2.0
"""Steps run for what is missing, in parallel, also after interrupted runs. Real commands and locks, no database."""

from __future__ import annotations

import os
import pwd
import subprocess
import time

import pytest
from ansible.module_utils.host.lock import locked
from ansible.module_utils.stages import db_bootstrap

ME = pwd.getpwuid(os.geteuid()).pw_name
URL = "mysql+pymysql://nova:s3cret-of-nova@127.0.0.1:1/nova"


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """Return the directory of the locks, one for each test."""
    monkeypatch.setattr(db_bootstrap, "LOCKS", str(tmp_path / "locks"))
    return tmp_path / "locks"


def service(name, *steps):
    """Return a service of this user."""
    return {"name": name, "user": ME, "steps": list(steps)}


def creating(path, command="touch {}"):
    """Return a step that creates a path."""
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


def test_a_failure_stops_the_steps_of_its_service_and_not_those_of_others(run_module, tmp_path):
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


def test_services_run_in_parallel_and_steps_in_their_order(run_module, tmp_path):
    both = f"until test -e {tmp_path}/in-a && test -e {tmp_path}/in-b; do sleep 0.05; done"
    services = [
        service(name, creating(tmp_path / f"in-{name}"), creating(tmp_path / name, f"{both}; touch {{}}"))
        for name in ("a", "b")
    ]
    result = run_module("db_bootstrap", {"services": services, "timeout": 20})
    assert "failed" not in result
    assert len(result["ran"]) == 4


def test_a_command_that_succeeds_without_its_outcome_is_a_failure(run_module, tmp_path):
    result = run_module(
        "db_bootstrap", {"services": [service("one", creating(tmp_path / "made", "echo nothing done"))]}
    )
    assert result["failed"]
    assert "made does not exist" in result["msg"]
    assert "nothing done" in result["msg"]


def test_secrets_in_the_environment_reach_the_command_and_no_output(run_module, tmp_path):
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


def test_a_step_that_needs_values_of_an_earlier_step_is_not_predicted(run_module, tmp_path):
    row = {"url": URL, "query": "SELECT 1"}
    earlier = {"argv": ["create"], "row": row}
    later = {"argv": ["update", "ID"], "row": row, "values": [{"name": "ID", **row}]}
    result = run_module("db_bootstrap", {"services": [service("one", earlier, later)]}, check=True)
    assert [entry["argv"] for entry in result["ran"]] == [["create"]]


def test_a_step_without_an_outcome_is_an_error(run_module):
    result = run_module("db_bootstrap", {"services": [service("one", {"argv": ["true"]})]})
    assert "step 'true' names no outcome" in result["msg"]


def test_a_second_run_waits_for_a_command_whose_module_was_killed(run_module, tmp_path, locks):
    with locked(str(locks / "one.lock"), 1) as lock:
        orphan = subprocess.Popen(["sleep", "2"], pass_fds=[lock.fileno()])
    started = time.monotonic()
    result = run_module("db_bootstrap", {"services": [service("one", creating(tmp_path / "made"))]})
    assert result["changed"]
    assert time.monotonic() - started > 1.5
    assert orphan.wait() == 0


def test_a_second_run_does_not_wait_without_end(run_module, tmp_path, locks):
    with locked(str(locks / "one.lock"), 1):
        arguments = {"services": [service("one", creating(tmp_path / "made"))], "timeout": 1}
        result = run_module("db_bootstrap", arguments)
    assert result["failed"]
    assert "one.lock" in result["msg"]
    assert not (tmp_path / "made").exists()
