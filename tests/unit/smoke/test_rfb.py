# SPDX-License-Identifier: Apache-2.0
"""The WebSocket and RFB clients against a socket that says what a test wants, and against a real QEMU."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest
from ansible.module_utils.smoke import rfb, websocket
from ansible.module_utils.smoke.rfb import RfbError
from ansible.module_utils.smoke.websocket import WebSocketError

ENDPOINT = {"path": "/?token=t", "authority": "console.example:6080", "origin": "http://console.example:6080"}


@pytest.fixture
def pair():
    """(WebSocket, the other end's socket)."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)
    with ours, theirs:
        yield websocket.WebSocket(ours), theirs


def server_frame(opcode, data, last=True):
    size = len(data)
    head = struct.pack(">B", (0x80 if last else 0) | opcode)
    if size < 126:
        return head + struct.pack(">B", size) + data
    return head + (struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)) + data


def client_frame(sock):
    """(opcode, payload) of a frame that our client sent; clients must mask."""
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
    request = b""
    while b"\r\n\r\n" not in request:
        request += sock.recv(4096)
    key = next(line for line in request.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: ")).split(": ")[1]
    right = base64.b64encode(hashlib.sha1(key.encode() + websocket.GUID).digest()).decode()
    sock.sendall(f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept or right}\r\n\r\n".encode())
    return request.decode()


def upgrade(pair, **answer):
    """(what handshake gives, the request that it sent)."""
    stream, theirs = pair
    seen = []
    thread = threading.Thread(target=lambda: seen.append(answer_upgrade(theirs, **answer)))
    thread.start()
    try:
        return stream.handshake(ENDPOINT), seen
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
def test_a_console_url_says_where_to_connect(url, wanted):
    found = websocket.console_endpoint(url)
    assert tuple(found[key] for key in ("host", "port", "tls", "page", "path")) == wanted
    assert found["origin"] == url.split("/")[0] + "//" + url.split("/")[2]


def test_a_url_without_a_token_is_refused_and_not_shown_whole():
    with pytest.raises(WebSocketError, match="neither path nor token"):
        websocket.console_endpoint("http://10.0.0.1:6080/vnc.html?password=secret")


def test_the_upgrade_names_the_urls_host_and_origin(pair):
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


def test_an_upgrade_that_is_refused_or_not_an_answer_to_ours_fails(pair):
    with pytest.raises(WebSocketError, match="answered 403 Forbidden instead of 101"):
        upgrade(pair, status="403 Forbidden")
    with pytest.raises(WebSocketError, match="not the answer to our key"):
        upgrade(pair, accept="AAAA")


def test_a_server_that_is_no_web_server_is_quoted(pair):
    pair[1].sendall(b"RFB 003.008\n")
    with pytest.raises(WebSocketError, match=r"not an HTTP answer: b'RFB 003"):
        pair[0].handshake(ENDPOINT)


def test_frames_of_every_length_and_in_fragments_are_one_stream(pair):
    stream, theirs = pair
    parts = [b"a" * 5, b"b" * 125, b"c" * 126, b"d" * 70000]

    def send():
        theirs.sendall(server_frame(2, parts[0], last=False) + server_frame(0, parts[1]))
        for part in parts[2:]:
            theirs.sendall(server_frame(2, part))

    thread = threading.Thread(target=send)
    thread.start()
    assert stream.read(3) + stream.read(sum(map(len, parts)) - 3) == b"".join(parts)
    thread.join()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_what_is_written_arrives(pair, size):
    stream, theirs = pair
    data = os.urandom(size)
    thread = threading.Thread(target=stream.write, args=(data,))
    thread.start()
    assert client_frame(theirs) == (2, data)
    thread.join()


def test_a_ping_is_answered_while_reading(pair):
    stream, theirs = pair
    theirs.sendall(server_frame(9, b"are you there") + server_frame(2, b"x"))
    assert stream.read(1) == b"x"
    assert client_frame(theirs) == (10, b"are you there")


def test_the_reason_of_a_close_is_told(pair):
    stream, theirs = pair
    theirs.sendall(server_frame(8, struct.pack(">H", 1011) + b"Failed to connect to server"))
    with pytest.raises(WebSocketError, match="with code 1011: Failed to connect to server"):
        stream.read(1)
    with pytest.raises(WebSocketError, match="is closed"):
        stream.read(1)


def test_a_lost_connection_and_silence_are_told(pair):
    stream, theirs = pair
    stream.sock.settimeout(0.1)
    with pytest.raises(WebSocketError, match=r"no more data within 0\.1 s"):
        stream.read(1)
    theirs.close()
    with pytest.raises(WebSocketError, match="closed by the other side"):
        stream.read(1)


@pytest.mark.parametrize("data", [b"\x82\x81aaaax", b"\xf2\x01x", b"\x82\x7f" + b"\xff" * 8])
def test_malformed_frames_are_refused(pair, data):
    pair[1].sendall(data)
    with pytest.raises(WebSocketError, match="malformed"):
        pair[0].read(1)


class Script:
    """A stream that gives what a server would say and keeps what the client says."""

    def __init__(self, *said):
        self.said, self.heard = b"".join(said), b""

    def read(self, size):
        part, self.said = self.said[:size], self.said[size:]
        assert len(part) == size, "the client read more than the server says"
        return part

    def write(self, data):
        self.heard += data


INIT = struct.pack(">HHBBBBHHHBBBxxx", 2, 2, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0) + struct.pack(">I", 4) + b"QEMU"


def test_a_session_is_opened():
    stream = Script(b"RFB 003.008\n", b"\x02\x13\x01", b"\0\0\0\0", INIT)
    assert rfb.handshake(stream) == {
        "version": "RFB 003.008",
        "security": [19, 1],
        "width": 2,
        "height": 2,
        "name": "QEMU",
        "pixel_bytes": 4,
    }
    assert stream.heard == b"RFB 003.008\n\x01\x01" and stream.said == b""


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ([b"HTTP/1.1 400"], "greeted with b'HTTP/1.1 400'"),
        ([b"RFB 003.003\n"], "older than RFB 003.008"),
        ([b"RFB 003.008\n", b"\0", struct.pack(">I", 8), b"too many"], "refused the connection: too many"),
        ([b"RFB 003.008\n", b"\x02\x02\x13"], "only VNC password, VeNCrypt"),
        ([b"RFB 003.008\n", b"\x01\x01", b"\0\0\0\1", struct.pack(">I", 2), b"no"], "refused the session: no"),
        ([b"RFB 003.008\n", b"\x01\x01", b"\0\0\0\0", b"\0\0" + INIT[2:]], "a screen of 0x2"),
        ([b"RFB 003.008\n", b"\0", b"\xff\xff\xff\xff"], "announced a text of 4294967295 bytes"),
    ],
)
def test_what_is_no_open_session_is_told(said, error):
    with pytest.raises(RfbError, match=error):
        rfb.handshake(Script(*said))


