# SPDX-License-Identifier: Apache-2.0
"""Check from here which addresses answer ping and TCP.

This file needs only the standard library and no other file: `program` gives its text, with probes at the end, to a
Python that runs elsewhere, in a network namespace or on another machine.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Union

WANTED_REPLIES = 3
INTERVAL = 0.2  # seconds between two echo requests


class Ping(NamedTuple):
    """Echo requests to an address, for at most `seconds`."""

    address: str
    seconds: float = 5.0


class Connect(NamedTuple):
    """A connection to a TCP port, with a limit of `seconds`."""

    address: str
    port: int
    seconds: float = 5.0


class PingAnswer(NamedTuple):
    """How many echo requests were sent and answered, the fastest round trip, and the error of the network."""

    sent: int
    answered: int
    milliseconds: float | None = None
    error: str = ""


class ConnectAnswer(NamedTuple):
    """The state of a port - open, refused, silent, or the error of the network - and the first line it sent."""

    state: str
    greeting: str = ""


Probe = Union[Ping, Connect]
Answer = Union[PingAnswer, ConnectAnswer]


def checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071 of data of even length."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(ident: int, number: int) -> bytes:
    """Return an ICMP echo request."""
    body = struct.pack(">HH", ident, number) + b"nova-ansible"
    return struct.pack(">BBH", 8, 0, checksum(b"\x08\x00\x00\x00" + body)) + body


def echo_reply(packet: bytes, ident: int) -> int | None:
    """Return the number of the echo request with our identifier that an IPv4 packet answers, or None."""
    head = (packet[0] & 15) * 4
    if packet[9] != socket.IPPROTO_ICMP or len(packet) < head + 8:
        return None
    kind, _code, _sum, who, number = struct.unpack_from(">BBHHH", packet, head)
    return number if kind == 0 and who == ident else None


def ping(address: str, seconds: float = 5.0) -> PingAnswer:
    """Send an echo request every 0.2 s until three are answered or the time is over."""
    ident, end = os.getpid() & 0xFFFF, time.monotonic() + seconds
    sent: dict[int, float] = {}  # number of an echo request -> when it was sent
    times: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        while len(times) < WANTED_REPLIES and time.monotonic() < end:
            number = len(sent) + 1
            try:
                sock.sendto(echo_request(ident, number), (address, 0))
            except OSError as error:
                return PingAnswer(number, len(times), error=str(error))
            sent[number] = time.monotonic()
            pause = sent[number] + INTERVAL
            while len(times) < WANTED_REPLIES and time.monotonic() < pause:
                sock.settimeout(max(0.001, pause - time.monotonic()))
                try:
                    packet, sender = sock.recvfrom(2048)
                except socket.timeout:
                    break
                reply = echo_reply(packet, ident) if sender[0] == address else None
                if reply in sent:
                    times.append(1000 * (time.monotonic() - sent[reply]))
    return PingAnswer(len(sent), len(times), round(min(times), 2) if times else None)


def connect(address: str, port: int, seconds: float = 5.0) -> ConnectAnswer:
    """Connect to a TCP port and read the first line that it sends."""
    try:
        with socket.create_connection((address, port), seconds) as sock:
            sock.settimeout(seconds)
            return ConnectAnswer("open", first_line(sock))
    except socket.timeout:
        return ConnectAnswer("silent")
    except OSError as error:
        return ConnectAnswer("refused" if error.errno == errno.ECONNREFUSED else str(error))


def first_line(sock: socket.socket) -> str:
    """Return the first line that a connection brings, or what came of it before the connection failed."""
    received = b""
    try:
        while b"\n" not in received and len(received) < 256:
            part = sock.recv(256)
            if not part:
                break
            received += part
    except OSError:
        pass
    return received.split(b"\n")[0].decode(errors="replace").strip()


def answer_of(probe: Probe) -> Answer:
    """Return the answer to a probe."""
    if isinstance(probe, Connect):
        return connect(*probe)
    try:
        return ping(*probe)
    except OSError as error:  # not root, no IPv4
        return PingAnswer(0, 0, error=str(error))


def look(probes: Iterable[Probe]) -> list[Answer]:
    """Return the answers to probes, which run in parallel, in the order of the probes."""
    probes = list(probes)
    with ThreadPoolExecutor(len(probes) or 1) as pool:
        return list(pool.map(answer_of, probes))


def print_answers(probes: Iterable[Probe]) -> None:
    """Print the fields of each answer, all in one line of JSON."""
    print(json.dumps([answer._asdict() for answer in look(probes)]))


def program(probes: Iterable[Probe]) -> str:
    """Return Python source for `python3 -` that prints the answers to probes (see print_answers)."""
    return f"{inspect.getsource(sys.modules[__name__])}\nprint_answers({list(probes)!r})\n"
