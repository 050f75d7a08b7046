# SPDX-License-Identifier: Apache-2.0
"""unit_current: what systemd's words and the times of files lead to; real units are restarted in the lab."""

from __future__ import annotations

import os
import time

import pytest
from ansible.module_utils import unit_state
from ansible.module_utils.stages import unit_current

# `systemctl show` of a Debian 13 machine: a service, a socket and a unit that does not exist
SHOWN = """\
Result=success
NRestarts=0
ExecMainStartTimestampMonotonic=1994143475
ExecMainStatus=0
Id=ssh.service
TriggeredBy=
LoadState=loaded
ActiveState=active
SubState=running
FragmentPath=/usr/lib/systemd/system/ssh.service
DropInPaths=
UnitFileState=enabled
ActiveEnterTimestampMonotonic=1994235290
NeedDaemonReload=no

Result=success
Id=dbus.socket
TriggeredBy=
LoadState=loaded
ActiveState=active
SubState=running
FragmentPath=/usr/lib/systemd/system/dbus.socket
DropInPaths=
UnitFileState=static
ActiveEnterTimestampMonotonic=1993976343
NeedDaemonReload=no

Result=success
NRestarts=0
ExecMainStartTimestampMonotonic=0
ExecMainStatus=0
Id=nosuch.service
TriggeredBy=
LoadState=not-found
ActiveState=inactive
SubState=dead
FragmentPath=
DropInPaths=
UnitFileState=
ActiveEnterTimestampMonotonic=0
NeedDaemonReload=no
"""
SSH, SOCKET, NOSUCH = unit_state.parse_show(SHOWN)
START = 1994.143475


@pytest.fixture
def decide(tmp_path):
    """Return decide(seconds, **changes): the plan of a unit that runs on a file changed that long after its start."""
    file = tmp_path / "nova.conf"

    def run(seconds=None, changed_files=(), check=False, triggers=None, unit=None, **changes):
        offset = time.time() - START - 100  # the unit started 100 s ago
        if seconds is not None:
            file.write_text("x")
            os.utime(file, (START + offset + seconds,) * 2)
            # the kernel sets the ctime to now; a start in the future of now leaves only the mtime to tell
            offset += 0 if seconds > 0 else 200
        unit = {"name": "ssh.service", "files": [str(file)], "state": "started", "enabled": True, **(unit or {})}
        show = {**SSH, "FragmentPath": "", **changes}
        return unit_current.decide(unit, show, triggers or {}, list(changed_files), check, offset)

    run.file = str(file)
    run.folder = str(tmp_path)
    return run


def test_show_is_read_in_order():
    assert [show["Id"] for show in (SSH, SOCKET, NOSUCH)] == ["ssh.service", "dbus.socket", "nosuch.service"]


def test_the_start_of_the_process_counts_not_the_moment_it_was_ready():
    assert unit_state.started_at(SSH) == START
    assert unit_state.started_at(SOCKET) == 1993.976343
    assert unit_state.started_at(NOSUCH) == 0


@pytest.mark.parametrize(
    ("name", "full"),
    [("nova-api", "nova-api.service"), ("libvirtd.socket", "libvirtd.socket"), ("a@b.c", "a@b.c.service")],
)
def test_names_get_their_type(name, full):
    assert unit_state.full_name(name) == full


def test_a_file_older_than_the_start_changes_nothing(decide):
    assert decide(-10) == {"verb": "", "newer": [], "enabling": ""}


def test_a_file_newer_than_the_start_restarts_the_unit(decide):
    assert decide(+10) == {"verb": "restart", "newer": [decide.file], "enabling": ""}


def test_a_mode_changed_after_the_start_restarts_the_unit(decide, tmp_path):
    (tmp_path / "nova.conf").write_text("x")
    os.utime(tmp_path / "nova.conf", (1, 1))  # its mtime is long ago; its ctime is now, 100 s after the start
    assert decide()["newer"] == [decide.file]


def test_a_pattern_stands_for_what_it_matches(decide, tmp_path):
    plan = decide(+10, unit={"files": [f"{tmp_path}/*.conf", f"{tmp_path}/*.none"]})
    assert plan["newer"] == [decide.file]


def test_a_file_that_does_not_exist_is_passed_over(decide):
    assert decide(unit={"files": ["/no/such/file"]})["verb"] == ""


def test_check_mode_believes_what_an_earlier_task_would_change(decide):
    assert decide(-10, changed_files=[decide.file], check=True)["verb"] == "restart"
    assert decide(-10, changed_files=["/etc/other"], check=True)["verb"] == ""
    drop_in = "/etc/systemd/system/ssh.service.d/limits.conf"
    assert decide(-10, changed_files=[drop_in], check=True)["newer"] == [drop_in]


def test_a_run_believes_the_times_so_that_a_second_call_restarts_nothing(decide):
    assert decide(-10, changed_files=[decide.file])["verb"] == ""


@pytest.mark.parametrize(("age", "verb"), [(50, "restart"), (500, "")])
def test_a_file_that_was_removed_restarts_the_unit_once(decide, age, verb):
    os.utime(decide.folder, (time.time() - age,) * 2)
    assert decide(changed_files=[decide.file])["verb"] == verb


