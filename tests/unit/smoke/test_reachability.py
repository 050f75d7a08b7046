# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from ansible.module_utils.smoke import instance_checks, reachability
from ansible.module_utils.smoke.steps import StepFailed


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        yield sock


def greet(sock, said):
    def run():
        with sock.accept()[0] as peer:
            peer.sendall(said)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()


def test_an_open_port_is_open_and_quoted(listener):
    greet(listener, b"GUEST-TCP vm\r\nmore")
    assert reachability.connect(*listener.getsockname(), 5) == {"state": "open", "said": "GUEST-TCP vm"}


def test_a_port_that_says_nothing_is_still_open(listener):
    assert reachability.connect(*listener.getsockname(), 0.2) == {"state": "open", "said": ""}


def test_a_refused_port_is_not_taken_for_a_silent_one(listener):
    address = listener.getsockname()
    listener.close()
    assert reachability.connect(*address, 5) == {"state": "refused"}


def test_a_port_that_drops_is_silent(listener):
    listener.listen(0)  # a full queue drops what comes, as a security group does
    full = []
    for _ in range(8):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        full.append(sock)
    assert reachability.connect(*listener.getsockname(), 0.5) == {"state": "silent"}
    for sock in full:
        sock.close()


def test_the_checksum_is_that_of_rfc_1071():
    packet = reachability.echo_request(0x1234, 1)
    assert reachability.checksum(packet) == 0
    assert reachability.checksum(bytes((packet[0] ^ 1,)) + packet[1:]) != 0


def test_only_the_answer_to_our_own_ping_counts():
    head = bytes((0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1)) + b"\0" * 10
    reply = head + b"\0\0\0\0\x12\x34\0\x07"
    assert reachability.echo_reply(reply, 0x1234) == 7
    assert reachability.echo_reply(reply, 0x9999) is None
    assert reachability.echo_reply(head + b"\x08\0\0\0\x12\x34\0\x07", 0x1234) is None  # our own request
    assert reachability.echo_reply(head[:20] + b"\0\0", 0x1234) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_ping_on_loopback():
    found = reachability.ping("127.0.0.1", seconds=3)
    assert found["answered"] == 3 and found["milliseconds"] >= 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_ping_without_a_route_and_without_an_answer():
    """In a network namespace with one cable that leads to nobody."""
    cable = (
        "ip link add v0 type veth peer name v1 && ip address add 10.1.1.1/24 dev v0 && "
        "ip link set v0 up && ip link set v1 up"
    )
    script = f"import subprocess; subprocess.run('{cable}', shell=True, check=True)\n"
    asked = [
        {"address": "10.1.1.2", "ping": 0.5},
        {"address": "10.2.2.2", "ping": 0.5},
        {"address": "10.2.2.2", "port": 1, "seconds": 0.5},
    ]
    text = reachability.program(asked).replace("import errno\n", f"import errno\n{script}", 1)
    argv = ["unshare", "--net", sys.executable, "-"]
    out = subprocess.run(argv, input=text, text=True, capture_output=True, check=True)
    silent, no_route, refused = json.loads(out.stdout.splitlines()[-1])
    assert silent["answered"] == 0 and silent["sent"] >= 1
    assert "unreachable" in no_route["error"] and "unreachable" in refused["state"]


def test_the_program_runs_elsewhere(listener):
    greet(listener, b"hello\n")
    address, port = listener.getsockname()
    answers = instance_checks.look_from(
        [sys.executable, "-"], "there", [{"address": address, "port": port, "seconds": 3}]
    )
    assert answers == [{"state": "open", "said": "hello"}]


def test_a_place_that_cannot_be_entered_is_told():
    with pytest.raises(StepFailed, match=r"looking from namespace x failed with code 3: no such place"):
        instance_checks.look_from(["sh", "-c", "echo no such place >&2; exit 3"], "namespace x", [])


def test_the_place_to_look_from(tmp_path):
    assert instance_checks.probe_place("n1", ["ip", "netns", "exec", "out"]) == (
        ["ip", "netns", "exec", "out", "python3", "-"],
        "`ip netns exec out`",
    )
    assert instance_checks.probe_place("n1", []) == (["python3", "-"], "this host")
    with pytest.raises(StepFailed, match="neither namespace qdhcp-n1 nor ovnmeta-n1") as error:
        instance_checks.probe_place("n1", None, namespaces=tmp_path)
    assert "probe_command" in error.value.look[0]
    (tmp_path / "ovnmeta-n1").touch()
    assert instance_checks.probe_place("n1", None, namespaces=tmp_path)[1] == "namespace ovnmeta-n1"
    (tmp_path / "qdhcp-n1").touch()
    argv, place = instance_checks.probe_place("n1", None, namespaces=tmp_path)
    assert argv[:4] == ["ip", "netns", "exec", "qdhcp-n1"] and place == "namespace qdhcp-n1"
