# SPDX-License-Identifier: Apache-2.0
"""host_state: which stage gets what, what a look says before a run does it, and what a failure leaves."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import sys
from types import SimpleNamespace

import pytest
from ansible.module_utils.plan import in_process
from ansible.module_utils.plan.stage_table import NAMES, STAGES
from ansible.module_utils.stages import systemd_units

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
SECRET = "Zw3rgen/auf$tand"
FACTS = {"hostname": "c1", "cpus": 6, "kvm": {"virt_type": "kvm", "cpu_mode": "host-model", "cpu_models": []}}
PLAN = {
    "host": "compute1",
    "packages": ["nova-compute"],
    "debconf": ["a b boolean true"],
    "files": [{"path": "/etc/a.conf"}],
    "base_units": [{"name": "libvirtd"}],
    "databases": [{"name": "nova"}],
    "messaging_users": [{"name": "nova"}],
    "prepare": [{"name": "Connect Open vSwitch", "module": "ovs_host", "args": {"port": "eth1"}}],
    "schema": [{"name": "nova"}],
    "identity_units": [{"name": "keystone"}],
    "identity_endpoints": [{"url": "http://a/"}],
    "identity": {"users": [{"name": "nova"}], "services": []},
    "api_units": [{"name": "nova-api"}],
    "stopped_units": [{"name": "nova-novncproxy", "state": "stopped"}],
    "api_endpoints": [{"url": "http://b/"}],
    "queues": [{"queue": "conductor"}],
    "agent_units": [{"name": "nova-compute"}],
    "finish": [{"name": "Do the rest", "module": "ovs_host", "args": {}}],
    "cells": {"api_database_url": "x", "cell_database_url": "y"},
}
SPECS = {
    "apt_transaction": ["packages", "debconf", "lock_timeout"],
    "config_files": ["files", "secrets"],
    "systemd_units": ["units", "changed_files", "secrets"],
    "service_databases": ["databases", "login_host", "login_port", "login_user", "login_password"],
    "rabbitmq_users": ["users", "host"],
    "ovs_host": ["port"],
    "db_bootstrap": ["services"],
    "http_ready": ["endpoints"],
    "openstack_identity": ["auth", "region", "projects", "roles", "users", "services"],
    "queue_consumers": ["queues"],
    "nova_compute_hosts": ["computes", "api_database_url", "cell_database_url"],
    "host_check": ["address"],
    "kvm_verify": ["require", "on_failure"],
}


class Fakes:
    """Stage modules that do nothing but keep what they were called with; `answers` says what a module returns."""

    def __init__(self) -> None:
        self.calls: list = []
        self.answers: dict = {
            "host_check": {"ansible_facts": {"nova_ansible_host": dict(FACTS)}, "problems": [], "versions": {}},
        }

    def make(self, name: str):
        spec = {key: {"type": "raw"} for key in SPECS[name]}

        def run(module) -> None:
            self.calls.append((name, module.check_mode, module.params))
            answer = self.answers.get(name, {})
            if callable(answer):
                answer = answer(module)
            if "msg" in answer:
                module.fail_json(**answer)
            module.exit_json(**answer)

        return SimpleNamespace(ARGUMENT_SPEC=spec, run=run)

    def names(self) -> list:
        return [name for name, _check, _params in self.calls if name not in ("host_check", "kvm_verify")]

    def params(self, name: str) -> list:
        return [params for called, _check, params in self.calls if called == name]


@pytest.fixture
def fakes(monkeypatch):
    """Return stages that do nothing, in place of all real ones."""
    made = Fakes()
    for name in SPECS:
        monkeypatch.setitem(sys.modules, f"ansible.module_utils.stages.{name}", made.make(name))
    return made


@pytest.fixture
def state(run_module, fakes):
    """Return a function that runs the module with arguments; its plan is PLAN by default."""

    def run(check=False, diff=True, **arguments):
        arguments = {"plan": PLAN, "facts": FACTS, "computes": ["c1"], "auth": {"username": "admin"}, **arguments}
        return run_module("host_state", arguments, check=check, diff=diff)

    return run


def changing(*names: str) -> dict:
    """Return answers of modules that changed something."""
    return {name: {"changed": True} for name in names}


# --- order and arguments ------------------------------------------------------------------------------------------


def test_all_stages_run_in_their_order_each_with_its_part_of_the_plan(state, fakes):
    result = state(secrets=[SECRET], changed_paths=["/etc/old"])
    assert result["acted"] == list(NAMES)
    assert fakes.names() == [stage.module or "ovs_host" for stage in STAGES]
    assert not any(check for _name, check, _params in fakes.calls)
    assert fakes.params("apt_transaction") == [
        {"packages": PLAN["packages"], "debconf": PLAN["debconf"], "lock_timeout": 1800}
    ]
    assert [[unit["name"] for unit in params["units"]] for params in fakes.params("systemd_units")] == [
        ["libvirtd"],
        ["keystone"],
        ["nova-api", "nova-novncproxy"],
        ["nova-compute"],
    ]
    identity = fakes.params("openstack_identity")[0]
    assert identity["users"] == PLAN["identity"]["users"] and identity["services"] == []
    assert (
        identity["projects"] == [{"name": "service", "domain": "Default"}] and identity["auth"]["username"] == "admin"
    )
    assert fakes.params("nova_compute_hosts") == [{**PLAN["cells"], "computes": ["c1"]}]
    assert [params["port"] for params in fakes.params("ovs_host")] == ["eth1", None]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_alone_runs_nothing_else(state, fakes, name):
    assert list(state(stages=[name])["stages"]) == [name]
    assert len(fakes.names()) == 1


def test_a_stage_that_the_plan_does_not_have_is_not_there(state, fakes):
    empty = {"host": "c1", "packages": [], "debconf": ["x"], "identity": {"users": [], "services": []}, "cells": {}}
    assert state(plan=empty)["stages"] == {}
    assert state(plan={"cells": PLAN["cells"]}, computes=[])["stages"] == {}
    assert fakes.calls == []


def test_an_unknown_stage_is_named(state):
    assert "stages: base unknown; choose from packages, files" in state(stages=["base", "files"])["msg"]


def test_units_learn_the_paths_that_packages_and_files_changed_now_and_before(state, fakes):
    fakes.answers["apt_transaction"] = {"changed": True, "changed_paths": ["/var/lib/dpkg/info/a.list"]}
    fakes.answers["config_files"] = {"changed": True, "changed_paths": ["/etc/a.conf", "/etc/old"]}
    result = state(changed_paths=["/etc/old"])
    assert result["changed_paths"] == ["/var/lib/dpkg/info/a.list", "/etc/a.conf", "/etc/old"]
    assert fakes.params("systemd_units")[0]["changed_files"] == ["/etc/old", "/var/lib/dpkg/info/a.list", "/etc/a.conf"]


@pytest.mark.parametrize(
    ("admin", "login"),
    [
        ({}, [None, None, None, None]),
        (
            {"address": "192.0.2.5", "port": 3307, "admin_user": "root", "admin_password": "pw-of-theirs"},
            ["192.0.2.5", 3307, "root", "pw-of-theirs"],
        ),
    ],
)
def test_an_external_database_server_gets_its_login(state, fakes, admin, login):
    state(stages=["databases"], database_admin=admin)
    params = fakes.params("service_databases")[0]
    assert [params[f"login_{name}"] for name in ("host", "port", "user", "password")] == login


def test_the_mark_of_the_operators_layers_stays_here(state, fakes):
    layers = [{"name": "ours", "options": {}}, {"name": "cloud", "options": {}, "operator": True}]
    state(plan={"files": [{"path": "/a", "layers": layers}]})
    assert fakes.params("config_files")[0]["files"][0]["layers"][1] == {"name": "cloud", "options": {}}


# --- what the host decides ----------------------------------------------------------------------------------------


def test_values_that_only_the_host_knows_are_decided_from_its_facts(state, fakes):
    workers = {"from_host": "cpus", "divide_by": 2, "min": 1, "max": 8}
    state(plan={"api_endpoints": [{"url": workers, "name": {"from_host": "kvm.virt_type"}}]})
    assert fakes.params("http_ready") == [{"endpoints": [{"url": 3, "name": "kvm"}]}]


def test_a_fact_that_no_host_has_is_a_problem_of_the_plan(state, fakes):
    plan = {"packages": ["a"], "agent_units": [{"name": {"from_host": "nosuch.fact"}}]}
    fakes.answers.update(changing("apt_transaction"))
    result = state(plan=plan, look=True)
    assert len(result["problems"]) == 1 and "nosuch" in result["problems"][0] and "agent_units" in result["problems"][0]


def test_facts_of_an_earlier_look_are_not_read_again(state, fakes):
    result = state(kvm={"require": "any"})
    assert fakes.params("host_check") == [] and result["facts"] == FACTS and result["kvm"] is None


def test_without_facts_the_host_is_read(state, fakes):
    assert state(facts=None, host={"address": "192.0.2.1"})["facts"]["cpus"] == 6
    assert fakes.params("host_check") == [{"address": "192.0.2.1"}]


# --- looks --------------------------------------------------------------------------------------------------------


def test_a_look_predicts_all_stages_and_changes_nothing(state, fakes):
    fakes.answers.update(changing("config_files", "systemd_units"))
    result = state(look=True)
    assert all(check for _name, check, _params in fakes.calls)
    assert (result["changed"], result["pending"], result["acted"]) == (False, True, [])
    changed = [name for name, entry in result["stages"].items() if entry["changed"]]
    assert sorted(changed) == ["agent_units", "api_units", "base_units", "files", "identity_units"]


def test_in_check_mode_a_look_says_what_would_change_and_shows_it(state, fakes):
    shown = {
        "before_header": "/etc/a.conf (file)",
        "after_header": "/etc/a.conf (file)",
        "before": "a\n",
        "after": "b\n",
    }
    fakes.answers["config_files"] = {"changed": True, "diff": [shown]}
    fakes.answers["ovs_host"] = {"changed": True, "diff": {"before": "x\n", "after": "y\n"}}
    result = state(look=True, check=True)
    assert result["changed"] is True
    assert [entry["before_header"] for entry in result["diff"]] == [
        "files: /etc/a.conf (file)",
        "prepare: Connect Open vSwitch",
        "finish: Do the rest",
    ]
    assert "diff" not in state(look=True, check=True, diff=False)


def test_what_does_not_differ_is_not_shown(state, fakes):
    fakes.answers["ovs_host"] = {"changed": False, "diff": {"before": "same\n", "after": "same\n"}}
    assert "diff" not in state(look=True)


def test_check_mode_without_a_look_acts_on_nothing_either(state, fakes):
    fakes.answers.update(changing("apt_transaction"))
    result = state(check=True)
    assert result["changed"] and all(check for _name, check, _params in fakes.calls)


def test_a_look_with_nothing_to_do_is_small(state, fakes):
    fakes.answers["http_ready"] = {"endpoints": [{"name": "keystone", "status": 200}], "not_ready": []}
    result = state(look=True)
    assert result["pending"] is False and result["problems"] == []
    assert all(set(entry) == {"changed", "seconds"} for name, entry in result["stages"].items())
    assert len(json.dumps(result)) < 1500


@pytest.mark.parametrize("failing", ["openstack_identity", "crash"])
def test_what_cannot_be_predicted_before_an_earlier_stage_is_done_is_pending_with_a_note(state, fakes, failing):
    def crash(_module):
        raise ConnectionError("no route")

    fakes.answers.update(changing("apt_transaction"))
    fakes.answers["openstack_identity"] = crash if failing == "crash" else {"msg": "no route"}
    result = state(look=True)
    assert result["problems"] == [] and result["pending"]
    note = "unexpected ConnectionError: no route" if failing == "crash" else "no route"
    assert result["stages"]["identity"] == {
        "changed": True,
        "note": f"cannot be predicted yet: {note}",
        "seconds": result["stages"]["identity"]["seconds"],
    }


def test_the_same_failure_on_a_host_with_nothing_to_do_is_a_problem(state, fakes):
    fakes.answers["openstack_identity"] = {"msg": "The identity service refused: 401"}
    result = state(look=True)
    assert result["problems"] == ["The identity service refused: 401"] and "failed" not in result
    assert "cells" in result["stages"], "the others are looked at as well"


@pytest.mark.parametrize("name", ["apt_transaction", "config_files"])
def test_what_packages_or_files_refuse_is_always_a_problem(state, fakes, name):
    fakes.answers.update(changing("apt_transaction"))
    fakes.answers[name] = {"msg": "this is refused"}
    assert state(look=True)["problems"] == ["this is refused"]


def test_what_is_waited_for_is_pending_but_no_change(state, fakes):
    fakes.answers["http_ready"] = {"not_ready": ["keystone"], "endpoints": [{"name": "keystone"}]}
    fakes.answers["queue_consumers"] = {"unserved": ["conductor"]}
    result = state(look=True, check=True)
    assert (result["changed"], result["pending"], result["problems"]) == (False, True, [])
    assert result["stages"]["api_endpoints"]["note"] == "not ready yet: keystone"
    assert result["stages"]["queues"]["note"] == "not consumed yet: conductor"


def test_a_warning_of_a_stage_is_its_note(state, fakes):
    fakes.answers["apt_transaction"] = lambda module: module.warn("apt cannot plan this yet") or {"changed": True}
    assert state(look=True)["stages"]["packages"]["note"] == "apt cannot plan this yet"


def test_the_problems_of_the_host_come_first(state, fakes):
    fakes.answers["host_check"]["problems"] = ["10 MiB of memory"]
    fakes.answers["config_files"] = {"msg": "refused"}
    assert state(look=True, host={"address": "192.0.2.1"})["problems"] == ["10 MiB of memory", "refused"]
    assert state(look=True)["problems"] == ["refused"], "nothing was asked of the host"


# --- KVM ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kvm_result", "repairable", "repair", "problem", "pending"),
    [
        ("pass", False, False, False, False),
        ("warn", False, True, False, False),
        ("fail", True, True, False, True),
        ("fail", True, False, True, False),
        ("fail", False, True, True, False),
    ],
)
def test_a_host_below_the_policy_is_a_problem_unless_a_run_repairs_it(
    state, fakes, monkeypatch, kvm_result, repairable, repair, problem, pending
):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    found = {
        "result": kvm_result,
        "repairable": repairable,
        "recommended_virt_type": "qemu",
        "recommended": {"cpu_mode": "custom", "cpu_models": ["Nehalem"]},
        "msg": "firmware; do: enable it",
    }
    fakes.answers["kvm_verify"] = lambda module: module.exit_json(**found)
    result = state(plan={"host": "compute1"}, look=True, kvm={"require": "hardware", "repair": repair})
    sentence = "KVM on compute1 does not meet the policy (kvm_preflight_require is hardware). firmware; do: enable it"
    assert result["problems"] == ([sentence] if problem else [])
    assert result["pending"] is pending
    assert result["facts"]["kvm"] == {"virt_type": "qemu", "cpu_mode": "custom", "cpu_models": ["Nehalem"]}
    assert result["kvm"]["result"] == kvm_result
    assert fakes.params("kvm_verify") == [{"require": "hardware", "on_failure": "report"}]


def test_a_host_without_guests_is_not_asked_for_kvm(state, fakes):
    assert state(look=True)["kvm"] is None and fakes.params("kvm_verify") == []


# --- acting -------------------------------------------------------------------------------------------------------


def test_the_first_stage_that_fails_ends_the_call_with_its_message_and_what_was_done(state, fakes):
    fakes.answers["apt_transaction"] = {"changed": True, "changed_paths": ["/x.list"], "installed": ["a"]}
    fakes.answers["service_databases"] = {"msg": "The server refuses root", "tried": 3}
    result = state()
    assert result["failed"] and result["msg"] == "The server refuses root"
    assert result["failed_stage"] == "databases" and result["changed"]
    assert list(result["acted"]) == ["packages", "files", "base_units", "databases"]
    assert result["stages"]["packages"]["installed"] == ["a"] and result["stages"]["databases"]["tried"] == 3
    assert result["changed_paths"] == ["/x.list"]
    assert "rabbitmq_users" not in fakes.names()


def test_a_step_that_fails_is_named_and_the_next_is_not_begun(state, fakes):
    fakes.answers["ovs_host"] = {"msg": "There is no interface"}
    plan = {"prepare": [PLAN["prepare"][0], {"name": "Second", "module": "ovs_host", "args": {}}]}
    result = state(plan=plan)
    assert result["msg"] == "Connect Open vSwitch: There is no interface"
    assert len(fakes.params("ovs_host")) == 1


def test_steps_that_changed_something_are_listed(state, fakes):
    fakes.answers["ovs_host"] = lambda module: {"changed": module.params["port"] == "eth1"}
    plan = {"prepare": [PLAN["prepare"][0], {"name": "Second", "module": "ovs_host", "args": {"port": "eth2"}}]}
    assert state(plan=plan)["stages"]["prepare"]["steps"] == ["Connect Open vSwitch"]


@pytest.mark.parametrize("name", ["nosuch", "../nova", "os.path"])
def test_a_step_of_an_unknown_module_is_refused(state, name):
    plan = {"prepare": [{"name": "A step", "module": name, "args": {}}]}
    assert name in state(plan=plan)["msg"]
    assert len(state(plan=plan, look=True)["problems"]) == 1


def test_an_error_in_a_stage_is_reported_with_what_was_done(state, fakes):
    def crash(_module):
        raise KeyError("thing")

    fakes.answers["ovs_host"] = crash
    result = state()
    assert result["failed"] and "KeyError: 'thing'" in result["msg"] and result["failed_stage"] == "prepare"


# --- secrets ------------------------------------------------------------------------------------------------------


def spelled(secret: str) -> list:
    return [secret, "Zw3rgen%2Fauf%24tand", "Zw3rgen/auf$$tand"]


def test_no_secret_is_in_a_result_in_any_spelling(state, fakes):
    fakes.answers["apt_transaction"] = {"changed": True, "diff": {"before": "", "after": " ".join(spelled(SECRET))}}
    fakes.answers["ovs_host"] = {"msg": f"refused {' '.join(spelled(SECRET))}"}
    text = json.dumps(state(secrets=[SECRET]))
    assert [form for form in spelled(SECRET) if form in text] == []


def test_what_one_stage_calls_a_secret_no_other_gives_away(state, fakes):
    fakes.answers["apt_transaction"] = lambda module: module.no_log_values.add("cell-url-pw-1") or {}
    fakes.answers["ovs_host"] = {"msg": "refused cell-url-pw-1"}
    assert "cell-url-pw-1" not in json.dumps(state())


@pytest.mark.parametrize("arguments", [{}, {"plan": ["not a dict"]}, {"stages": ["nosuch"]}, {"look": True}])
def test_the_arguments_are_not_returned(run_module, fakes, arguments):
    plan = {"files": [{"path": "/a", "text": SECRET}]}
    result = run_module("host_state", {"plan": plan, "facts": FACTS, "auth": {"password": SECRET}, **arguments})
    assert "plan" in result["invocation"]["module_args"] and SECRET not in json.dumps(result)


def test_no_secret_reaches_the_journal_of_the_target(run_module, fakes, monkeypatch):
    said = []
    monkeypatch.setattr("host_state.QuietModule.log", lambda _module, text, **_options: said.append(text))
    run_module("host_state", {"plan": {"files": [{"path": "/a", "text": SECRET}]}, "facts": FACTS})
    assert len(said) == 1 and "files" in said[0] and SECRET not in said[0]


# --- one process for all ------------------------------------------------------------------------------------------


def test_a_stage_finds_the_process_as_the_one_before_found_it(state, fakes, tmp_path):
    def untidy(module):
        seen.append((os.getcwd(), os.environ.get("LEFT"), os.umask(0o077), signal.getsignal(signal.SIGTERM)))
        os.environ["LEFT"] = "behind"
        os.chdir(tmp_path)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        module.params["left"] = module.no_log_values
        return {}

    seen: list = []
    before = os.getcwd(), signal.getsignal(signal.SIGTERM)
    fakes.answers.update({"apt_transaction": untidy, "config_files": untidy})
    state(stages=["packages", "files"])
    assert len(seen) == 2 and seen[0] == seen[1]
    assert (os.getcwd(), signal.getsignal(signal.SIGTERM)) == before and "LEFT" not in os.environ


def outer() -> SimpleNamespace:
    """Return what stands around a stage."""

    def run_command(args, **options):
        assert options == {"check_rc": False, "handle_exceptions": False, "cwd": "/"}
        if args[0] == "nosuch":
            raise FileNotFoundError(2, "No such file or directory")
        return (3, "", "it broke\n") if args[0] == "false" else (0, "fine", "")

    return SimpleNamespace(no_log_values=set(), run_command=run_command, log=lambda *_args: None)


def in_stage(run, spec=None, arguments=None) -> dict:
    return in_process.call(outer(), SimpleNamespace(ARGUMENT_SPEC=spec or {}, run=run), arguments or {}, False)


def test_arguments_are_taken_as_ansible_takes_them():
    taken = []
    arguments = {"units": [{"name": "a", "enabled": "no"}], "timeout": "7"}
    code = SimpleNamespace(ARGUMENT_SPEC=systemd_units.ARGUMENT_SPEC, run=lambda module: taken.append(module.params))
    in_process.call(outer(), code, arguments, False)
    assert taken[0]["timeout"] == 7 and taken[0]["settle"] == 2 and taken[0]["units"][0]["enabled"] is False
    assert taken[0]["units"][0]["state"] == "started" and taken[0]["secrets"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "missing required arguments: units"),
        ({"units": [{"name": "a", "state": "up"}]}, "must be one of"),
        ({"units": [], "unit": 1}, "Unsupported parameters: unit"),
    ],
)
def test_wrong_arguments_are_a_failure_of_the_stage(arguments, words):
    code = SimpleNamespace(ARGUMENT_SPEC=systemd_units.ARGUMENT_SPEC, run=lambda module: module.exit_json())
    result = in_process.call(outer(), code, arguments, False)
    assert result["failed"] and words in result["msg"]


def test_secrets_of_the_arguments_are_learned_by_the_module_around():
    around = outer()
    spec = {"user": {"type": "dict", "options": {"password": {"type": "str", "no_log": True}}}}
    code = SimpleNamespace(ARGUMENT_SPEC=spec, run=lambda module: module.exit_json())
    in_process.call(around, code, {"user": {"password": "pw-4711"}}, False)
    assert around.no_log_values == {"pw-4711"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("false", "'false --now' failed: it broke"),
        ("nosuch", "'nosuch --now' cannot be run: No such file or directory"),
    ],
)
def test_a_command_that_fails_ends_the_stage_not_the_module(command, message):
    result = in_stage(lambda module: module.run_command([command, "--now"], check_rc=True, cwd="/"))
    assert result["failed"] and result["msg"] == message


def test_an_end_is_no_exception_that_a_stage_could_catch():
    def run(module):
        try:
            module.exit_json(changed=True)
        except Exception:
            module.fail_json(msg="caught")

    assert in_stage(run) == {"changed": True}


def test_a_signal_still_ends_everything():
    def run(_module):
        raise SystemExit("ended by signal 15")

    with pytest.raises(SystemExit):
        in_stage(run)


# --- real stages --------------------------------------------------------------------------------------------------


def test_a_look_tells_beforehand_what_real_stages_do_and_afterwards_nothing_is_left(run_module, tmp_path):
    plan = {
        "host": "this",
        "files": [
            {**ME, "path": f"{tmp_path}/etc", "state": "directory"},
            {
                **ME,
                "path": f"{tmp_path}/etc/a.conf",
                "layers": [
                    {"name": "ours", "options": {"DEFAULT": {"workers": {"from_host": "cpus", "divide_by": 1000}}}},
                    {"name": "cloud", "options": {"own": {"password": "unnamed4711x"}}, "operator": True},
                ],
            },
        ],
        "schema": [
            {
                "name": "one",
                "user": ME["owner"],
                "steps": [{"argv": ["touch", f"{tmp_path}/made"], "creates": f"{tmp_path}/made"}],
            }
        ],
    }
    looked = run_module("host_state", {"plan": plan, "look": True})
    assert looked["problems"] == [] and os.listdir(tmp_path) == []
    done = run_module("host_state", {"plan": plan, "facts": looked["facts"]})
    assert {n: e["changed"] for n, e in looked["stages"].items()} == {
        n: e["changed"] for n, e in done["stages"].items()
    }
    assert looked["changed_paths"] == done["changed_paths"] == [f"{tmp_path}/etc", f"{tmp_path}/etc/a.conf"]
    assert "workers = 0" in (tmp_path / "etc/a.conf").read_text()
    assert "unnamed4711x" not in json.dumps([looked, done])
    again = run_module("host_state", {"plan": plan, "look": True})
    assert (again["pending"], again["changed_paths"]) == (False, [])
