# SPDX-License-Identifier: Apache-2.0
"""Owners and modes as OpenStack's compute security checklist requires (Check-Compute-01 and -02)."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://nova_controllers", "ansible://nova_computes"]


def test_root_owns_the_directory_of_novas_configuration(host):
    directory = host.file("/etc/nova")
    assert (directory.user, directory.group, oct(directory.mode)) == ("root", "nova", "0o750")


@pytest.mark.parametrize("name", ["nova.conf", "api-paste.ini", "rootwrap.conf", "policy.yaml", "policy.json"])
def test_root_owns_novas_configuration_and_others_cannot_read_it(host, name):
    file = host.file(f"/etc/nova/{name}")
    if name == "nova.conf" or file.exists:
        assert (file.user, file.group, oct(file.mode)) == ("root", "nova", "0o640")


def test_other_users_cannot_read_novas_configuration(host):
    assert host.run("runuser -u nobody -- cat /etc/nova/nova.conf").rc != 0
    assert host.run("runuser -u nova -- cat /etc/nova/nova.conf").rc == 0
