# SPDX-License-Identifier: Apache-2.0
"""Only Nova is deployed: nothing of the platform is installed or runs on its hosts."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://nova_controllers", "ansible://nova_computes"]
PLATFORM = [
    "mariadb-server",
    "rabbitmq-server",
    "memcached",
    "keystone",
    "placement-api",
    "glance-api",
    "neutron-server",
    "neutron-api",
    "neutron-dhcp-agent",
    "neutron-metadata-agent",
]


@pytest.mark.parametrize("name", PLATFORM)
def test_no_package_of_the_platform_is_installed(host, name):
    assert not host.package(name).is_installed


def test_only_nova_listens_on_the_controller(host):
    if "nova_controllers" not in host.ansible.get_variables()["group_names"]:
        pytest.skip("a compute listens for consoles only")
    own = host.ansible.get_variables()["management_address"]
    ends = [line.split()[3] for line in host.check_output("ss -Hltn").splitlines()]
    assert sorted(end for end in ends if end.startswith(own + ":")) == [f"{own}:{port}" for port in (6080, 8774, 8775)]


def test_nova_uses_its_account_on_the_platform(host, secrets):
    conf = host.file("/etc/nova/nova.conf").content_string
    assert f"transport_url = rabbit://guest-of-the-platform:{secrets['platform_messaging_password']}@10.77.0.51" in conf
    assert secrets["platform_database_admin_password"] not in conf, "that account is the operator's, not Nova's"
