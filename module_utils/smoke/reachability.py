# SPDX-License-Identifier: Apache-2.0
"""What answers at an address: ping and TCP, from where this runs.

Standard library only and complete in itself: `program` gives this file's text with a question at its end, to be read by
a Python that runs in the place to look from (a network namespace, another machine).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(ident, number):
    body = struct.pack(">HH", ident, number) + b"nova-ansible"
    return struct.pack(">BBH", 8, 0, checksum(b"\x08\x00\x00\x00" + body)) + body


def echo_reply(packet, ident):
    """The number of our echo request that an IPv4 packet answers, or None."""
    head = (packet[0] & 15) * 4
    kind, _code, _sum, who, number = struct.unpack_from(">BBHHH", packet, head) if len(packet) >= head + 8 else (0,) * 5
    return number if packet[9] == 1 and kind == 0 and who == ident else None


def ping(address, count=3, seconds=5.0):
    """Send echo requests every 0.2 s until `count` of them are answered or the time is over."""
    ident, sent, times, end = os.getpid() & 0xFFFF, {}, [], time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        while len(times) < count and time.monotonic() < end:
            number = len(sent) + 1
            try:
                sock.sendto(echo_request(ident, number), (address, 0))
            except OSError as error:
                return {"sent": number, "answered": len(times), "error": str(error)}
            sent[number] = time.monotonic()
            pause = sent[number] + 0.2
            while len(times) < count and time.monotonic() < pause:
                sock.settimeout(max(0.001, pause - time.monotonic()))
                try:
                    packet, sender = sock.recvfrom(2048)
                except socket.timeout:
                    break
                began = sent.get(echo_reply(packet, ident)) if sender[0] == address else None
                if began is not None:
                    times.append(1000 * (time.monotonic() - began))
    return {"sent": len(sent), "answered": len(times), "milliseconds": round(min(times), 2) if times else None}


def connect(address, port, seconds=5.0):
    """state: open (with the first line that is said), refused, silent, or the network's error."""
    try:
        with socket.create_connection((address, port), seconds) as sock:
            sock.settimeout(seconds)
            said = b""
            try:
                while b"\n" not in said and len(said) < 256:
                    part = sock.recv(256)
                    if not part:
                        break
                    said += part
            except OSError:
                pass
            return {"state": "open", "said": said.split(b"\n")[0].decode(errors="replace").strip()}
    except socket.timeout:
        return {"state": "silent"}
    except OSError as error:
        return {"state": "refused" if error.errno == errno.ECONNREFUSED else f"{error}"}


def look(asked):
    """asked: [{address, ping: seconds} or {address, port, seconds}], all at once; the answers in the same order."""
    answers = [None] * len(asked)

    def one(index, what):
        try:
            if "port" in what:
                answers[index] = connect(what["address"], what["port"], what["seconds"])
            else:
                answers[index] = ping(what["address"], seconds=what["ping"])
        except OSError as error:
            answers[index] = {"state": str(error), "error": str(error), "sent": 0, "answered": 0}

    threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in enumerate(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def program(asked):
    """Python source whose last line of output is look(asked) as JSON; to be given to `python3 -`."""
    return f"{__loader__.get_source(__name__)}\nimport json\nprint(json.dumps(look({asked!r})))\n"
