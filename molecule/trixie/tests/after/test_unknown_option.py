# SPDX-License-Identifier: Apache-2.0
"""An option that the release does not have is reported, and no file is replaced."""

from __future__ import annotations

import json

import pytest

testinfra_hosts = ["ansible://nova_controllers"]
OPTIONS = {"scheduler": {"max_atempts": 5}, "DEFAULT": {"cpu_allocation_ratio": 3.0}}
UNKNOWN = {"config_overrides": {"/etc/nova/nova.conf": OPTIONS}}
STATE = "sha256sum /etc/nova/* 2>/dev/null; systemctl show nova-scheduler nova-api -p ExecMainStartTimestampMonotonic"


@pytest.mark.parametrize("mode", [["--check"], []], ids=["check mode", "a run"])
def test_an_unknown_option_is_named_and_nothing_is_replaced(host, playbook, mode):
    before = host.check_output(STATE)
    done = playbook("deploy.yml", "--extra-vars", json.dumps(UNKNOWN), *mode)
    said = " ".join(done.output.split())
    assert done.rc != 0
    assert "/etc/nova/nova.conf" in said
    assert "max_atempts" in said and "scheduler" in said
    assert "max_attempts" in said, "the option that was probably intended"
    assert host.check_output(STATE) == before
