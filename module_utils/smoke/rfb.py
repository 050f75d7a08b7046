# SPDX-License-Identifier: Apache-2.0
"""The first part of a VNC session (RFB 3.8, RFC 6143) over anything with read(n) and write(data)."""

from __future__ import annotations

import re
import struct

SECURITY = {0: "invalid", 1: "None", 2: "VNC password", 5: "RA2", 16: "Tight", 18: "TLS", 19: "VeNCrypt", 20: "SASL"}
LARGEST_TEXT = 1 << 20
RAW, DESKTOP_SIZE = 0, -223  # encodings: pixels as they are; the screen has another size now


class RfbError(Exception):
    """The other side does not speak RFB 3.8, or refuses the session."""


def _text(stream):
    (size,) = struct.unpack(">I", stream.read(4))
    if size > LARGEST_TEXT:
        raise RfbError(f"announced a text of {size} bytes")
    return stream.read(size).decode("utf-8", "replace")


def handshake(stream):
    """Version, security, init. Returns {version, security, width, height, name, pixel_bytes}."""
    version = stream.read(12)
    match = re.fullmatch(rb"RFB (\d{3})\.(\d{3})\n", version)
    if not match:
        raise RfbError(f"greeted with {version!r} instead of an RFB version")
    if (int(match[1]), int(match[2])) < (3, 8):
        raise RfbError(f"speaks only {version[:11].decode()}, older than RFB 003.008")
    stream.write(b"RFB 003.008\n")
    count = stream.read(1)[0]
    if not count:
        raise RfbError(f"refused the connection: {_text(stream)}")
    offered = list(stream.read(count))
    if 1 not in offered:
        raise RfbError(
            "offers no session without a password, only " + ", ".join(SECURITY.get(kind, str(kind)) for kind in offered)
        )
    stream.write(b"\x01")
    if struct.unpack(">I", stream.read(4))[0]:
        raise RfbError(f"refused the session: {_text(stream)}")
    stream.write(b"\x01")  # share the screen with whoever looks at it already
    width, height, bits = struct.unpack(">HHB15x", stream.read(20))
    if not width or not height or bits not in (8, 16, 32):
        raise RfbError(f"announced a screen of {width}x{height} with {bits} bits a pixel")
    return {
        "version": version[:11].decode(),
        "security": offered,
        "width": width,
        "height": height,
        "name": _text(stream),
        "pixel_bytes": bits // 8,
    }


def picture(stream, screen):
    """Ask for the whole screen uncompressed, until all of it came. Returns {width, height, pixels, colours}.

    The screen may change its size meanwhile, as when a firmware hands over to a kernel: then its parts are asked again.
    """
    width, height, depth = screen["width"], screen["height"], screen["pixel_bytes"]
    pixels, colours = 0, set()
    stream.write(struct.pack(">BxHii", 2, 2, RAW, DESKTOP_SIZE))
    while pixels < width * height:
        stream.write(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        for x, y, wide, high, encoding in _update(stream):
            if encoding == DESKTOP_SIZE and wide and high:
                width, height, pixels, colours = wide, high, 0, set()
            elif encoding == RAW and x + wide <= width and y + high <= height:
                data = stream.read(wide * high * depth)
                pixels += wide * high
                colours.update(data[at : at + depth] for at in range(0, len(data), depth))
            else:
                raise RfbError(f"sent a rectangle of {wide}x{high} in encoding {encoding}, which was not asked")
    return {"width": width, "height": height, "pixels": pixels, "colours": len(colours)}


def _update(stream):
    """The heads of the rectangles of the next update; their data is the caller's to read. Skips all other messages."""
    while True:
        kind = stream.read(1)[0]
        if kind == 0:
            (rectangles,) = struct.unpack(">xH", stream.read(3))
            for _ in range(rectangles):
                yield struct.unpack(">HHHHi", stream.read(12))
            return
        if kind == 1:
            _first, count = struct.unpack(">xHH", stream.read(5))
            stream.read(6 * count)
        elif kind == 3:
            stream.read(3)
            _text(stream)
        elif kind != 2:
            raise RfbError(f"sent a message of unknown kind {kind}")
