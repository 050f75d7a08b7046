# SPDX-License-Identifier: Apache-2.0
"""The WebSocket client against a socket of the test."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import threading

import pytest
from ansible.module_utils.smoke import websocket
from ansible.module_utils.smoke.websocket import Endpoint, WebSocketError

ENDPOINT = Endpoint("console.example", 6080, False, "console.example:6080", "/vnc.html", "/?token=t")


@pytest.fixture
def pair():
    """Return a WebSocket and the socket of its server."""
    client, server = socket.socketpair()
    client.settimeout(5)
    server.settimeout(5)
    with client, server:
        yield websocket.WebSocket(client), server


def server_frame(opcode, data, last=True):
    """Return a frame of a server, which is not masked."""
    size = len(data)
    head = struct.pack(">B", (0x80 if last else 0) | opcode)
    if size < 126:
        return head + struct.pack(">B", size) + data
    return head + (struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)) + data


def client_frame(sock):
    """Return opcode and payload of a frame that the client sent."""
    first, second = sock.recv(2)
    assert second & 128, "a client frame must be masked"
    size = second & 127
    if size == 126:
        (size,) = struct.unpack(">H", sock.recv(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", sock.recv(8))
    mask, data = sock.recv(4), b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def answer_upgrade(sock, accept=None, status="101 Switching Protocols"):
    """Answer the request of the client, and return it."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += sock.recv(4096)
    key = next(line for line in request.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: ")).split(": ")[1]
    right = base64.b64encode(hashlib.sha1(key.encode() + websocket.GUID).digest()).decode()
    sock.sendall(f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept or right}\r\n\r\n".encode())
    return request.decode()


def upgrade(pair, **answer):
    """Return the status from handshake and the requests that it sent."""
    stream, server = pair
    requests = []
    thread = threading.Thread(target=lambda: requests.append(answer_upgrade(server, **answer)))
    thread.start()
    try:
        return stream.handshake(ENDPOINT), requests
    finally:
        thread.join()


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "http://10.0.0.1:6080/vnc_auto.html?path=%3Ftoken%3Dabc-1",
            ("10.0.0.1", 6080, False, "/vnc_auto.html", "/?token=abc-1"),
        ),
        (
            "https://console.example/novnc/vnc_lite.html?path=%3Ftoken%3Dx",
            ("console.example", 443, True, "/novnc/vnc_lite.html", "/?token=x"),
        ),
        ("http://127.0.0.1:16080/vnc.html?token=t1", ("127.0.0.1", 16080, False, "/vnc.html", "/?token=t1")),
    ],
)
def test_a_console_url_leads_to_its_endpoint(url, wanted):
    found = websocket.console_endpoint(url)
    assert (found.host, found.port, found.tls, found.page, found.path) == wanted
    assert found.origin == url.split("/")[0] + "//" + url.split("/")[2]


def test_a_url_without_a_token_is_refused_without_showing_its_query():
    with pytest.raises(WebSocketError, match="neither path nor token"):
        websocket.console_endpoint("http://10.0.0.1:6080/vnc.html?password=secret")


def test_the_upgrade_sends_the_host_and_origin_of_the_url(pair):
    status, requests = upgrade(pair)
    assert status == "101 Switching Protocols"
    lines = requests[0].split("\r\n")
    assert lines[0] == "GET /?token=t HTTP/1.1"
    assert {
        "Host: console.example:6080",
        "Origin: http://console.example:6080",
        "Sec-WebSocket-Protocol: binary",
        "Sec-WebSocket-Version: 13",
    } <= set(lines)


def test_an_upgrade_fails_when_it_is_refused_or_the_key_does_not_match(pair):
    with pytest.raises(WebSocketError, match="answered 403 Forbidden instead of 101"):
        upgrade(pair, status="403 Forbidden")
    with pytest.raises(WebSocketError, match="does not match the key"):
        upgrade(pair, accept="AAAA")


def test_a_server_that_does_not_speak_http_is_quoted(pair):
    pair[1].sendall(b"RFB 003.008\n")
    with pytest.raises(WebSocketError, match=r"sent no HTTP response: b'RFB 003"):
        pair[0].handshake(ENDPOINT)


def test_frames_of_each_length_and_fragments_are_one_stream(pair):
    stream, server = pair
    parts = [b"a" * 5, b"b" * 125, b"c" * 126, b"d" * 70000]

    def send():
        server.sendall(server_frame(2, parts[0], last=False) + server_frame(0, parts[1]))
        for part in parts[2:]:
            server.sendall(server_frame(2, part))

    thread = threading.Thread(target=send)
    thread.start()
    assert stream.read(3) + stream.read(sum(map(len, parts)) - 3) == b"".join(parts)
    thread.join()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_written_data_arrives(pair, size):
    stream, server = pair
    data = os.urandom(size)
    thread = threading.Thread(target=stream.write, args=(data,))
    thread.start()
    assert client_frame(server) == (2, data)
    thread.join()


def test_a_ping_is_answered_while_reading(pair):
    stream, server = pair
    server.sendall(server_frame(9, b"are you there") + server_frame(2, b"x"))
    assert stream.read(1) == b"x"
    assert client_frame(server) == (10, b"are you there")


def test_the_reason_of_a_close_is_reported(pair):
    stream, server = pair
    server.sendall(server_frame(8, struct.pack(">H", 1011) + b"Failed to connect to server"))
    with pytest.raises(WebSocketError, match="with code 1011: Failed to connect to server"):
        stream.read(1)
    with pytest.raises(WebSocketError, match="is closed"):
        stream.read(1)


def test_a_lost_connection_and_a_timeout_are_reported(pair):
    stream, server = pair
    stream.sock.settimeout(0.1)
    with pytest.raises(WebSocketError, match=r"no data within 0\.1 s"):
        stream.read(1)
    server.close()
    with pytest.raises(WebSocketError, match="the console proxy closed the connection"):
        stream.read(1)


@pytest.mark.parametrize("data", [b"\x82\x81aaaax", b"\xf2\x01x", b"\x82\x7f" + b"\xff" * 8])
def test_malformed_frames_are_refused(pair, data):
    pair[1].sendall(data)
    with pytest.raises(WebSocketError, match="malformed"):
        pair[0].read(1)
