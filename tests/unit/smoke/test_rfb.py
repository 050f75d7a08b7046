# SPDX-License-Identifier: Apache-2.0
"""The RFB client against a stream of the test, and through the WebSocket client against a real QEMU."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time

import pytest
from ansible.module_utils.smoke import rfb, websocket
from ansible.module_utils.smoke.rfb import Picture, RfbError, Screen


class Script:
    """A stream with fixed data of a server; it keeps what the client sends."""

    def __init__(self, *data):
        self.unread, self.written = b"".join(data), b""

    def read(self, size):
        part, self.unread = self.unread[:size], self.unread[size:]
        assert len(part) == size, "the client read more than the server sends"
        return part

    def write(self, data):
        self.written += data


INIT = struct.pack(">HHBBBBHHHBBBxxx", 2, 2, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0) + struct.pack(">I", 4) + b"QEMU"


def test_a_session_is_opened():
    stream = Script(b"RFB 003.008\n", b"\x02\x13\x01", b"\0\0\0\0", INIT)
    assert rfb.handshake(stream) == Screen("RFB 003.008", [19, 1], 2, 2, "QEMU", 4)
    assert stream.written == b"RFB 003.008\n\x01\x01" and stream.unread == b""


@pytest.mark.parametrize(
    ("data", "error"),
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
def test_a_session_that_is_not_opened_is_reported(data, error):
    with pytest.raises(RfbError, match=error):
        rfb.handshake(Script(*data))


def rectangle(x, y, width, height, encoding=0, data=b""):
    return struct.pack(">HHHHi", x, y, width, height, encoding) + data


def update(*rectangles):
    return struct.pack(">BxH", 0, len(rectangles)) + b"".join(rectangles)


BLACK, WHITE = b"\0\0\0\0", b"\xff\xff\xff\0"
SCREEN = Screen("RFB 003.008", [1], 2, 2, "QEMU", 4)


def test_a_picture_is_requested_until_all_of_it_was_received():
    stream = Script(
        b"\x02",
        update(rectangle(0, 0, 2, 1, 0, BLACK + WHITE)),
        b"\x03\0\0\0\0\0\0\2hi",
        update(),
        update(rectangle(0, 1, 2, 1, 0, BLACK * 2)),
    )
    assert rfb.picture(stream, SCREEN) == Picture(2, 2, pixels=4, colors=2)
    assert stream.written[12:] == struct.pack(">BBHHHH", 3, 0, 0, 0, 2, 2) * 3 and stream.unread == b""


def test_a_screen_that_changes_its_size_is_requested_again():
    stream = Script(
        update(rectangle(0, 0, 2, 1, 0, WHITE * 2), rectangle(0, 0, 3, 1, -223)),
        update(rectangle(0, 0, 3, 1, 0, BLACK * 3)),
    )
    assert rfb.picture(stream, SCREEN) == Picture(3, 1, pixels=3, colors=1)
    assert stream.written.endswith(struct.pack(">BBHHHH", 3, 0, 0, 0, 3, 1))


@pytest.mark.parametrize("odd", [rectangle(0, 0, 2, 2, 7), rectangle(1, 0, 2, 2), rectangle(0, 0, 0, 0, -223)])
def test_a_rectangle_that_was_not_requested_is_refused(odd):
    with pytest.raises(RfbError, match="which was not requested"):
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
            assert screen.version == "RFB 003.008" and screen.name == "QEMU (instance-00000009)"
            picture = rfb.picture(stream, screen)
            assert picture.pixels >= picture.width * picture.height > 100000
            stream.close()
        finally:
            qemu.terminate()
