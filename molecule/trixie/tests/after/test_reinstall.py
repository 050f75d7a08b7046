# SPDX-License-Identifier: Apache-2.0
"""Debian's nova-common gives its files to the user nova each time it is configured; the product reverts that."""

from __future__ import annotations

testinfra_hosts = ["ansible://nova_controllers", "ansible://nova_computes"]
REINSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install --reinstall --yes nova-common"


def owners(host) -> str:
    return host.check_output("stat --format='%n %U:%G %a' /etc/nova /etc/nova/nova.conf /etc/nova/api-paste.ini")


def test_a_reinstalled_package_leaves_owners_and_modes_as_they_were(host):
    before = owners(host)
    assert "/etc/nova root:nova 750" in before
    done = host.run(REINSTALL)
    assert done.rc == 0, done.stdout + done.stderr
    assert owners(host) == before
