# SPDX-License-Identifier: Apache-2.0
"""systemd_units: plans from the output of systemctl and the times of files. Real units are restarted in the lab."""

from __future__ import annotations

import os
import time

import pytest
from ansible.module_utils.host import output, unit_state
from ansible.module_utils.host.commands import Done
from ansible.module_utils.stages import systemd_units
from ansible.module_utils.stages.systemd_units import Plan

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
    """Return a function that plans for a unit whose file changed some seconds after the start of the unit."""
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
        return systemd_units.decide(unit, show, triggers or {}, list(changed_files), check, offset)

    run.file = str(file)
    run.directory = str(tmp_path)
    return run


def test_show_is_read_in_order():
    assert [show["Id"] for show in (SSH, SOCKET, NOSUCH)] == ["ssh.service", "dbus.socket", "nosuch.service"]


def test_a_unit_starts_with_its_process_and_not_when_it_is_ready():
    assert unit_state.started_at(SSH) == START
    assert unit_state.started_at(SOCKET) == 1993.976343
    assert unit_state.started_at(NOSUCH) == 0


@pytest.mark.parametrize(
    ("name", "full"),
    [("nova-api", "nova-api.service"), ("libvirtd.socket", "libvirtd.socket"), ("a@b.c", "a@b.c.service")],
)
def test_a_name_without_type_is_a_service(name, full):
    assert unit_state.full_name(name) == full


def test_a_file_older_than_the_start_changes_nothing(decide):
    assert decide(-10) == Plan("", [], "")


def test_a_file_newer_than_the_start_restarts_the_unit(decide):
    assert decide(+10) == Plan("restart", [decide.file], "")


def test_a_mode_changed_after_the_start_restarts_the_unit(decide, tmp_path):
    (tmp_path / "nova.conf").write_text("x")
    os.utime(tmp_path / "nova.conf", (1, 1))  # its mtime is long ago; its ctime is now, 100 s after the start
    assert decide().newer == [decide.file]


def test_a_pattern_means_the_files_that_it_matches(decide, tmp_path):
    plan = decide(+10, unit={"files": [f"{tmp_path}/*.conf", f"{tmp_path}/*.none"]})
    assert plan.newer == [decide.file]


def test_a_missing_file_is_ignored(decide):
    assert decide(unit={"files": ["/no/such/file"]}).verb == ""


def test_check_mode_counts_files_that_an_earlier_task_would_change(decide):
    assert decide(-10, changed_files=[decide.file], check=True).verb == "restart"
    assert decide(-10, changed_files=["/etc/other"], check=True).verb == ""
    drop_in = "/etc/systemd/system/ssh.service.d/limits.conf"
    assert decide(-10, changed_files=[drop_in], check=True).newer == [drop_in]


def test_a_run_goes_by_the_times_so_that_a_second_call_restarts_nothing(decide):
    assert decide(-10, changed_files=[decide.file]).verb == ""


@pytest.mark.parametrize(("age", "verb"), [(50, "restart"), (500, "")])
def test_a_file_that_was_removed_restarts_the_unit_once(decide, age, verb):
    os.utime(decide.directory, (time.time() - age,) * 2)
    assert decide(changed_files=[decide.file]).verb == verb


def test_the_units_own_file_counts_but_not_a_generated_one(decide, tmp_path, monkeypatch):
    fragment = tmp_path / "x.service"
    fragment.write_text("x")
    assert decide(unit={"files": []}, FragmentPath=str(fragment)).newer == [str(fragment)]
    monkeypatch.setattr(systemd_units, "GENERATED", str(tmp_path))
    assert decide(unit={"files": []}, FragmentPath=str(fragment)).verb == ""


def test_a_unit_whose_file_systemd_has_not_read_is_restarted(decide):
    assert decide(-10, NeedDaemonReload="yes").verb == "restart"


@pytest.mark.parametrize("state", ["inactive", "failed", "activating", "deactivating"])
def test_a_unit_that_does_not_run_is_started(decide, state):
    assert decide(-10, ActiveState=state).verb == "start"


