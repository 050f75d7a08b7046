# SPDX-License-Identifier: Apache-2.0
"""The control side of host_state: what a host is sent, what its options are checked for, what the report says."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import project
import pytest
from ansible.module_utils.config import operator_options
from ansible.module_utils.kvm import kvm_report
from ansible.module_utils.plan import host_call, preflight_report
from ansible.module_utils.plan.stage_table import select_stages

SECRETS = {"nova_password": "nova-pw-4711", "admin_password": "admin-pw-4711", "shared": "sla/sh-4711"}
PLAN = {
    "host": "c1",
    "packages": ["nova-compute"],
    "files": [
        {
            "path": "/etc/nova/nova.conf",
            "layers": [
                {"name": "ours", "options": {"DEFAULT": {"transport_url": "rabbit://nova:nova-pw-4711@h/"}}},
                {"name": "ours", "options": {"neutron": {"url": "http://u:sla%2Fsh-4711@h"}}},
            ],
        }
    ],
    "agent_units": [{"name": "nova-compute"}],
}
ARGUMENTS = {
    "plan": PLAN,
    "auth": {"password": SECRETS["admin_password"]},
    "region": "RegionOne",
    "database_admin": {"admin_password": "db-pw-4711"},
    "messaging_host": "192.0.2.1",
    "computes": ["c1"],
    "host": {"address": "192.0.2.1"},
    "kvm": {"require": "any"},
    "facts": {"cpus": 4},
    "stages": [],
}


def sent(look=False, **changes) -> dict:
    arguments = {**ARGUMENTS, **changes}
    stages = select_stages(arguments["plan"], arguments["stages"], arguments["computes"])
    return host_call.sent(arguments, stages, look)


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_compute_is_sent_neither_the_administrator_nor_the_database():
    result = sent(look=True)
    assert set(result) == {"plan", "host", "kvm", "stages"} and result["plan"] == PLAN
    assert "admin-pw-4711" not in json.dumps(result) and "db-pw-4711" not in json.dumps(result)


def test_who_registers_services_makes_databases_or_maps_computes_is_sent_what_that_needs():
    plan = {"identity": {"users": [{"name": "nova"}]}, "databases": [{"name": "nova"}], "cells": {"a": "b"}}
    plan["messaging_users"] = [{"name": "nova"}]
    assert {"auth", "region", "database_admin", "messaging_host", "computes"} <= set(sent(plan=plan))


def test_of_a_plan_only_the_asked_stages_are_sent():
    assert set(sent(stages=["agent_units"])["plan"]) == {"host", "agent_units"}


def test_an_acting_call_reads_the_host_only_where_no_facts_are_given():
    assert "facts" in sent() and "host" not in sent() and "kvm" not in sent()
    assert "host" in sent(facts=None)
    assert "facts" not in sent(look=True)


def test_of_all_secrets_a_host_learns_those_of_its_plan_however_they_are_spelled():
    assert host_call.occurring(SECRETS.values(), PLAN) == ["nova-pw-4711", "sla/sh-4711"]
    assert host_call.occurring(["", None, "nova-pw-4711", "nova-pw-4711"], PLAN) == ["nova-pw-4711"]
    assert host_call.occurring(["in-a-key-1"], [{"x": {"in-a-key-1": 2}}]) == ["in-a-key-1"]


def test_paths_of_earlier_acting_calls_are_passed_on():
    variables = {
        "host_state": {"acted": [], "changed_paths": ["/predicted"]},
        "host_state_base": {"acted": ["files"], "changed_paths": ["/etc/a", "/etc/b"]},
        "host_state_services": {"acted": ["api_units"], "changed_paths": ["/etc/b"]},
        "other": {"acted": ["files"], "changed_paths": ["/of/something/else"]},
        "host_state_name": "text",
    }
    assert host_call.earlier_paths(variables) == ["/etc/a", "/etc/b"]


def test_a_look_checks_the_host_for_what_its_plan_needs():
    arguments = {"plan": {**PLAN, "ports": {"8774": ["nova-api"]}}, "host": {"suite": "trixie"}}
    assert host_call.checks(arguments["host"], arguments["plan"], {"packages": {"b": "1", "a": "1"}}, 7.0) == {
        "now": 7.0,
        "packages": ["nova-compute"],
        "ports": {"8774": ["nova-api"]},
        "versions": ["a", "b"],
        "suite": "trixie",
    }
    own = {"packages": ["x"], "now": 1.0, "ports": {}}
    assert host_call.checks(own, arguments["plan"], None, 7.0) == own
    assert host_call.checks({}, arguments["plan"], None, 7.0) == {}


def test_what_is_wrong_with_the_plan_is_a_problem_of_the_look_and_every_file_is_known():
    result = {"problems": ["too little memory"], "facts": {}}
    files = [{"path": "/a", "layers": []}, {"path": "/b", "text": "x"}]
    host_call.add_to_look(result, {"problems": ["/b is not made of options"], "files": files})
    assert result["problems"] == ["too little memory", "/b is not made of options"]
    assert result["paths"] == ["/a", "/b"]


def test_a_callback_tells_what_was_done_to_units():
    path = project.ROOT / "plugins/callback/phases.py"
    spec = importlib.util.spec_from_file_location("phases", path)
    phases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(phases)
    stages = [
        {"changed": True, "started": ["a.service"], "restarted": [{"unit": "b.service", "newer": ["/x"]}]},
        {"changed": True, "started": ["c.service"], "stopped": []},
        {"changed": False},
    ]
    assert phases.units(stages) == {"started": ["a.service", "c.service"], "restarted": ["b.service"]}
    seconds = {"one": {"files": 1.0, "api_units": 5.0}, "two": {"files": 2.0}}
    assert phases.slowest(seconds) == {"files": (2.0, "two"), "api_units": (5.0, "one")}


# --- the operator's options ---------------------------------------------------------------------------------------

LISTED = {
    "packages": {"python3-nova": "1"},
    "namespaces": {
        "nova.conf": {"package": "python3-nova", "sections": {"DEFAULT": {"debug": "", "workers": ""}, "vnc": {}}}
    },
    "auth_plugins": {},
}


def files(*layers, **entry) -> list:
    return [{"path": "/etc/nova/nova.conf", "validate": ["nova.conf"], "layers": list(layers), **entry}]


def layer(name, options, operator=True, **more) -> dict:
    return {"name": name, "options": options, **({"operator": True} if operator else {}), **more}


OURS = layer("ours", {"DEFAULT": {"workers": {"from_host": "cpus"}}}, operator=False)


def check(entries, versions=None, besides=()) -> list:
    return operator_options.problems(entries, LISTED, "epoxy", versions or {}, list(besides))


def test_a_mistyped_option_is_named_with_the_layer_that_it_comes_from():
    cloud = layer("cloud (group all)", {"DEFAULT": {"debug_": True}}, source="group_vars/all/cloud.yml:7")
    host = layer("host c1", {"DEFAULT": {"worker_count": 1}})
    (problem,) = check(files(OURS, cloud, host))
    assert "cloud (group all), group_vars/all/cloud.yml:7: " in problem and "debug_" in problem
    assert "host c1: " in problem and "worker_count" in problem and problem.endswith(operator_options.ADVICE)


def test_right_options_are_no_problem_and_neither_are_those_of_newer_packages():
    assert check(files(OURS, layer("cloud", {"DEFAULT": {"debug": True}}))) == []
    unknown = files(OURS, layer("cloud", {"DEFAULT": {"debug_": True}}))
    assert check(unknown, besides=["[DEFAULT] debug_"]) == []
    assert check(unknown, versions={"python3-nova": "2"}) == [], "the installed packages decide"
    assert len(check(unknown, versions={"python3-nova": "1"})) == 1


@pytest.mark.parametrize(
    "entries",
    [
        files(OURS, layer("ours", {"DEFAULT": {"debug_": 1}}, operator=False)),
        files(OURS, layer("cloud", {})),
        files(OURS, layer("cloud", {"x": 1}), format="shell"),
        files(OURS, layer("cloud", {"DEFAULT": {"debug_": 1}}), validate=[]),
        [{"path": "/etc/x", "text": "x"}],
    ],
)
def test_only_files_with_options_of_the_operator_are_checked(entries):
    assert operator_options.checkable(entries) == [] and check(entries) == []


# --- the report ---------------------------------------------------------------------------------------------------


def test_every_problem_of_every_host_is_named_each_line_with_its_host():
    results = {
        "a": {"problems": ["10 MiB of memory", "These are wrong:\n  - one\n  - two"], "facts": {"hostname": "same"}},
        "b": {"problems": [], "facts": {"hostname": "same"}},
        "c": {"unreachable": True, "msg": "Connection refused"},
        "d": {},
        "e": {"failed": True, "msg": "no Python", "problems": []},
    }
    found = preflight_report.problems(results, ["/etc/nova/nova.cnf"])
    assert found[:5] == [
        "a: 10 MiB of memory",
        "a: These are wrong:",
        "a: - one",
        "a: - two",
        "c: cannot be reached: Connection refused",
    ]
    assert found[5].startswith("d: was not checked") and found[6] == "e: no Python"
    assert found[7].startswith("Shared host names: a and b are both called same, and Nova could not tell them apart")
    assert found[8] == "config_overrides names /etc/nova/nova.cnf, but no host has such a file; correct the path."
    assert preflight_report.problems({"b": results["b"]}) == []


def test_the_table_of_kvm_has_every_compute_and_no_other_host():
    kvm = {"result": "pass", "cause": "ok", "failed_checks": [], "recommended_virt_type": "kvm", "remedy": ""}
    results = {"controller": {"kvm": None}, "c1": {"kvm": kvm}, "c2": {"unreachable": True}}
    assert preflight_report.kvm_results(results, ["c1", "c2"]) == {"c1": kvm, "c2": {}}
    assert len(kvm_report.table(preflight_report.kvm_results(results, ["c1", "c2"]))) == 3


def test_a_release_without_a_list_is_told_once():
    results = {name: {"unlisted": "gazpacho"} for name in "abc"}
    (line,) = preflight_report.releases_without_list(results)
    assert "no list of the options of gazpacho" in line


def action(name: str):
    """Return an action plugin as a Python module."""
    path = project.ROOT / "plugins/action" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"action_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("count", [2, 50])
def test_the_report_reads_each_host_once(count):
    class Counting(dict):
        def __getitem__(self, host):
            reads.append(host)
            return {"host_state": {"problems": []}}

    reads: list = []
    hosts = [f"c{number}" for number in range(count)]
    assert len(action("preflight_report").results_of(Counting(), hosts, "host_state")) == count
    assert reads == hosts


# --- a real play --------------------------------------------------------------------------------------------------

PLAY = """
- name: Look, act, report
  hosts: all
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    nova_password: nova-pw-4711
    cloud_external: {keystone: {admin_password: "{{ 'admin-pw' ~ '-4711' }}"}}
    cloud:
      secret_paths: [[nova_password], [cloud_external, keystone, admin_password], [nosuch], [cloud_external, x, y]]
    own: "{{ lookup('pipe', 'id -un') }}"
    plan:
      host: "{{ inventory_hostname }}"
      files:
        - path: "{{ directory }}/{{ inventory_hostname }}.conf"
          owner: "{{ own }}"
          group: "{{ lookup('pipe', 'id -gn') }}"
          validate: [nosuch.namespace]
          layers:
            - {name: ours, options: {DEFAULT: {workers: {from_host: cpus, max: 1}, note: "has {{ nova_password }}"}}}
            - {name: cloud, operator: true, options: {DEFAULT: {debug: "{{ debug | default(true) }}"}}}
  tasks:
    - name: Look
      host_state:
        plan: "{{ plan }}"
        look: true
        auth: {password: "{{ cloud_external.keystone.admin_password }}"}
        option_list: "{{ directory }}/list.json"
        option_release: epoxy
      register: host_state

    - name: Report
      preflight_report:
        directory: "{{ directory }}/reports"
        cloud:
          groups: {nova_computes: [], nova_controllers: [one, two]}
          overrides: {all: [{name: cloud (group all), source: x, files: "{{ unknown | default({}) }}"}]}
      when: report | default(true)

    - name: Do what there is nothing of
      host_state:
        plan: "{{ plan }}"
        stages: [api_units]
      register: host_state_nothing
      failed_when: host_state_nothing.stages | length > 0 or 'invocation' in host_state_nothing
      connection: ssh
      vars: {ansible_host: 127.0.0.1, ansible_port: 1}

    - name: Refuse to act on a plan that is wrong
      host_state:
        plan: {host: x, problems: [this is wrong], files: "{{ plan.files }}"}
        stages: [files]
      ignore_errors: true