def rectangle(x, y, width, height, encoding=0, data=b""):
    return struct.pack(">HHHHi", x, y, width, height, encoding) + data


def update(*rectangles):
    return struct.pack(">BxH", 0, len(rectangles)) + b"".join(rectangles)


BLACK, WHITE = b"\0\0\0\0", b"\xff\xff\xff\0"
SCREEN = {"width": 2, "height": 2, "pixel_bytes": 4}


def test_a_picture_is_asked_for_until_all_of_it_came():
    stream = Script(
        b"\x02",
        update(rectangle(0, 0, 2, 1, 0, BLACK + WHITE)),
        b"\x03\0\0\0\0\0\0\2hi",
        update(),
        update(rectangle(0, 1, 2, 1, 0, BLACK * 2)),
    )
    assert rfb.picture(stream, SCREEN) == {"width": 2, "height": 2, "pixels": 4, "colours": 2}
    assert stream.heard[12:] == struct.pack(">BBHHHH", 3, 0, 0, 0, 2, 2) * 3 and stream.said == b""


def test_a_screen_that_changes_its_size_is_asked_for_again():
    stream = Script(
        update(rectangle(0, 0, 2, 1, 0, WHITE * 2), rectangle(0, 0, 3, 1, -223)),
        update(rectangle(0, 0, 3, 1, 0, BLACK * 3)),
    )
    assert rfb.picture(stream, SCREEN) == {"width": 3, "height": 1, "pixels": 3, "colours": 1}
    assert stream.heard.endswith(struct.pack(">BBHHHH", 3, 0, 0, 0, 3, 1))


@pytest.mark.parametrize("odd", [rectangle(0, 0, 2, 2, 7), rectangle(1, 0, 2, 2), rectangle(0, 0, 0, 0, -223)])
def test_a_rectangle_that_was_not_asked_is_refused(odd):
    with pytest.raises(RfbError, match="which was not asked"):
        rfb.picture(Script(update(odd)), SCREEN)


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="needs qemu-system-x86")
def test_a_real_qemu_shows_its_screen(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-m",
        "16",
        "-display",
        "none",
        "-nodefaults",
        "-vga",
        "std",
        "-vnc",
        f"unix:{tmp_path}/vnc,websocket=127.0.0.1:{port}",
        "-name",
        "instance-00000009",
    ]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as qemu:
        try:
            endpoint = websocket.console_endpoint(f"http://127.0.0.1:{port}/vnc.html?path=/")
            for _ in range(100):
                try:
                    sock = socket.create_connection(("127.0.0.1", port), 20)
                    break
                except ConnectionRefusedError:
                    assert qemu.poll() is None, qemu.stderr.read()
                    time.sleep(0.1)
            stream = websocket.WebSocket(sock)
            assert stream.handshake(endpoint).startswith("101")
            screen = rfb.handshake(stream)
            assert screen["version"] == "RFB 003.008" and screen["name"] == "QEMU (instance-00000009)"
            picture = rfb.picture(stream, screen)
            assert picture["pixels"] >= picture["width"] * picture["height"] > 100000
            stream.close()
        finally:
            qemu.terminate()
