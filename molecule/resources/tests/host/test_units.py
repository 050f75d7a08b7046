# SPDX-License-Identifier: Apache-2.0
"""Units run, have read the current files, and get the time that they need to stop."""

from __future__ import annotations

import re

import pytest

testinfra_hosts = ["ansible://nova_controllers", "ansible://nova_computes"]
GRACE = 60  # s; oslo.service's graceful_shutdown_timeout, which nobody changes here
UNITS = {"s": 1, "min": 60, "h": 3600}


@pytest.fixture
def units(host) -> list:
    shown = host.check_output("systemctl list-units --no-legend --plain --state=running 'nova-*.service'")
    names = [line.split()[0] for line in shown.splitlines()]
    assert names, "Nova runs here"
    return names


def properties(host, unit: str) -> dict:
    wanted = "TimeoutStopUSec,NeedDaemonReload,ExecMainStartTimestamp,NRestarts"
    return dict(line.split("=", 1) for line in host.check_output(f"systemctl show {unit} -p {wanted}").splitlines())


def seconds(text: str) -> float:
    """Return the seconds of a text in systemd's notation, such as 1min 30s."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(min|h|s)\b", text))


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl list-units --failed --no-legend --plain") == ""


def test_systemd_waits_longer_than_nova_needs_to_stop(host, units):
    limits = {unit: seconds(properties(host, unit)["TimeoutStopUSec"]) for unit in units}
    assert {unit: limit for unit, limit in limits.items() if limit <= GRACE} == {}


def test_nova_has_read_its_current_configuration(host, units):
    written = int(host.check_output("stat --format=%Y /etc/nova/nova.conf"))
    for unit in units:
        found = properties(host, unit)
        assert found["NeedDaemonReload"] == "no", unit
        begun = int(host.check_output("date +%%s --date=%s", found["ExecMainStartTimestamp"]))
        assert begun >= written, f"{unit} began before nova.conf was written"
