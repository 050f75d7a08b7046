# SPDX-License-Identifier: Apache-2.0
"""After the killed runs: nothing of them is left."""

from __future__ import annotations

testinfra_hosts = ["ansible://all"]


def test_no_package_is_left_half_way(host):
    assert host.check_output("dpkg --audit") == ""
    assert host.run("apt-get check").rc == 0


def test_packages_may_start_services_again(host):
    assert not host.file("/usr/sbin/policy-rc.d").exists


def test_no_temporary_file_is_left_beside_the_configuration(host):
    folders = "/etc/nova /etc/neutron /etc/systemd /etc/mysql /etc/rabbitmq /etc/keystone /etc/glance"
    assert host.run(f"find {folders} -name '.*' -type f -o -name '*.new' -o -name '*.tmp'").stdout == ""


def test_no_module_still_runs(host):
    assert host.run("pgrep --full 'AnsiballZ|ansible-tmp'").stdout == ""
