# SPDX-License-Identifier: Apache-2.0
"""One machine is the whole cloud."""

from __future__ import annotations

testinfra_hosts = ["ansible://all"]


def test_there_is_one_machine(host):
    groups = host.ansible.get_variables()["groups"]
    # testinfra lists a host once for each group it is in.
    assert set(groups["all"]) == {"allinone1"}
    assert groups["nova_controllers"] == groups["nova_computes"] == groups["neutron"] == ["allinone1"]


def test_one_configuration_serves_controller_and_compute(host):
    shown = host.check_output("systemctl is-active nova-api nova-conductor nova-scheduler nova-novncproxy nova-compute")
    assert shown.split() == ["active"] * 5