@pytest.fixture
def decide_reload(decide):
    """Return a function as `decide` does, but for a file that a reload reads.

    reloaded: how many seconds after its start the unit was reloaded.
    """

    def run(seconds=None, reloaded=None, **changes):
        unit = {"files": [], "reload_files": [decide.file]}
        entered = START + 0.1
        changed = entered if reloaded is None else START + reloaded
        stamps = {"ActiveEnter": entered, "StateChange": changed}
        shown = {f"{name}TimestampMonotonic": f"{stamp * 1e6:.0f}" for name, stamp in stamps.items()}
        return decide(seconds, unit=unit, **{**shown, **changes})

    return run


@pytest.mark.parametrize(
    ("seconds", "reloaded", "verb"), [(-10, None, ""), (+10, None, "reload"), (+10, 200, ""), (+300, 200, "reload")]
)
def test_a_unit_is_reloaded_for_a_file_newer_than_its_start_and_its_last_reload(decide_reload, seconds, reloaded, verb):
    assert decide_reload(seconds, reloaded).verb == verb


def test_a_failed_reload_is_repeated(decide_reload):
    assert decide_reload(+10, 200, ReloadResult="exit-code").verb == "reload"


def test_files_written_while_a_unit_gets_ready_count_as_newer():
    ready = {**SSH, "StateChangeTimestampMonotonic": SSH["ActiveEnterTimestampMonotonic"]}
    assert unit_state.read_files_at(ready) == START
    assert unit_state.read_files_at({**SSH, "StateChangeTimestampMonotonic": "2500000000"}) == 2500


def test_a_restart_replaces_a_reload(decide, decide_reload):
    unit = {"reload_files": [decide.file]}
    assert decide(+10, unit=unit).verb == "restart"
    assert decide_reload(+10, NeedDaemonReload="yes").verb == "restart"
    assert decide_reload(+10, ActiveState="failed").verb == "start"


def test_check_mode_predicts_a_reload_for_a_file_that_would_change(decide, decide_reload):
    assert decide_reload(None, 200, changed_files=[decide.file], check=True).newer == [decide.file]


class FakeModule:
    """An AnsibleModule that raises its result."""

    check_mode = False

    def __init__(self, params: dict):
        self.params = params

    def exit_json(self, **result):
        raise SystemExit(result)

    def fail_json(self, msg, **result):
        raise SystemExit({"failed": msg, **result})


@pytest.fixture
def reload_ssh(tmp_path, monkeypatch):
    """Return a function that gives (result, calls of systemctl) for a unit with a newer certificate."""
    (tmp_path / "cloud.pem").write_text("x")

    def run(**changes):
        stamps = {f"{name}TimestampMonotonic": "1" for name in ("ExecMainStart", "ActiveEnter", "StateChange")}
        shown = {**SSH, **stamps, "FragmentPath": "", "CanReload": "yes", "ReloadResult": "success", **changes}
        unit = {"name": "ssh", "files": [], "reload_files": [str(tmp_path / "cloud.pem")], "state": "started",
                "enabled": True, "package": None}  # fmt: skip
        params = {"units": [unit], "changed_files": [], "timeout": 1, "settle": 0, "secrets": []}
        calls = []

        def answer(argv):
            calls.append(argv[2:])
            return Done(0, "".join(f"{key}={value}\n" for key, value in shown.items()) if argv[2] == "show" else "")

        monkeypatch.setattr(systemd_units.commands, "run", answer)
        with pytest.raises(SystemExit) as ended:
            systemd_units.run(FakeModule(params))
        return ended.value.code, [call for call in calls if call[0] != "show"]

    run.file = str(tmp_path / "cloud.pem")
    return run


def test_a_reload_is_carried_out_and_reported(reload_ssh):
    result, calls = reload_ssh()
    assert calls == [["reload", "--", "ssh.service"]]
    assert result["changed"] and result["restarted"] == []
    assert result["reloaded"] == [{"unit": "ssh.service", "newer": [reload_ssh.file]}]
    assert f"reload (newer: {reload_ssh.file})" in result["diff"]["after"]


