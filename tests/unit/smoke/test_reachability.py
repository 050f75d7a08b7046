# SPDX-License-Identifier: Apache-2.0
"""Ping and TCP probes, here and in a network namespace of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from ansible.module_utils.smoke import reachability
from ansible.module_utils.smoke.reachability import Connect, ConnectAnswer, Ping


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        yield sock


def greet(sock, data):
    """Send data to the first client of a listener."""

    def run():
        with sock.accept()[0] as peer:
            peer.sendall(data)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()


def test_an_open_port_is_reported_with_its_first_line(listener):
    greet(listener, b"GUEST-TCP vm\r\nmore")
    assert reachability.connect(*listener.getsockname(), 5) == ConnectAnswer("open", "GUEST-TCP vm")


def test_a_port_that_sends_nothing_is_open(listener):
    assert reachability.connect(*listener.getsockname(), 0.2) == ConnectAnswer("open", "")


def test_a_refused_port_is_not_a_silent_one(listener):
    address = listener.getsockname()
    listener.close()
    assert reachability.connect(*address, 5) == ConnectAnswer("refused")


def test_a_port_that_drops_packets_is_silent(listener):
    listener.listen(0)  # a full queue drops connections, as a security group does
    full = []
    for _ in range(8):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        full.append(sock)
    assert reachability.connect(*listener.getsockname(), 0.5) == ConnectAnswer("silent")
    for sock in full:
        sock.close()


def test_the_checksum_is_that_of_rfc_1071():
    packet = reachability.echo_request(0x1234, 1)
    assert reachability.checksum(packet) == 0
    assert reachability.checksum(bytes((packet[0] ^ 1,)) + packet[1:]) != 0


def test_only_replies_to_our_requests_count():
    head = bytes((0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1)) + b"\0" * 10
    reply = head + b"\0\0\0\0\x12\x34\0\x07"
    assert reachability.echo_reply(reply, 0x1234) == 7
    assert reachability.echo_reply(reply, 0x9999) is None
    assert reachability.echo_reply(head + b"\x08\0\0\0\x12\x34\0\x07", 0x1234) is None  # a request, not a reply
    assert reachability.echo_reply(head[:20] + b"\0\0", 0x1234) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_ping_on_loopback():
    found = reachability.ping("127.0.0.1", seconds=3)
    assert found.answered == 3 and found.milliseconds >= 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_addresses_without_a_route_or_without_an_answer():
    """Look from a network namespace with one link that has no host at its other end."""
    link = (
        "ip link add v0 type veth peer name v1 && ip address add 10.1.1.1/24 dev v0 && "
        "ip link set v0 up && ip link set v1 up"
    )
    script = f"import subprocess; subprocess.run('{link}', shell=True, check=True)\n"
    probes = [Ping("10.1.1.2", 0.5), Ping("10.2.2.2", 0.5), Connect("10.2.2.2", 1, 0.5)]
    text = reachability.program(probes).replace("import errno\n", f"import errno\n{script}", 1)
    argv = ["unshare", "--net", sys.executable, "-"]
    out = subprocess.run(argv, input=text, text=True, capture_output=True, check=True)
    silent, no_route, refused = json.loads(out.stdout.splitlines()[-1])
    assert silent["answered"] == 0 and silent["sent"] >= 1
    assert "unreachable" in no_route["error"] and "unreachable" in refused["state"]