"""


@pytest.fixture
def play(tmp_path):
    """Return a function that runs PLAY, with arguments, on two hosts that are this machine."""
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts").write_text("one ansible_connection=local\ntwo ansible_connection=local\n")

    def run(*arguments):
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(tmp_path / "hosts"),
            str(tmp_path / "play.yml"),
        ]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(project.ROOT / "ansible.cfg")}
        environment["PHASES_FILE"] = str(tmp_path / "phases.json")
        command += ["-e", f"directory={tmp_path}", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_a_look_in_a_play_predicts_masks_and_tells_the_callback(play, tmp_path):
    known = {"package": "python3-nova", "sections": {"DEFAULT": {"workers": "", "note": ""}}}
    listed = {"packages": {"python3-nova": "1"}, "namespaces": {"nosuch.namespace": known}, "auth_plugins": {}}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    done = play("--check", "--diff", "-vvv", "-e", "{report: false}")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert f"files: {tmp_path}/one.conf (absent)" in output and "workers = 1" in output
    assert output.count("cloud: [DEFAULT] debug") == 2, output
    assert output.count("msg: this is wrong") == 2, "nobody acts on a plan that is wrong"
    assert "nova-pw-4711" not in output and "admin-pw-4711" not in output
    assert not (tmp_path / "one.conf").exists()
    tasks = {task["task"]: task for task in json.loads((tmp_path / "phases.json").read_text())["tasks"]}
    assert tasks["Look"]["stages"] == {"one": ["files"], "two": ["files"]}
    assert tasks["Look"]["paths"] == {host: [f"{tmp_path}/{host}.conf"] for host in ("one", "two")}
    assert tasks["Look"]["units"] == {"one": {}, "two": {}}
    assert {tuple(seconds) for seconds in tasks["Look"]["stage_seconds"].values()} == {("files",)}
    assert tasks["Do what there is nothing of"]["stages"] == {}


def test_in_a_run_a_look_changes_nothing_and_the_report_says_what_no_single_host_sees(play, tmp_path):
    with (tmp_path / "hosts").open("a") as inventory:
        inventory.write("gone ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh\n")
    done = play("-e", "{unknown: {/etc/nova/nova.cnf: {}}}")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "gone: cannot be reached: " in output
    assert "There is no list of the options of epoxy" in output
    assert "Shared host names: one and two are both called" in output and "/etc/nova/nova.cnf" in output
    tasks = {task["task"]: task for task in json.loads((tmp_path / "phases.json").read_text())["tasks"]}
    assert tasks["Look"]["stages"] == {} and tasks["Look"]["changed"] == []
