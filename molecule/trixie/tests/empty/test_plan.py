# SPDX-License-Identifier: Apache-2.0
"""The prediction of check mode on empty machines; the next tests compare it with the run."""

from __future__ import annotations

import json
import os
from pathlib import Path

testinfra_hosts = ["ansible://all"]


def test_check_mode_plans_a_whole_deployment_of_empty_machines(playbook, secrets_in):
    plan = playbook("site.yml", "--check", "--diff")
    assert plan.rc == 0, plan.output[-3000:]
    assert secrets_in(plan.output) == []
    assert "+my_ip = " in plan.output, "the plan shows the options of new files"
    planned = sorted(plan.changes)
    assert planned
    Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "planned.json").write_text(json.dumps(planned), encoding="utf-8")


def test_check_mode_installed_and_wrote_nothing(host):
    assert not host.file("/etc/nova").exists
    assert not host.package("nova-common").is_installed
    assert not host.package("openvswitch-switch").is_installed
    assert not host.file("/etc/systemd/system/nova-.service.d").exists
    assert not host.file("/usr/sbin/policy-rc.d").exists
