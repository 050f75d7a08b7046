# SPDX-License-Identifier: Apache-2.0
"""The start of a VNC session (RFB 3.8, RFC 6143) over any stream of bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ansible.module_utils.message import Message, OperatorError

NO_PASSWORD = 1
SECURITY = {0: "invalid", 1: "None", 2: "VNC password", 5: "RA2", 16: "Tight", 18: "TLS", 19: "VeNCrypt", 20: "SASL"}
LONGEST_TEXT = 1 << 20
RAW, DESKTOP_SIZE = 0, -223  # encodings: pixels without compression; a new size of the screen
UPDATE, COLOR_MAP, BELL, CUT_TEXT = 0, 1, 2, 3  # messages of the server


class RfbError(OperatorError):
    """The server does not speak RFB 3.8, or refuses the session."""


class Stream(Protocol):
    """A stream of bytes."""

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""

    def write(self, data: bytes) -> None:
        """Send bytes."""


class Screen(NamedTuple):
    """A screen as the server announced it; `security` are the types of security that it offers."""

    version: str
    security: list[int]
    width: int
    height: int
    name: str
    pixel_bytes: int


class Picture(NamedTuple):
    """The size of a picture in pixels, how many pixels were received, and how many colors they have."""

    width: int
    height: int
    pixels: int
    colors: int


def _text(stream: Stream) -> str:
    (size,) = struct.unpack(">I", stream.read(4))
    if size > LONGEST_TEXT:
        raise RfbError(Message(f"the VNC server announced a text of {size} bytes"))
    return stream.read(size).decode("utf-8", "replace")


def handshake(stream: Stream) -> Screen:
    """Open a session without a password and return its screen; raise RfbError when the server does not allow it."""
    version = stream.read(12)
    match = re.fullmatch(rb"RFB (\d{3})\.(\d{3})\n", version)
    if not match:
        raise RfbError(Message(f"the VNC server greeted with {version!r} instead of an RFB version"))
    if (int(match[1]), int(match[2])) < (3, 8):
        raise RfbError(Message(f"the VNC server speaks only {version[:11].decode()}, which is older than RFB 003.008"))
    stream.write(b"RFB 003.008\n")
    offered = _choose_security(stream)
    stream.write(b"\x01")  # share the screen with other clients
    width, height, bits = struct.unpack(">HHB15x", stream.read(20))
    if not width or not height or bits not in (8, 16, 32):
        raise RfbError(Message(f"the VNC server announced a screen of {width}x{height} with {bits} bits a pixel"))
    return Screen(version[:11].decode(), offered, width, height, _text(stream), bits // 8)


def _choose_security(stream: Stream) -> list[int]:
    """Choose a session without a password, and return the types of security that the server offers."""
    count = stream.read(1)[0]
    if not count:
        raise RfbError(Message(f"the VNC server refused the connection: {_text(stream)}"))
    offered = list(stream.read(count))
    if NO_PASSWORD not in offered:
        kinds = ", ".join(SECURITY.get(kind, str(kind)) for kind in offered)
        raise RfbError(Message(f"the VNC server offers no session without a password, only {kinds}"))
    stream.write(bytes((NO_PASSWORD,)))
    if struct.unpack(">I", stream.read(4))[0]:
        raise RfbError(Message(f"the VNC server refused the session: {_text(stream)}"))
    return offered


def picture(stream: Stream, screen: Screen) -> Picture:
    """Request the whole screen uncompressed until all of it was received.

    The screen may change its size meanwhile, for example when the firmware starts the kernel: then all of it is
    requested again.
    """
    width, height, depth = screen.width, screen.height, screen.pixel_bytes
    pixels = 0
    colors: set[bytes] = set()
    stream.write(struct.pack(">BxHii", 2, 2, RAW, DESKTOP_SIZE))
    while pixels < width * height:
        stream.write(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        for x, y, wide, high, encoding in _rectangles(stream):
            if encoding == DESKTOP_SIZE and wide and high:
                width, height, pixels, colors = wide, high, 0, set()
            elif encoding == RAW and x + wide <= width and y + high <= height:
                data = stream.read(wide * high * depth)
                pixels += wide * high
                colors.update(data[at : at + depth] for at in range(0, len(data), depth))
            else:
                raise RfbError(
                    Message(
                        f"the VNC server sent a rectangle of {wide}x{high} in encoding {encoding}, "
                        "which was not requested"
                    )
                )
    return Picture(width, height, pixels, len(colors))


def _rectangles(stream: Stream) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield x, y, width, height and encoding of the rectangles of the next update; skip all other messages.

    The caller reads the data of each rectangle from the stream.
    """
    while True:
        kind = stream.read(1)[0]
        if kind == UPDATE:
            (count,) = struct.unpack(">xH", stream.read(3))
            for _ in range(count):
                x, y, width, height, encoding = struct.unpack(">HHHHi", stream.read(12))
                yield x, y, width, height, encoding
            return
        if kind == COLOR_MAP:
            _first, count = struct.unpack(">xHH", stream.read(5))
            stream.read(6 * count)
        elif kind == CUT_TEXT:
            stream.read(3)
            _text(stream)
        elif kind != BELL:
            raise RfbError(Message(f"the VNC server sent a message of unknown kind {kind}"))
