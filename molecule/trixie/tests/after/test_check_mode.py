# SPDX-License-Identifier: Apache-2.0
"""Check mode on a deployed cloud predicts nothing, or exactly the changed option."""

from __future__ import annotations

import json
import re

testinfra_hosts = ["ansible://nova_controllers"]
OPTION = {"config_overrides": {"/etc/nova/nova.conf": {"DEFAULT": {"reclaim_instance_interval": 77}}}}
STATE = "sha256sum /etc/nova/nova.conf; systemctl show nova-scheduler nova-conductor -p ExecMainStartTimestampMonotonic"


def test_check_mode_predicts_nothing_on_a_deployed_cloud(playbook):
    plan = playbook("site.yml", "--check")
    assert plan.rc == 0, plan.output[-3000:]
    assert sorted(plan.changed) == []
    assert {host: row["changed"] for host, row in plan.recap.items() if row["changed"]} == {}


def test_a_changed_option_is_shown_without_a_secret_and_not_written(host, playbook, secrets_in):
    before = host.check_output(STATE)
    plan = playbook("deploy.yml", "--check", "--diff", "--extra-vars", json.dumps(OPTION))
    assert plan.rc == 0, plan.output[-3000:]
    lines = {line for line in plan.output.splitlines() if re.match(r"[+-](?![+-]{2})", line)}
    restarts = {line for line in lines if re.match(r"[+-]nova-[a-z-]+\.service: ", line)}
    assert lines - restarts == {"+[DEFAULT]", "+reclaim_instance_interval = 77"}
    assert "-nova-api.service: active (running)" in restarts
    assert "+nova-api.service: restart (newer: /etc/nova/nova.conf)" in restarts
    hosts = {"controller1": "api_units", "compute1": "agent_units"}
    expected = {(host, stage) for host, units in hosts.items() for stage in ("files", units)}
    assert plan.stages == expected, "the file, and the restarts of the units that read it"
    assert {what for _, kind, what in plan.changes if kind == "file"} == {"/etc/nova/nova.conf"}
    assert secrets_in(plan.output) == []
    assert host.check_output(STATE) == before
