# SPDX-License-Identifier: Apache-2.0
"""Checks of a test instance: console log, lease, metadata and answers on the network."""

from __future__ import annotations

import dataclasses
import socket
import sys
import threading

import pytest
from ansible.module_utils.guest.guest_report import GuestReport
from ansible.module_utils.smoke import instance_checks
from ansible.module_utils.smoke.instances import Instance
from ansible.module_utils.smoke.reachability import Connect, ConnectAnswer, PingAnswer
from ansible.module_utils.smoke.steps import StepFailed
from fake_cloud import FakeCloud

METADATA = {"uuid": "u-1", "instance-id": "i-0000000a", "hostname": "v.novalocal", "local-ipv4": "10.0.0.5"}


def instance(**metadata):
    """Return an instance that reported these metadata over the correct ones."""
    report = GuestReport(address="10.0.0.5", metadata={**METADATA, **metadata})
    return Instance("u-1", "v", "ACTIVE", "h1", "10.0.0.5", "instance-0000000a", "v", report=report)


# --- the console log --------------------------------------------------------------------------------------------------


def await_banner(log, seconds=0):
    """Wait for the banner in a console log, and return the instance."""
    found = instance()
    cloud = FakeCloud({"/servers/u-1/action": {"output": log}})
    instance_checks.await_report(
        cloud, [found], lambda report: report.banner, "printed no banner", seconds, lambda _: []
    )
    return found


def test_the_report_and_the_first_lines_of_the_console_are_kept():
    found = await_banner("BIOS\r\n\r\r\nGUEST-BANNER nova-guest up 2\r\n")
    assert found.report.banner == "nova-guest up 2" and found.console == ["BIOS", "GUEST-BANNER nova-guest up 2"]


def test_a_missing_report_is_an_error_with_the_end_of_the_console():
    with pytest.raises(StepFailed, match="instance v on h1 printed no banner within 0 s") as error:
        await_banner("a\r\n\r\n\r\nb  \r\n")
    assert error.value.hints == ["Its console log ends with:", "| a", "| b"]
    with pytest.raises(StepFailed) as error:
        await_banner("")
    assert error.value.hints == ["Its console log is empty: the guest does not run at all."]


def test_a_kernel_panic_ends_the_waiting():
    with pytest.raises(StepFailed) as error:
        await_banner("Kernel panic - not syncing\n", seconds=600)
    assert error.value.hints[-1] == "| Kernel panic - not syncing"


# --- lease and metadata -----------------------------------------------------------------------------------------------


def test_correct_metadata_have_no_problem():
    assert instance_checks.metadata_problems(instance()) == []
    other_template = dataclasses.replace(instance(**{"instance-id": "i-1"}), instance_name="vm-named-by-template")
    assert instance_checks.metadata_problems(other_template) == []


@pytest.mark.parametrize("key", list(METADATA))
def test_each_value_of_the_metadata_is_compared(key):
    problems = instance_checks.metadata_problems(instance(**{key: "other"}))
    assert len(problems) == 1 and problems[0].startswith(f"{key} is other, but Nova has ")


def test_a_lease_of_another_dhcp_server_is_reported():
    instance_checks.check_lease(instance())
    with pytest.raises(StepFailed, match=r"leased 10\.0\.0\.5, but Neutron assigned 10\.0\.0\.6"):
        instance_checks.check_lease(dataclasses.replace(instance(), address="10.0.0.6"))


# --- the network ------------------------------------------------------------------------------------------------------

PING, OPEN, SILENT = PingAnswer(3, 3, 0.5), ConnectAnswer("open", "GUEST-TCP v.novalocal"), ConnectAnswer("silent")


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ((PING, OPEN, SILENT), None),
        ((PingAnswer(50, 0), OPEN, SILENT), "answered none of 50 pings"),
        ((PingAnswer(1, 0, error="no route"), OPEN, SILENT), "answered none of 1 pings: no route"),
        ((PING, SILENT, SILENT), "answers ping, but its TCP port 22 is silent"),
        ((PING, ConnectAnswer("open", "SSH-2.0"), SILENT), "sent 'SSH-2.0' instead of 'GUEST-TCP v.novalocal'"),
        ((PING, OPEN, OPEN), "port 2222 of instance v (10.0.0.5 on h1) is open, although"),
        ((PING, OPEN, ConnectAnswer("refused")), "is refused, although its security group does not allow it"),
    ],
)
def test_each_answer_from_the_network_is_checked(answers, problem):
    found = instance_checks.reach_problem(instance(), *answers)
    assert problem in found if problem else found is None


def test_the_probes_run_in_another_python():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"hello\n"), daemon=True).start()
        answers = instance_checks.look_from([sys.executable, "-"], "there", [Connect(*listener.getsockname(), 3.0)])
    assert answers == [{"state": "open", "greeting": "hello"}]


def test_probes_that_do_not_run_are_reported():
    with pytest.raises(StepFailed, match=r"the probes from namespace x failed with code 3: no such place"):
        instance_checks.look_from(["sh", "-c", "echo no such place >&2; exit 3"], "namespace x", [])
    with pytest.raises(StepFailed, match=r"failed with code 127: command '/no/such' cannot be run"):
        instance_checks.look_from(["/no/such"], "namespace x", [])


def test_the_place_to_look_from(tmp_path):
    assert instance_checks.probe_place("n1", ["ip", "netns", "exec", "out"]) == (
        ["ip", "netns", "exec", "out", "python3", "-"],
        "`ip netns exec out`",
    )
    assert instance_checks.probe_place("n1", []) == (["python3", "-"], "this host")
    with pytest.raises(StepFailed, match="neither namespace qdhcp-n1 nor ovnmeta-n1") as error:
        instance_checks.probe_place("n1", None, namespaces=tmp_path)
    assert "probe_command" in error.value.hints[0]
    (tmp_path / "ovnmeta-n1").touch()
    assert instance_checks.probe_place("n1", None, namespaces=tmp_path)[1] == "namespace ovnmeta-n1"
    (tmp_path / "qdhcp-n1").touch()
    argv, place = instance_checks.probe_place("n1", None, namespaces=tmp_path)
    assert argv[:4] == ["ip", "netns", "exec", "qdhcp-n1"] and place == "namespace qdhcp-n1"
