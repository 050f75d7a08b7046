# SPDX-License-Identifier: Apache-2.0
"""Owners and modes as OpenStack's compute security checklist asks (Check-Compute-01 and -02)."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://nova_controllers", "ansible://nova_computes"]


def test_the_folder_of_novas_configuration_is_roots(host):
    folder = host.file("/etc/nova")
    assert (folder.user, folder.group, oct(folder.mode)) == ("root", "nova", "0o750")


@pytest.mark.parametrize("name", ["nova.conf", "api-paste.ini", "rootwrap.conf", "policy.yaml", "policy.json"])
def test_novas_configuration_is_roots_and_not_the_worlds(host, name):
    file = host.file(f"/etc/nova/{name}")
    if name == "nova.conf" or file.exists:
        assert (file.user, file.group, oct(file.mode)) == ("root", "nova", "0o640")


def test_nobody_else_can_read_novas_configuration(host):
    assert host.run("runuser -u nobody -- cat /etc/nova/nova.conf").rc != 0
    assert host.run("runuser -u nova -- cat /etc/nova/nova.conf").rc == 0
