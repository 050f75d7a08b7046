# SPDX-License-Identifier: Apache-2.0
"""apt_transaction: output of dpkg and apt, held services, transactions with an apt of fakes; the lab installs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

import pytest
from ansible.module_utils.host.commands import Done
from ansible.module_utils.host.lock import locked
from ansible.module_utils.packages import apt, apt_output, policy_rcd
from ansible.module_utils.packages.apt_output import Change, Status

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


def test_states_of_packages_are_distinguished():
    status = apt_output.parse_status(STATUS)
    assert status.installed == {
        "libvirt-daemon-system": "9.0.0-4",
        "qemu-system-x86": "1:7.2",
        "keystone": "2:22.0.2",
        "man-db": "2.11",
    }
    assert status.provided == {"qemu-kvm", "qemu-system-i386", "qemu-system-x86-64"}
    assert status.broken == ["nova-common", "nova-api", "man-db", "glance-api"]


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["keystone", "qemu-kvm", "qemu-system-x86"], []),
        (["keystone=2:22.0.2"], []),
        (["keystone=2:27.0.0", "qemu-kvm=1"], ["keystone=2:27.0.0", "qemu-kvm=1"]),
        (["nova-cert", "nova-common", "nothing", "nosuch"], ["nova-cert", "nova-common", "nothing", "nosuch"]),
    ],
)
def test_a_package_is_missing_unless_it_is_installed_or_provided(wanted, missing):
    assert apt_output.missing(wanted, apt_output.parse_status(STATUS)) == missing


def test_the_output_of_a_real_dpkg_is_read():
    text = subprocess.run(
        ["dpkg-query", "-W", "-f", apt_output.DPKG_FORMAT], capture_output=True, text=True, check=True
    ).stdout
    status = apt_output.parse_status(text)
    assert apt_output.missing(["dpkg", "apt", "awk"], status) == []
    assert apt_output.missing(["no-such-package-here"], status) == ["no-such-package-here"]
    assert len(status.installed) == len(text.splitlines()) - text.count("\nrc ") - text.startswith("rc ")


SIMULATION = """\
NOTE: This is only a simulation!
Remv nova-compute-qemu [2:31.0.0-6]
Inst python3-nova [2:31.0.0-5] (2:31.0.0-6 Debian:13/stable [all]) []
Inst libgcc-s1:i386 (14.2 Debian:13/stable [i386])
Inst sl (5.02-1+b1 Debian:13/stable [amd64])
Conf sl (5.02-1+b1 Debian:13/stable [amd64])
"""


def test_a_simulation_has_new_upgraded_and_removed_packages():
    change = apt_output.parse_simulation(SIMULATION)
    assert change.versions == {
        "python3-nova": ("2:31.0.0-5", "2:31.0.0-6"),
        "libgcc-s1": ("", "14.2"),
        "sl": ("", "5.02-1+b1"),
    }
    assert change.removals == {"nova-compute-qemu": "2:31.0.0-6"}


def test_the_difference_of_two_states_reads_like_a_simulation():
    before = Status({"a": "1", "b": "1", "c": "1"}, set(), [])
    after = Status({"a": "1", "b": "2", "d": "1"}, set(), [])
    assert apt_output.difference(before, after) == Change({"b": ("1", "2"), "d": ("", "1")}, {"c": "1"})


SOURCES = {
    "/etc/apt/sources.list": "# deb http://mirror.test/debian old main\ndeb http://mirror.test/debian bookworm main\n",
    "/etc/apt/sources.list.d/sec.sources": "# c\nTypes: deb\nURIs: http://mirror.test/debian-security/\nSuites: x\n"
    "Signed-By: /k\n\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: sid\n",
}


@pytest.mark.parametrize(
    ("line", "address", "where"),
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
def test_a_failed_fetch_leads_to_the_line_of_its_source(line, address, where):
    found = apt_output.failed_fetches(f"Hit:1 http://other.test/ x InRelease\n{line}\nW: Some index files failed.\n")
    assert [item[0] for item in found] == [address]
    assert apt_output.source_of(*found[0], SOURCES) == where


def test_a_plan_that_apt_cannot_make_is_reported_with_its_reasons():
    output = """\
Reading package lists...
The following packages have unmet dependencies:
 nova-compute-lxc : Conflicts: nova-compute-hypervisor
