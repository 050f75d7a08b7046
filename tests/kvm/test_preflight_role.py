# SPDX-License-Identifier: Apache-2.0
"""The role kvm_preflight on this machine under several names and policies: table, report, who fails."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from test_real_probe import expected_class

pytestmark = pytest.mark.usefixtures("real_kvm")
ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = """
[hypervisors]
accepts-any    ansible_connection=local kvm_preflight_require=any
asks-nothing   ansible_connection=local kvm_preflight_require=none
asks-hardware  ansible_connection=local
asks-too-much  ansible_connection=local kvm_preflight_require=any kvm_preflight_policy="{'min_vcpus': 100000000}"
gone           ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh

[hypervisors:vars]
ansible_python_interpreter=/usr/bin/python3
"""
PLAY = """---
- name: Judge
  hosts: hypervisors
  gather_facts: false
  roles:
    - role: kvm_preflight
"""


@pytest.fixture(scope="module", params=["run", "check"])
def judged(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("preflight")
    (folder / "hosts").write_text(INVENTORY)
    (folder / "play.yml").write_text(PLAY)
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "hosts"), str(folder / "play.yml")]
    command += ["-e", f"kvm_preflight_report_dir={folder}/reports"]
    command += ["--check", "--diff"] if request.param == "check" else []
    environment = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_ROLES_PATH=str(ROOT / "roles"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    return request.param, done, folder / "reports" / "kvm.json"


def recap(output, host):
    line = next(line for line in output.splitlines() if line.startswith(host) and "unreachable=" in line)
    return dict(word.split("=") for word in line.split(":", 1)[1].split())


def test_each_host_follows_its_own_policy(judged):
    _mode, done, _report = judged
    strict = "0" if expected_class() == "hardware" else "1"
    failed = {host: recap(done.stdout, host)["failed"] for host in ("accepts-any", "asks-nothing", "asks-hardware")}
    assert failed == {"accepts-any": "0", "asks-nothing": "0", "asks-hardware": strict}, done.stdout + done.stderr
    assert recap(done.stdout, "gone")["unreachable"] == "1"


def test_nothing_changes(judged):
    _mode, done, _report = judged
    assert {recap(done.stdout, host)["changed"] for host in ("accepts-any", "asks-hardware", "gone")} == {"0"}


def test_one_table_has_all_hosts(judged):
    _mode, done, _report = judged
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("host ") and "virt_type" in line)
    rows = {line.split()[0]: line for line in lines[start + 1 : start + 6]}
    assert set(rows) == {"accepts-any", "asks-nothing", "asks-hardware", "asks-too-much", "gone"}
    assert "no answer" in rows["gone"]
    assert rows["accepts-any"].split()[1] in ("pass", "warn")


def test_report_holds_the_findings(judged):
    mode, done, report = judged
    if mode == "check":
        assert not report.exists()
        return
    found = json.loads(report.read_text())
    assert found["gone"]["unreachable"] is True
    assert found["accepts-any"]["class"] == expected_class()
    assert found["accepts-any"]["ansible_facts"]["kvm"]["probe"]["tests"]


def test_failure_says_what_to_do(judged):
    _mode, done, _report = judged
    if expected_class() == "hardware":
        pytest.skip("this machine meets the strictest policy")
    assert "does not meet the policy (kvm_preflight_require is hardware)" in done.stdout + done.stderr
    assert "do: " in done.stdout + done.stderr
