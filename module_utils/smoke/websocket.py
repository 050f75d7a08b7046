# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client (RFC 6455) that carries a stream of bytes, as websockify and Nova's console proxies do."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from ansible.module_utils.message import Message, OperatorError

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
LARGEST_FRAME = 64 * 1024 * 1024
LONGEST_HEAD = 65536


class WebSocketError(OperatorError):
    """The console proxy does not speak WebSocket, refused the connection, or closed it."""


class Endpoint(NamedTuple):
    """The addresses that a console URL leads to.

    authority: host and port as the URL names them.
    page: path of the noVNC page.
    path: path of the WebSocket.
    """

    host: str
    port: int
    tls: bool
    authority: str
    page: str
    path: str

    @property
    def origin(self) -> str:
        """Return the origin that a browser would send."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def console_endpoint(url: str) -> Endpoint:
    """Return the endpoint of a console URL: a noVNC page with path=?token=... or token=..., for its script."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if "path" in query:
        path = query["path"][0]
    elif "token" in query:
        path = "?token=" + query["token"][0]
    else:
        page = f"{parts.scheme}://{parts.netloc}{parts.path}"
        raise WebSocketError(Message(f"the console URL {page} has neither path nor token"))
    tls = parts.scheme in ("https", "wss")
    return Endpoint(
        parts.hostname or "",
        parts.port or (443 if tls else 80),
        tls,
        parts.netloc,
        parts.path or "/",
        path if path.startswith("/") else "/" + path,
    )


def http_head(data: bytes) -> tuple[int, str, dict[str, str]]:
    """Return status, reason and headers (with lowercase names) of the head of an HTTP response."""
    lines = data.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/") or not code.isdigit():
        raise WebSocketError(Message(f"the console proxy sent no HTTP response: {lines[0][:80]!r}"))
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(code), reason, headers


def masked(data: bytes, mask: bytes) -> bytes:
    """Return data XOR the four bytes of the mask; as one big integer, which is fast."""
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def frame(opcode: int, data: bytes, mask: bytes) -> bytes:
    """Return a complete frame of a client; clients must mask."""
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + mask + masked(data, mask)


class WebSocket:
    """The stream inside a WebSocket; the socket is connected and has a timeout."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.raw = bytearray()  # received, not yet parsed
        self.stream = bytearray()  # payload, not yet read
        self.closed = False

    def _receive(self, size: int) -> bytes:
        """Return the next bytes from the socket."""
        while len(self.raw) < size:
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                seconds = self.sock.gettimeout() or 0
                raise WebSocketError(Message(f"the console proxy sent no data within {seconds:g} s")) from None
            if not data:
                raise WebSocketError(Message("the console proxy closed the connection"))
            self.raw += data
        part = bytes(self.raw[:size])
        del self.raw[:size]
        return part

    def handshake(self, endpoint: Endpoint, protocol: str = "binary") -> str:
        """Upgrade the connection and return the status of the response."""
        key = base64.b64encode(os.urandom(16))
        request = (
            f"GET {endpoint.path} HTTP/1.1",
            f"Host: {endpoint.authority}",
            f"Origin: {endpoint.origin}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {protocol}",
        )
        self.sock.sendall("".join(f"{line}\r\n" for line in (*request, "")).encode())
        code, reason, headers = http_head(self._receive_head())
        if code != 101:
            raise WebSocketError(
                Message(f"the console proxy answered {code} {reason} instead of 101 Switching Protocols")
            )
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        if headers.get("sec-websocket-accept") != accept:
            raise WebSocketError(Message("Sec-WebSocket-Accept does not match the key of this connection"))
        return f"{code} {reason}"

    def _receive_head(self) -> bytes:
        """Return the head of an HTTP response without the empty line at its end."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not b"HTTP/".startswith(head[:5]) or len(head) > LONGEST_HEAD:
                raise WebSocketError(Message(f"the console proxy sent no HTTP response: {(head + self.raw)[:80]!r}"))
            head += self._receive(1)
        return head[:-4]

    def _frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, second = self._receive(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack(">H", self._receive(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._receive(8))
        if second & 128 or first & 0x70 or size > LARGEST_FRAME:
            head = f"{first:#04x} {second:#04x}"
            raise WebSocketError(Message(f"the console proxy sent a malformed frame (head {head}, {size} bytes)"))
        return first & 15, self._receive(size)

    def read(self, size: int) -> bytes:
        """Return the next bytes of the stream; raise WebSocketError when it ends before."""
        while len(self.stream) < size:
            if self.closed:
                raise WebSocketError(Message("the WebSocket is closed"))
            opcode, payload = self._frame()
            if opcode in (CONTINUATION, TEXT, BINARY):
                self.stream += payload
            elif opcode == PING:
                self.sock.sendall(frame(PONG, payload, os.urandom(4)))
            elif opcode == CLOSE:
                self.closed = True
                code = f" with code {struct.unpack('>H', payload[:2])[0]}" if len(payload) >= 2 else ""
                reason = payload[2:].decode(errors="replace")
                raise WebSocketError(
                    Message(f"the console proxy closed the WebSocket{code}{': ' + reason if reason else ''}")
                )
            elif opcode != PONG:
                raise WebSocketError(Message(f"the console proxy sent a frame of unknown kind {opcode}"))
        part = bytes(self.stream[:size])
        del self.stream[:size]
        return part

    def write(self, data: bytes) -> None:
        """Send bytes of the stream."""
        self.sock.sendall(frame(BINARY, data, os.urandom(4)))

    def close(self) -> None:
        """Close the WebSocket and the socket."""
        try:
            if not self.closed:
                self.sock.sendall(frame(CLOSE, struct.pack(">H", 1000), os.urandom(4)))
        except OSError:
            pass
        self.sock.close()
