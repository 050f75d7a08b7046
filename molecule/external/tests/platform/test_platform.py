# SPDX-License-Identifier: Apache-2.0
"""Deploy the platform on its own machine; for the rest of the scenario, it is external."""

from __future__ import annotations

from pathlib import Path

testinfra_hosts = ["ansible://all"]
LAB = [str(Path(__file__).resolve().parents[4] / "inventory/lab")]


def test_the_platform_is_deployed_alone(playbook, secrets_in):
    done = playbook("deploy.yml", "--limit", "platform1", inventory=LAB)
    assert done.rc == 0, done.output[-3000:]
    assert set(done.recap) == {"platform1"}
    assert secrets_in(done.output) == []


def test_its_owner_creates_accounts(playbook, secrets_in):
    done = playbook("../molecule/external/platform.yml", inventory=LAB)
    assert done.rc == 0, done.output[-3000:]
    assert secrets_in(done.output) == []


def test_the_inventory_does_not_have_the_machine_of_the_platform(host):
    groups = host.ansible.get_variables()["groups"]
    assert set(groups["all"]) == {"cloud-a", "hv1.example"}
    assert [name for name in ("mariadb", "rabbitmq", "keystone", "neutron") if groups.get(name)] == []


def test_nothing_is_installed_on_the_other_machines_yet(host):
    assert host.run("dpkg-query --show nova-common openvswitch-switch").rc != 0