E: Unable to correct problems, you have held broken packages.
"""
    assert apt_output.error_lines(output) == output.splitlines()[1:]


def test_warnings_of_apt_are_no_failed_fetches():
    assert apt_output.failed_fetches("W: http://x/InRelease: Key is stored in legacy trusted.gpg keyring\n") == []


def test_a_failed_installation_is_reported_in_a_few_lines_with_what_to_do():
    output = "".join(f"Unpacking p{number} ...\n" for number in range(500))
    output += "dpkg: error processing archive /x.deb (--unpack):\n cannot copy: No space left on device\n"
    output += (
        "Errors were encountered while processing:\n /x.deb\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n"
    )
    lines = apt_output.error_lines(output)
    assert lines[0].startswith("dpkg: error") and lines[-1].startswith("E: Sub-process") and len(lines) <= 5
    assert "free some space" in apt_output.advice(output)
    assert apt_output.error_lines("a\n\nb\n") == ["a", "b"]


@pytest.fixture
def guard(tmp_path):
    """Return the pair of paths that the guard uses, in an empty directory."""
    return {"policy": str(tmp_path / "policy-rc.d"), "kept": str(tmp_path / "kept")}


def answer_of(guard):
    return subprocess.run([guard["policy"], "nova-api", "start"], check=False).returncode


def test_services_are_held_inside_the_block_and_only_there(guard):
    with policy_rcd.held(**guard):
        assert answer_of(guard) == 101
    assert not os.listdir(os.path.dirname(guard["policy"]))


def test_the_operators_own_policy_is_restored_after_a_failure(guard):
    with open(guard["policy"], "w") as file:
        file.write("#!/bin/sh\nexit 7\n")
    os.chmod(guard["policy"], 0o755)
    with pytest.raises(RuntimeError), policy_rcd.held(**guard):
        assert answer_of(guard) == 101
        raise RuntimeError
    assert answer_of(guard) == 7
    assert not os.path.exists(guard["kept"])


@pytest.mark.parametrize("own", [True, False])
def test_leftovers_of_a_killed_run_are_found_and_repaired(guard, own):
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


def test_nothing_is_changed_when_services_are_not_held(guard):
    with policy_rcd.held(wanted=False, **guard):
        assert not os.path.exists(guard["policy"])


def test_apt_is_not_called_when_nothing_is_missing(run_module, monkeypatch):
    def no_apt(_self, *arguments):
        raise AssertionError(f"apt-get was called: {arguments}")

    monkeypatch.setattr("ansible.module_utils.stages.apt_transaction.Apt.get", no_apt)
    monkeypatch.setattr("ansible.module_utils.stages.apt_transaction.RUN_LOCK", os.devnull)
    monkeypatch.setattr(policy_rcd, "is_stale", lambda: False)
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)
    result = run_module("apt_transaction", {"packages": ["dpkg", "apt"]})
    assert result["changed"] is False and result["installed"] == []


@pytest.fixture
def transaction(run_module, monkeypatch, tmp_path):
    """Return a function that runs the module with fakes of apt-get and dpkg, and gives (result, calls of apt-get).

    answers: code and output of apt-get by the first of its arguments. installed: the packages before and after.
    """

    def run(args, answers, installed=({}, {}), broken=(), check=False):
        states, calls = [Status(dict(names), set(), list(broken)) for names in installed], []

        def fake(_self, command, text_in=None):
            if command[0] != "apt-get":
                return Done(0, "")
            arguments = [word for word in command[1:] if not word.startswith(("--option", "--yes", "--quiet"))]
            calls.append(arguments)
            return Done(*answers.get(arguments[0], (0, "")))

        monkeypatch.setattr(apt.Apt, "run", fake)
        monkeypatch.setattr(apt.Apt, "status", lambda _self: states.pop(0) if len(states) > 1 else states[0])
        for name in ("release", "is_stale"):
            monkeypatch.setattr(policy_rcd, name, lambda *_paths: False)
        monkeypatch.setattr(policy_rcd, "POLICY", str(tmp_path / "policy-rc.d"))
        monkeypatch.setattr("ansible.module_utils.stages.apt_transaction.RUN_LOCK", str(tmp_path / "lock"))
        monkeypatch.setattr("ansible.module_utils.stages.apt_transaction.lists_age", lambda: 0)
        monkeypatch.setattr(apt.Apt, "undisturbed", lambda _self: contextlib.nullcontext())
        monkeypatch.setattr("signal.signal", lambda *_arguments: None)
        return run_module("apt_transaction", args, check=check), calls

    return run


def test_missing_packages_are_installed_and_reported(transaction):
    result, calls = transaction({"packages": ["new", "old"]}, {}, ({"old": "1"}, {"old": "1", "new": "2"}))
    assert calls == [["--no-remove", "install", "new"]]
    assert result["changed"] and result["installed"] == ["new"] and result["upgraded"] == [] == result["repaired"]
    assert result["changed_paths"] == ["/var/lib/dpkg/info/new.list"]
    assert result["diff"] == {"before": "", "after": "new 2\n"}


def test_half_installed_packages_are_repaired_first_and_named(transaction):
    result, calls = transaction({"packages": ["old"]}, {}, ({"old": "1"}, {"old": "1"}), broken=["half"])
    assert calls == [["install", "--fix-broken"]]
    assert result["changed"] and result["repaired"] == ["half"]


def test_removals_that_are_not_listed_are_refused(transaction):
    simulation = "Remv listed [1]\nRemv unlisted [1]\n"
    installed = {"listed": "1", "unlisted": "1"}
    args = {"packages": ["new"], "remove": ["listed"]}
    result, calls = transaction(args, {"--simulate": (0, simulation)}, (installed, installed))
    assert result["msg"].startswith("apt would remove unlisted; nothing was changed")
    assert calls == [["--simulate", "install", "new", "listed-"]]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ({}, "apt cannot carry out this transaction, nothing was changed; free"),
        ({"dep": "1"}, "The packages were not all installed;"),
    ],
)
def test_a_failed_transaction_says_whether_something_changed(transaction, after, message):
    failed = (100, "dpkg: error processing x:\n No space left on device\n")
    result, _calls = transaction({"packages": ["new"]}, {"--no-remove": failed}, ({}, after))
    assert result["failed"] and result["msg"].startswith(message)
    assert "\n    dpkg: error processing x:\n" in result["msg"]
    assert result["repaired"] == [] and result["changed_paths"] == []


def test_a_package_that_is_missing_afterwards_is_a_failure(transaction):
    result, _calls = transaction({"packages": ["new"]}, {}, ({}, {"other": "1"}))
    assert result["msg"] == "apt succeeded, but new is not installed; read /var/log/apt/history.log"


def test_check_mode_predicts_without_lists_and_warns(transaction, monkeypatch):
    warnings = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text: warnings.append(text))
    answers = {"--simulate": (100, "E: Unable to locate package new\n")}
    result, _calls = transaction({"packages": ["new=2"]}, answers, check=True)
    assert result["changed"] and result["installed"] == ["new"]
    assert warnings == ["apt cannot plan this transaction yet: E: Unable to locate package new"]


def test_a_plan_that_fails_in_a_run_changes_nothing(transaction):
    answers = {"--simulate": (100, "E: Unable to locate package new\n")}
    result, _calls = transaction({"packages": ["new"], "upgrade": "full"}, answers)
    assert result["msg"].startswith("apt cannot plan this transaction, nothing was changed; correct the name")


def test_lists_that_cannot_be_fetched_are_named_with_their_source(transaction, monkeypatch):
    monkeypatch.setattr(apt, "read_sources", lambda: SOURCES)
    address = "http://mirror.test/debian/dists/bookworm/InRelease"
    answers = {"update": (100, f"W: Failed to fetch {address}  Could not resolve 'mirror.test'\n")}
    result, calls = transaction({"packages": ["new"], "cache_valid_time": -1}, answers)
    assert result["msg"].splitlines()[1] == (
        f"  - {address}: Could not resolve 'mirror.test' (from /etc/apt/sources.list: "
        "deb http://mirror.test/debian bookworm main)"
    )
    assert calls == [["update"]]


def test_a_second_run_waits_and_then_names_the_lock(transaction, tmp_path):
    with locked(str(tmp_path / "lock")):
        result, calls = transaction({"packages": ["new"], "lock_timeout": 0}, {})
    assert f"another run has held {tmp_path}/lock" in result["msg"] and calls == []


def test_a_command_that_waits_for_a_lock_is_run_again(monkeypatch):
    answers = [Done(2, "dpkg: error: dpkg frontend lock is locked by another process\n"), Done(0, ""), Done(0, "")]
    calls = []

    def fake(_self, command, _text_in=None):
        calls.append(command[0])
        return answers.pop(0)

    monkeypatch.setattr(apt, "LOCK_INTERVAL", 0)
    monkeypatch.setattr(apt.Apt, "run", fake)
    apt.Apt(5, False).repair()
    assert calls == ["dpkg", "dpkg", "apt-get"]


def test_a_signal_lets_dpkg_finish_its_package(tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    mark = tmp_path / "finished"
    # apt-get passes no signal on, and waits for dpkg: here a shell that finishes when it is told to end
    script = f"trap 'sleep 1; touch {mark}; exit 1' TERM; while :; do sleep 0.1; done"
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Interrupted):
            apt.Apt(5, True).run(["sh", "-c", script])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert mark.exists()