def test_the_units_own_file_counts_but_not_a_generated_one(decide, tmp_path, monkeypatch):
    fragment = tmp_path / "x.service"
    fragment.write_text("x")
    assert decide(unit={"files": []}, FragmentPath=str(fragment))["newer"] == [str(fragment)]
    monkeypatch.setattr(unit_current, "GENERATED", str(tmp_path))
    assert decide(unit={"files": []}, FragmentPath=str(fragment))["verb"] == ""


def test_a_unit_whose_file_systemd_has_not_read_is_restarted(decide):
    assert decide(-10, NeedDaemonReload="yes")["verb"] == "restart"


@pytest.mark.parametrize("state", ["inactive", "failed", "activating", "deactivating"])
def test_what_does_not_run_is_started(decide, state):
    assert decide(-10, ActiveState=state)["verb"] == "start"


@pytest.mark.parametrize(
    ("triggers", "result", "verb"),
    [
        ({"ssh.socket": "active"}, "success", ""),
        ({"ssh.socket": "inactive"}, "success", "start"),
        ({"ssh.socket": "active"}, "exit-code", "start"),
        ({"ssh.timer": "active"}, "success", "start"),
    ],
)
def test_a_unit_that_ended_well_behind_a_listening_socket_counts_as_running(decide, triggers, result, verb):
    names = " ".join(triggers)
    assert decide(triggers=triggers, ActiveState="inactive", TriggeredBy=names, Result=result)["verb"] == verb


@pytest.mark.parametrize(
    ("active", "verb"), [("active", "stop"), ("activating", "stop"), ("failed", ""), ("inactive", "")]
)
def test_what_shall_not_run_is_stopped(decide, active, verb):
    plan = decide(unit={"state": "stopped", "enabled": False}, ActiveState=active)
    assert plan == {"verb": verb, "newer": [], "enabling": "disable"}


def test_a_unit_that_does_not_exist_is_to_be_started_or_nothing_to_do(decide):
    assert decide(**NOSUCH)["verb"] == "start"
    assert decide(unit={"state": "stopped", "enabled": False}, **NOSUCH) == {"verb": "", "newer": [], "enabling": ""}


@pytest.mark.parametrize(
    ("state", "wanted", "verb"),
    [
        ("enabled", True, ""),
        ("disabled", True, "enable"),
        ("enabled-runtime", True, "enable"),
        ("enabled", False, "disable"),
        ("disabled", False, ""),
        ("static", True, ""),
        ("generated", True, ""),
        ("alias", False, ""),
    ],
)
def test_starting_at_boot_is_set_where_it_can_be(state, wanted, verb):
    assert unit_state.enabling({"UnitFileState": state}, wanted) == verb


@pytest.mark.parametrize(
    ("changes", "now", "verdict"),
    [
        ({}, START + 1, "wait"),
        ({}, START + 3, "up"),
        ({"NRestarts": "1"}, START + 3, "up"),
        ({"NRestarts": "3"}, START + 3, "broken"),
        ({"ActiveState": "activating"}, START + 60, "wait"),
        ({"ActiveState": "activating", "NRestarts": "3"}, START + 1, "broken"),
        ({"Job": "17"}, START + 100, "wait"),
        ({"ActiveState": "inactive", "Job": "17"}, START + 100, "wait"),
        ({"ActiveState": "failed"}, START + 1, "broken"),
        ({"ActiveState": "inactive"}, START + 60, "broken"),
        ({"ActiveState": "inactive", "TriggeredBy": "ssh.socket"}, START + 60, "up"),
    ],
)
def test_a_started_unit_has_to_stay(changes, now, verdict):
    assert unit_state.verdict({**SSH, **changes}, {"ssh.socket": "active"}, now, 2) == verdict


def test_a_state_is_told_in_a_few_words():
    broken = {**SSH, "ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}
    assert unit_state.describe(SSH) == "active (running)"
    assert unit_state.describe({**broken, "NRestarts": "3"}) == (
        "failed (failed), result exit-code, exit status 3, died 3 times"
    )


def test_the_end_of_an_openstack_log_comes_without_underlines():
    log = (
        "12:00 1 ERROR nova     self._connect(\n12:00 1 ERROR nova     ~~~~^^^^\n"
        "12:00 1 ERROR nova oslo_db.exception.X: no database\n12:00 1 ERROR nova \n\n"
    )
    assert unit_state.telling_lines(log, 5)[-1] == "12:00 1 ERROR nova oslo_db.exception.X: no database"
    assert len(unit_state.telling_lines(log, 5)) == 2


def test_the_end_of_a_journal_comes_without_what_systemd_says_at_each_turn():
    journal = """Starting nova-scheduler.service - OpenStack Nova Scheduler (nova-scheduler)...
no module named x
nova-scheduler.service: Main process exited, code=exited, status=1/FAILURE
nova-scheduler.service: Failed with result 'exit-code'.
Failed to start nova-scheduler.service - OpenStack Nova Scheduler (nova-scheduler).
nova-scheduler.service: Consumed 2.164s CPU time.
nova-scheduler.service: Scheduled restart job, restart counter is at 2.
nova-scheduler.service: start operation timed out. Terminating.
"""
    assert unit_state.telling_lines(journal, 9) == [
        "no module named x",
        "nova-scheduler.service: start operation timed out. Terminating.",
    ]
