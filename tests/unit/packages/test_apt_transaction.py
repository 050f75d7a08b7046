# SPDX-License-Identifier: Apache-2.0
"""apt_transaction: reading dpkg and apt, and the guard that holds services; installations run in the lab."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible.module_utils.packages import apt_output, policy_rcd

STATUS = """\
ii \tlibvirt-daemon-system\t9.0.0-4\t
ii \tqemu-system-x86\t1:7.2\tqemu-kvm, qemu-system-i386 (= 1:7.2), qemu-system-x86-64
rc \tnova-cert\t13\tcert-thing
hi \tkeystone\t2:22.0.2\t
iU \tnova-common\t2:26.2.2\tnova-base
iF \tnova-api\t2:26.2.2\t
it \tman-db\t2.11\t
iHR\tglance-api\t2:25\t
un \tnothing\t\t
"""


def test_states_of_packages_are_told_apart():
    status = apt_output.parse_status(STATUS)
    assert status["installed"] == {
        "libvirt-daemon-system": "9.0.0-4",
        "qemu-system-x86": "1:7.2",
        "keystone": "2:22.0.2",
        "man-db": "2.11",
    }
    assert status["provided"] == {"qemu-kvm", "qemu-system-i386", "qemu-system-x86-64"}
    assert status["broken"] == ["nova-common", "nova-api", "man-db", "glance-api"]


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["keystone", "qemu-kvm", "qemu-system-x86"], []),
        (["keystone=2:22.0.2"], []),
        (["keystone=2:27.0.0", "qemu-kvm=1"], ["keystone=2:27.0.0", "qemu-kvm=1"]),
        (["nova-cert", "nova-common", "nothing", "nosuch"], ["nova-cert", "nova-common", "nothing", "nosuch"]),
    ],
)
def test_missing_is_what_is_neither_installed_nor_provided(wanted, missing):
    assert apt_output.missing(wanted, apt_output.parse_status(STATUS)) == missing


def test_the_dpkg_of_this_computer_is_read_as_well():
    text = subprocess.run(
        ["dpkg-query", "-W", "-f", apt_output.DPKG_FORMAT], capture_output=True, text=True, check=True
    ).stdout
    status = apt_output.parse_status(text)
    assert apt_output.missing(["dpkg", "apt", "awk"], status) == []
    assert apt_output.missing(["no-such-package-here"], status) == ["no-such-package-here"]
    assert len(status["installed"]) == len(text.splitlines()) - text.count("\nrc ") - text.startswith("rc ")


SIMULATION = """\
NOTE: This is only a simulation!
Remv nova-compute-qemu [2:31.0.0-6]
Inst python3-nova [2:31.0.0-5] (2:31.0.0-6 Debian:13/stable [all]) []
Inst libgcc-s1:i386 (14.2 Debian:13/stable [i386])
Inst sl (5.02-1+b1 Debian:13/stable [amd64])
Conf sl (5.02-1+b1 Debian:13/stable [amd64])
"""


def test_a_simulation_tells_new_upgraded_and_removed():
    changes, removals = apt_output.parse_simulation(SIMULATION)
    assert changes == {
        "python3-nova": ("2:31.0.0-5", "2:31.0.0-6"),
        "libgcc-s1": ("", "14.2"),
        "sl": ("", "5.02-1+b1"),
    }
    assert removals == {"nova-compute-qemu": "2:31.0.0-6"}


def test_the_difference_of_two_states_reads_like_a_simulation():
    before = {"installed": {"a": "1", "b": "1", "c": "1"}}
    after = {"installed": {"a": "1", "b": "2", "d": "1"}}
    assert apt_output.difference(before, after) == ({"b": ("1", "2"), "d": ("", "1")}, {"c": "1"})


SOURCES = {
    "/etc/apt/sources.list": "# deb http://mirror.test/debian old main\ndeb http://mirror.test/debian bookworm main\n",
    "/etc/apt/sources.list.d/sec.sources": "# c\nTypes: deb\nURIs: http://mirror.test/debian-security/\nSuites: x\n"
    "Signed-By: /k\n\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: sid\n",
}


@pytest.mark.parametrize(
    ("said", "address", "where"),
    [
        (
            "W: Failed to fetch http://mirror.test/debian/dists/bookworm/InRelease  Could not resolve 'mirror.test'",
            "http://mirror.test/debian/dists/bookworm/InRelease",
            "/etc/apt/sources.list: deb http://mirror.test/debian bookworm main",
        ),
        (
            "E: The repository 'http://mirror.test/debian-security x Release' does not have a Release file.",
            "http://mirror.test/debian-security",
            "/etc/apt/sources.list.d/sec.sources: Types: deb; URIs: http://mirror.test/debian-security/; Suites: x",
        ),
        (
            "E: Release file for http://mirror.test/debian/dists/sid/InRelease is expired (invalid since 16d 5h).",
            "http://mirror.test/debian/dists/sid/InRelease",
            "/etc/apt/sources.list.d/sec.sources: Types: deb; URIs: http://mirror.test/debian; Suites: sid",
        ),
    ],
)
def test_a_failed_fetch_leads_to_the_line_of_its_source(said, address, where):
    found = apt_output.failed_fetches(f"Hit:1 http://other.test/ x InRelease\n{said}\nW: Some index files failed.\n")
    assert [item[0] for item in found] == [address]
    assert apt_output.source_of(*found[0], SOURCES) == where


def test_a_plan_that_apt_cannot_make_is_told_with_its_reasons():
    output = """\
