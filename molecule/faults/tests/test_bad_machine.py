# SPDX-License-Identifier: Apache-2.0
"""Machines that do not meet the requirements are named with what is missing, before anything changes."""

from __future__ import annotations

import json
import re
import time

import pytest

HOSTS = "/etc/hosts"
SOURCES = "/etc/apt/sources.list"


@pytest.fixture
def spoil(machines):
    """Return do(machine, command, undo); undone after the test."""
    undo = []

    def do(machine: str, command: str, back: str) -> None:
        undo.append((machine, back))
        done = machines[machine].run(command)
        assert done.rc == 0, done.stderr

    yield do
    for machine, back in undo:
        assert machines[machine].run(back).rc == 0, back


def test_a_host_without_the_device_for_network_interfaces_is_refused(refusal, spoil):
    spoil("compute1", "mount --types tmpfs none /dev/net", "umount /dev/net")
    said = refusal()
    assert "/dev/net/tun does not exist; load the module tun" in said
    assert "compute1: /dev/net/tun" in said and "controller1" not in said


def test_a_host_whose_name_does_not_resolve_is_refused(refusal, spoil):
    spoil("compute1", f"cp -p {HOSTS} /tmp/hosts && sed -i /compute1/d {HOSTS}", f"cat /tmp/hosts > {HOSTS}")
    said = 'compute1: the host name compute1 does not resolve; add "10.77.0.21 compute1" to /etc/hosts'
    assert said in refusal()


def test_two_hosts_with_the_same_host_name_are_refused(refusal, spoil):
    spoil("compute1", "hostname controller1", "hostname compute1")
    said = refusal()
    assert "controller1 and compute1 are both called controller1" in said
    assert "hostnamectl hostname NAME" in said


def test_a_mirror_that_does_not_answer_is_named(refusal, spoil):
    edit = f"cp -p {SOURCES} /tmp/sources && sed -i s/:3142/:3143/ {SOURCES}"
    spoil("controller1", edit, f"cat /tmp/sources > {SOURCES}")
    said = refusal()
    assert "controller1: the package mirror http://packages:3143/debian" in said
    assert "cannot be reached" in said and "/etc/apt/sources.list" in said


def test_a_port_in_use_is_named_with_the_program_that_uses_it(refusal, spoil, machines):
    spoil(
        "controller1",
        "systemd-run --quiet --collect --unit=intruder python3 -m http.server 9292",
        "systemctl stop intruder",
    )
    machines["controller1"].run("for n in $(seq 50); do ss -Hltn | grep -q :9292 && break; sleep 0.1; done")
    said = refusal()
    assert "controller1: port 9292 is already taken by python3 (intruder.service); stop it" in said


def test_a_user_who_is_not_root_is_refused(refusal, spoil, inventory):
    spoil(
        "compute1",
        "useradd --create-home deployer && mkdir --mode=700 ~deployer/.ssh"
        " && cp /root/.ssh/authorized_keys ~deployer/.ssh/ && chown --recursive deployer: ~deployer/.ssh",
        "userdel --force --remove deployer 2>/dev/null; ! id deployer 2>/dev/null",
    )

    def log_in_as_deployer(known: dict) -> None:
        host = known["_meta"]["hostvars"]["compute1"]
        host.update(ansible_user="deployer", ansible_become=False)
        host["ansible_ssh_common_args"] = "-o ControlPath=none " + host["ansible_ssh_common_args"]  # that one is root's

    said = refusal(inventory=inventory(log_in_as_deployer))
    assert "compute1: not root (uid " in said and "ansible_become: true" in said


def test_an_unreachable_host_is_named_and_the_others_are_unchanged(refusal, inventory):
    def add_a_host(known: dict) -> None:
        hosts = known["_meta"]["hostvars"]
        hosts["compute2"] = {**hosts["compute1"], "ansible_host": "10.77.0.22", "management_address": "10.77.0.22"}
        known["nova_computes"]["hosts"].append("compute2")
        known["lab"]["hosts"].append("compute2")

    said = refusal(inventory=inventory(add_a_host), name="site.yml")
    assert re.search("compute2: cannot be reached: .*(unreachable|ssh)", said), said
    assert "controller1: " not in said and "compute1: " not in said


def test_a_wrong_clock_is_measured(module):
    """The machines share this computer's clock, so the control node gives another time."""
    rows = module("all", "host_check", f"now={time.time() - 86400}")
    for host in ("controller1", "compute1"):
        (problem,) = rows[host]["problems"]
        found = re.match(
            r"the clock differs from the control node's by \+(\d+) s \(at most 30 s\); let NTP set it", problem
        )
        assert found, problem
        assert 86400 <= int(found.group(1)) < 86400 + 300


def test_every_problem_of_a_host_is_in_one_message(refusal):
    said = refusal("--extra-vars", json.dumps({"preflight_min_memory_mb": 99999999, "preflight_min_disk_mb": 99999999}))
    assert "MiB of memory" in said and "MiB free below /var" in said
    for host in ("controller1", "compute1"):
        assert re.search(rf"{host}: \d+ MiB of memory.*{host}: \d+ MiB free below /var", said), said
