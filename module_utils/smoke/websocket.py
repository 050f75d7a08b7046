# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client (RFC 6455) that carries a byte stream, as websockify and Nova's console proxies speak it."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
from urllib.parse import parse_qs, urlsplit

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
LARGEST_FRAME = 64 * 1024 * 1024


class WebSocketError(Exception):
    """The other side did not speak WebSocket, refused, or closed."""


def console_endpoint(url):
    """Where a console URL (a noVNC page with path=?token=... or token=...) makes its page's script connect."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if "path" in query:
        path = query["path"][0]
    elif "token" in query:
        path = "?token=" + query["token"][0]
    else:
        raise WebSocketError(f"the console URL {parts.scheme}://{parts.netloc}{parts.path} has neither path nor token")
    tls = parts.scheme in ("https", "wss")
    return {
        "host": parts.hostname,
        "port": parts.port or (443 if tls else 80),
        "tls": tls,
        "authority": parts.netloc,
        "origin": f"{'https' if tls else 'http'}://{parts.netloc}",
        "page": parts.path or "/",
        "path": path if path.startswith("/") else "/" + path,
    }


def http_head(data):
    """(status, reason, {header: value}) of an HTTP answer's head."""
    lines = data.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/") or not code.isdigit():
        raise WebSocketError(f"not an HTTP answer: {lines[0][:80]!r}")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(code), reason, headers


def masked(data, mask):
    """XOR with the four mask bytes, as one big integer."""
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def frame(opcode, data, mask):
    """A whole client frame; clients must mask."""
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + mask + masked(data, mask)


class WebSocket:
    """read(n) and write(data) of the stream inside the WebSocket; sock is connected and has a timeout."""

    def __init__(self, sock):
        self.sock = sock
        self.raw = bytearray()  # received, not yet parsed
        self.stream = bytearray()  # payload, not yet read
        self.closed = False

    def _receive(self, size):
        while len(self.raw) < size:
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                raise WebSocketError(f"no more data within {self.sock.gettimeout():g} s") from None
            if not data:
                raise WebSocketError("the connection was closed by the other side")
            self.raw += data
        part = bytes(self.raw[:size])
        del self.raw[:size]
        return part

    def handshake(self, endpoint, protocol="binary"):
        """Upgrade the connection; returns the answer's status line."""
        key = base64.b64encode(os.urandom(16))
        self.sock.sendall(
            "\r\n".join(
                (
                    f"GET {endpoint['path']} HTTP/1.1",
                    f"Host: {endpoint['authority']}",
                    f"Origin: {endpoint['origin']}",
                    "Upgrade: websocket",
                    "Connection: Upgrade",
                    f"Sec-WebSocket-Key: {key.decode()}",
                    "Sec-WebSocket-Version: 13",
                    f"Sec-WebSocket-Protocol: {protocol}",
                    "",
                    "",
                )
            ).encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not b"HTTP/".startswith(head[:5]) or len(head) > 65536:
                raise WebSocketError(f"not an HTTP answer: {(head + self.raw)[:80]!r}")
            head += self._receive(1)
        code, reason, headers = http_head(head[:-4])
        if code != 101:
            raise WebSocketError(f"answered {code} {reason} instead of 101 Switching Protocols")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        if headers.get("sec-websocket-accept") != accept:
            raise WebSocketError("Sec-WebSocket-Accept is not the answer to our key")
        return f"{code} {reason}"

    def _frame(self):
        """(opcode, payload) of the next frame."""
        first, second = self._receive(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack(">H", self._receive(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._receive(8))
        if second & 128 or first & 0x70 or size > LARGEST_FRAME:
            raise WebSocketError(f"a malformed frame (head {first:#04x} {second:#04x}, {size} bytes)")
        return first & 15, self._receive(size)

    def read(self, size):
        while len(self.stream) < size:
            if self.closed:
                raise WebSocketError("the WebSocket is closed")
            opcode, payload = self._frame()
            if opcode in (CONTINUATION, TEXT, BINARY):
                self.stream += payload
            elif opcode == PING:
                self.sock.sendall(frame(PONG, payload, os.urandom(4)))
            elif opcode == CLOSE:
                self.closed = True
                code = f" with code {struct.unpack('>H', payload[:2])[0]}" if len(payload) >= 2 else ""
                reason = payload[2:].decode(errors="replace")
                raise WebSocketError(f"the other side closed the WebSocket{code}{': ' + reason if reason else ''}")
            elif opcode != PONG:
                raise WebSocketError(f"a frame of unknown kind {opcode}")
        part = bytes(self.stream[:size])
        del self.stream[:size]
        return part

    def write(self, data):
        self.sock.sendall(frame(BINARY, data, os.urandom(4)))

    def close(self):
        try:
            if not self.closed:
                self.sock.sendall(frame(CLOSE, struct.pack(">H", 1000), os.urandom(4)))
        except OSError:
            pass
        self.sock.close()
