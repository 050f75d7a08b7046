# SPDX-License-Identifier: Apache-2.0
"""A changed secret is shown as a changed line, without its old and new value."""

from __future__ import annotations

import json

NEW = "Zq7" * 11


def test_a_changed_password_shows_as_changed_and_hides_both_values(playbook, secrets_in):
    plan = playbook("deploy.yml", "--check", "--diff", "--extra-vars", json.dumps({"nova_service_password": NEW}))
    assert plan.rc == 0, plan.output[-3000:]
    assert {("controller1", "files"), ("compute1", "files")} <= plan.stages
    assert any(line.startswith("+password = ") for line in plan.output.splitlines()), plan.output[-3000:]
    assert NEW not in plan.output
    assert secrets_in(plan.output) == []