Reading package lists...
The following packages have unmet dependencies:
 nova-compute-lxc : Conflicts: nova-compute-hypervisor
E: Unable to correct problems, you have held broken packages.
"""
    assert apt_output.telling_lines(output) == output.splitlines()[1:]


def test_warnings_of_apt_are_no_failed_fetches():
    assert apt_output.failed_fetches("W: http://x/InRelease: Key is stored in legacy trusted.gpg keyring\n") == []


def test_a_failed_installation_is_told_in_a_few_lines_with_what_to_do():
    output = "".join(f"Unpacking p{number} ...\n" for number in range(500))
    output += "dpkg: error processing archive /x.deb (--unpack):\n cannot copy: No space left on device\n"
    output += (
        "Errors were encountered while processing:\n /x.deb\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n"
    )
    lines = apt_output.telling_lines(output)
    assert lines[0].startswith("dpkg: error") and lines[-1].startswith("E: Sub-process") and len(lines) <= 5
    assert "free some space" in apt_output.hint(output)
    assert apt_output.telling_lines("a\n\nb\n") == ["a", "b"]


@pytest.fixture
def guard(tmp_path):
    """Return the pair of paths that the guard uses, in a folder of its own."""
    return {"policy": str(tmp_path / "policy-rc.d"), "kept": str(tmp_path / "kept")}


def answer(guard):
    return subprocess.run([guard["policy"], "nova-api", "start"], check=False).returncode


def test_services_are_held_inside_the_block_and_only_there(guard):
    with policy_rcd.held(**guard):
        assert answer(guard) == 101
    assert not os.listdir(os.path.dirname(guard["policy"]))


def test_an_operators_own_policy_comes_back_also_after_a_failure(guard):
    with open(guard["policy"], "w") as file:
        file.write("#!/bin/sh\nexit 7\n")
    os.chmod(guard["policy"], 0o755)
    with pytest.raises(RuntimeError), policy_rcd.held(**guard):
        assert answer(guard) == 101
        raise RuntimeError
    assert answer(guard) == 7
    assert not os.path.exists(guard["kept"])


@pytest.mark.parametrize("own", [True, False])
def test_what_a_killed_run_left_is_found_and_put_right(guard, own):
    with open(guard["policy"], "w") as file:
        file.write(policy_rcd.TEXT)
    if own:
        with open(guard["kept"], "w") as file:
            file.write("#!/bin/sh\nexit 7\n")
    assert policy_rcd.is_stale(**guard)
    with policy_rcd.held(**guard):
        pass
    assert not policy_rcd.is_stale(**guard)
    assert os.path.exists(guard["policy"]) is own
    if own:
        with open(guard["policy"]) as file:
            assert "exit 7" in file.read()


def test_nothing_is_touched_when_services_shall_not_be_held(guard):
    with policy_rcd.held(wanted=False, **guard):
        assert not os.path.exists(guard["policy"])


def test_nothing_missing_is_settled_by_dpkg_alone(run_module, monkeypatch):
    def no_apt(_self, *arguments):
        raise AssertionError(f"apt-get was asked: {arguments}")

    monkeypatch.setattr("ansible.module_utils.stages.apt_transaction.Apt.get", no_apt)
    monkeypatch.setattr("ansible.module_utils.stages.apt_transaction.RUN_LOCK", os.devnull)
    monkeypatch.setattr(policy_rcd, "is_stale", lambda: False)
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)
    result = run_module("apt_transaction", {"packages": ["dpkg", "apt"]})
    assert result["changed"] is False and result["installed"] == []
