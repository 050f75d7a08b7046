# SPDX-License-Identifier: Apache-2.0
"""The role kvm_preflight on this machine under several names and policies: table, report, failing hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_real_probe import expected_class

pytestmark = pytest.mark.usefixtures("real_kvm")
ROOT = Path(__file__).resolve().parents[2]
INVENTORY = """
[hypervisors]
accepts-any     ansible_connection=local kvm_preflight_require=any
needs-nothing   ansible_connection=local kvm_preflight_require=none
needs-hardware  ansible_connection=local
needs-too-much  ansible_connection=local kvm_preflight_require=any kvm_preflight_policy="{'min_vcpus': 100000000}"
gone            ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh

[hypervisors:vars]
ansible_python_interpreter=/usr/bin/python3
"""
PLAY = """---
- name: Evaluate
  hosts: hypervisors
  gather_facts: false
  roles:
    - role: kvm_preflight
"""


@pytest.fixture(scope="module", params=["run", "check"])
def played(request, tmp_path_factory):
    """Return the mode of a play of the role, how it ended, and the path of its report."""
    directory = tmp_path_factory.mktemp("preflight")
    (directory / "hosts").write_text(INVENTORY)
    (directory / "play.yml").write_text(PLAY)
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(directory / "hosts"), str(directory / "play.yml")]
    command += ["-e", f"kvm_preflight_report_dir={directory}/reports"]
    command += ["--check", "--diff"] if request.param == "check" else []
    environment = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_ROLES_PATH=str(ROOT / "roles"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    return request.param, done, directory / "reports" / "kvm.json"


def recap(output: str, host: str) -> dict[str, str]:
    """Return the counts of a host at the end of a play."""
    line = next(line for line in output.splitlines() if line.startswith(host) and "unreachable=" in line)
    return dict(word.split("=") for word in line.split(":", 1)[1].split())


def test_each_host_follows_its_own_policy(played):
    _mode, done, _report = played
    strict = "0" if expected_class() == "hardware" else "1"
    failed = {host: recap(done.stdout, host)["failed"] for host in ("accepts-any", "needs-nothing", "needs-hardware")}
    assert failed == {"accepts-any": "0", "needs-nothing": "0", "needs-hardware": strict}, done.stdout + done.stderr
    assert recap(done.stdout, "gone")["unreachable"] == "1"


def test_nothing_changes(played):
    _mode, done, _report = played
    assert {recap(done.stdout, host)["changed"] for host in ("accepts-any", "needs-hardware", "gone")} == {"0"}


def test_one_table_has_all_hosts(played):
    _mode, done, _report = played
    lines = [line.strip() for line in done.stdout.splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("host ") and "virt_type" in line)
    rows = {line.split()[0]: line for line in lines[start + 1 : start + 6]}
    assert set(rows) == {"accepts-any", "needs-nothing", "needs-hardware", "needs-too-much", "gone"}
    assert "no answer" in rows["gone"]
    assert rows["accepts-any"].split()[1] in ("pass", "warn")


def test_report_holds_the_findings(played):
    mode, done, report = played
    if mode == "check":
        assert not report.exists()
        return
    found = json.loads(report.read_text())
    assert found["gone"]["unreachable"] is True
    assert found["accepts-any"]["class"] == expected_class()
    assert found["accepts-any"]["ansible_facts"]["kvm"]["probe"]["tests"]


def test_failure_says_what_to_do(played):
    _mode, done, _report = played
    if expected_class() == "hardware":
        pytest.skip("this machine meets the strictest policy")
    assert "does not meet the policy (kvm_preflight_require is hardware)" in done.stdout + done.stderr
    assert "do: " in done.stdout + done.stderr