def test_a_reload_that_fails_is_a_failure(reload_ssh):
    result, _calls = reload_ssh(ReloadResult="exit-code")
    assert "ssh.service is active (running) after a reload, whose result is exit-code" in result["failed"]
    assert result["failed_units"] == ["ssh.service"]


def test_a_unit_that_cannot_be_reloaded_is_refused(reload_ssh):
    result, calls = reload_ssh(CanReload="no")
    assert "ssh.service cannot be reloaded" in result["failed"] and calls == []


@pytest.mark.parametrize(
    ("triggers", "result", "verb"),
    [
        ({"ssh.socket": "active"}, "success", ""),
        ({"ssh.socket": "inactive"}, "success", "start"),
        ({"ssh.socket": "active"}, "exit-code", "start"),
        ({"ssh.timer": "active"}, "success", "start"),
    ],
)
def test_a_unit_that_ended_with_success_behind_a_listening_socket_counts_as_running(decide, triggers, result, verb):
    names = " ".join(triggers)
    assert decide(triggers=triggers, ActiveState="inactive", TriggeredBy=names, Result=result).verb == verb


@pytest.mark.parametrize(
    ("active", "verb"), [("active", "stop"), ("activating", "stop"), ("failed", ""), ("inactive", "")]
)
def test_a_unit_that_should_not_run_is_stopped(decide, active, verb):
    plan = decide(unit={"state": "stopped", "enabled": False}, ActiveState=active)
    assert plan == Plan(verb, (), "disable")


def test_a_missing_unit_is_to_be_started_or_needs_nothing(decide):
    assert decide(**NOSUCH).verb == "start"
    assert decide(unit={"state": "stopped", "enabled": False}, **NOSUCH) == Plan("", (), "")


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
def test_starting_at_boot_is_set_where_a_unit_allows_it(state, wanted, verb):
    assert unit_state.enabling({"UnitFileState": state}, wanted) == verb


@pytest.mark.parametrize(
    ("changes", "now", "result"),
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
def test_a_started_unit_must_stay_up(changes, now, result):
    assert unit_state.start_result({**SSH, **changes}, {"ssh.socket": "active"}, now, 2) == result


def test_a_state_is_described_with_result_and_restarts():
    broken = {**SSH, "ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}
    assert unit_state.describe(SSH) == "active (running)"
    assert unit_state.describe({**broken, "NRestarts": "3"}) == (
        "failed (failed), result exit-code, exit status 3, restarted by systemd 3 times"
    )


def test_the_end_of_an_openstack_log_comes_without_underlines():
    log = (
        "12:00 1 ERROR nova     self._connect(\n12:00 1 ERROR nova     ~~~~^^^^\n"
        "12:00 1 ERROR nova oslo_db.exception.X: no database\n12:00 1 ERROR nova \n\n"
    )
    lines = output.tail(log, 5, unit_state.NOISE)
    assert lines[-1] == "12:00 1 ERROR nova oslo_db.exception.X: no database"
    assert len(lines) == 2


def test_the_end_of_a_journal_comes_without_the_lines_of_systemd_about_each_start():
    journal = """Starting nova-scheduler.service - OpenStack Nova Scheduler (nova-scheduler)...
no module named x
nova-scheduler.service: Main process exited, code=exited, status=1/FAILURE
nova-scheduler.service: Failed with result 'exit-code'.
Failed to start nova-scheduler.service - OpenStack Nova Scheduler (nova-scheduler).
nova-scheduler.service: Consumed 2.164s CPU time.
nova-scheduler.service: Scheduled restart job, restart counter is at 2.
nova-scheduler.service: start operation timed out. Terminating.
"""
    assert output.tail(journal, 9, unit_state.NOISE) == [
        "no module named x",
        "nova-scheduler.service: start operation timed out. Terminating.",
    ]
