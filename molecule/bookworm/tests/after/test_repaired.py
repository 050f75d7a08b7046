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
    """A file is written as .NAME.XXXXXXXX, and renamed."""
    found = host.run("find /etc -xdev -type f -regextype posix-extended -regex '.*/[.][^/]+[.][a-z0-9_]{8}'")
    assert (found.rc, found.stdout) == (0, "")


def test_no_module_still_runs(host):
    assert host.run("pgrep --full 'AnsiballZ|ansible-tmp'").stdout == ""


def test_no_python_code_is_left_uncompiled(host):
    public = "dpkg-query --listfiles %s | grep '^/usr/lib/python3/dist-packages/.*[.]py$'"
    asking = "grep --files-with-matches 'py3compile -p' /var/lib/dpkg/info/*.postinst | sed 's|.*/||; s|[.]postinst$||'"
    files = host.check_output(public % f"$({asking})").split()
    assert len(files) > 5000
    compiled = host.check_output("find /usr/lib/python3 -name '*.pyc' | sed 's|/__pycache__||; s|[.][^.]*[.]pyc$|.py|'")
    assert sorted(set(files) - set(compiled.split())) == []
