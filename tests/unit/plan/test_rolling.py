# SPDX-License-Identifier: Apache-2.0
"""Several controllers restart their services one after the other, each when the previous one is ready.

Ansible itself runs the tasks of the role deploy on three hosts; in place of host_state, an action notes when it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import project
import pytest

ACTION = """
import json, os, time
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        stages, directory = self._task.args["stages"], os.environ["CALLS"]
        begun = time.monotonic()
        mine = os.path.join(directory, f"{stages[0]}.{task_vars['inventory_hostname']}")
        open(mine, "w").close()
        if "api_units" in stages or "identity_units" in stages:
            time.sleep(0.3)
        else:  # wait for the others, which start as fast as this machine allows
            while sum(name.startswith(f"{stages[0]}.") for name in os.listdir(directory)) < 3:
                if time.monotonic() > begun + 30:
                    break
                time.sleep(0.02)
        with open(os.path.join(directory, "log"), "a") as stream:
            stream.write(json.dumps([stages, task_vars["inventory_hostname"], begun, time.monotonic()]) + "\\n")
        return {"changed": True, "acted": stages, "changed_paths": []}
"""
LOCK = """
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"changed": False}
"""
INVENTORY = """
[all]
c1
c2
c3
idle
[nova_controllers]
c1
c2
c3
"""
PLAY = """
- hosts: all
  gather_facts: false
  vars:
    deploy_plan: {}
    host_state: {pending: "{{ inventory_hostname != 'idle' }}", repairs: [], facts: {}}
  roles: [deploy]
"""
HOSTS = ["c1", "c2", "c3", "idle"]


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> list:
    """Return (stages, host, begin, end) of each call."""
    directory = tmp_path_factory.mktemp("rolling")
    (directory / "actions").mkdir()
    (directory / "actions/host_state.py").write_text(ACTION, encoding="utf-8")
    (directory / "actions/run_lock.py").write_text(LOCK, encoding="utf-8")
    (directory / "hosts").write_text(INVENTORY, encoding="utf-8")
    (directory / "play.yml").write_text(PLAY, encoding="utf-8")
    (directory / "calls").mkdir()
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts", "-c", "local", "play.yml"],
        cwd=directory,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(project.ROOT / "ansible.cfg"),
            "ANSIBLE_ACTION_PLUGINS": f"{directory}/actions",
            "ANSIBLE_ROLES_PATH": str(project.ROOT / "roles"),
            "CALLS": f"{directory}/calls",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in (directory / "calls/log").read_text(encoding="utf-8").splitlines()]


def spans(calls: list, stage: str) -> list:
    """Return (begin, end, host) of the calls for a stage, in the order of time."""
    return sorted((begin, end, host) for stages, host, begin, end in calls if stage in stages)


def overlap(rows: list) -> bool:
    """Return whether any two calls ran at the same time."""
    return any(first[1] > second[0] for first, second in zip(rows, rows[1:]))


@pytest.mark.parametrize("stage", ["api_units", "identity_units"])
def test_controllers_restart_their_services_one_after_the_other(calls, stage):
    assert [row[2] for row in spans(calls, stage)] == ["c1", "c2", "c3"]
    assert not overlap(spans(calls, stage))


@pytest.mark.parametrize(
    ("units", "answers"), [("api_units", "api_endpoints"), ("identity_units", "identity_endpoints")]
)
def test_a_controller_is_ready_before_the_next_one_restarts(calls, units, answers):
    assert all(answers in stages for stages, *_ in calls if units in stages)


@pytest.mark.parametrize("stage", ["packages", "files", "agent_units"])
def test_stages_without_an_interruption_run_on_all_hosts_in_parallel(calls, stage):
    assert len(spans(calls, stage)) == 3
    assert overlap(spans(calls, stage))


def test_no_stage_starts_before_every_host_has_finished_the_previous_one(calls):
    order = ["packages", "files", "schema", "identity_units", "identity", "api_units", "agent_units"]
    for earlier, later in zip(order, order[1:]):
        assert max(row[1] for row in spans(calls, earlier)) <= spans(calls, later)[0][0], (earlier, later)


def test_a_host_with_nothing_pending_takes_no_part(calls):
    assert {host for _, host, *_ in calls} == {"c1", "c2", "c3"}
