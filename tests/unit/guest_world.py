# SPDX-License-Identifier: Apache-2.0
"""A network, a DHCP server and a metadata service around one real QEMU guest. Run by test_guest_boots.py in a network
namespace of its own (`unshare --net`), so nothing here touches the machine's network. Prints what was seen as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import reachability

HOST, GUEST = "10.99.0.1", "10.99.0.23"
METADATA = {
    "/latest/meta-data/instance-id": "i-00000007",
    "/latest/meta-data/hostname": "living.novalocal",
    "/latest/meta-data/local-ipv4": GUEST,
    "/openstack/latest/meta_data.json": json.dumps({"name": "living", "uuid": "3fb52a3c-0b3c-4b0f-8d2f-1f6a4a1c9b11"}),
}


def run(*argv):
    subprocess.run(argv, check=True)


def open_tap(name):
    """A persistent tap device, so that QEMU can open it again by name."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000))  # TUNSETIFF, IFF_TAP|IFF_NO_PI
    fcntl.ioctl(tun, 0x400454CB, 1)  # TUNSETPERSIST
    os.close(tun)
    run("ip", "address", "add", f"{HOST}/24", "dev", name)
    run("ip", "link", "set", name, "up")
    run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    run("ip", "link", "set", "lo", "up")


def option(code, *values):
    data = b"".join(socket.inet_aton(value) if isinstance(value, str) else value for value in values)
    return bytes((code, len(data))) + data


def serve_dhcp(tap, deaf):
    """Lease GUEST to whoever asks, with the metadata route that Neutron gives, but drop the first `deaf` requests."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
    sock.bind(("0.0.0.0", 67))
    heard = 0
    while True:
        request = sock.recv(2048)
        options, at = {}, 240
        while request[at] != 255:
            options[request[at]] = request[at + 2 : at + 2 + request[at + 1]]
            at += 2 + request[at + 1]
        heard += 1
        if heard <= deaf:
            continue
        kind = {1: 2, 3: 5}.get(options[53][0])  # discover -> offer, request -> ack
        head = struct.pack(">BBBB", 2, 1, 6, 0) + request[4:8] + b"\0" * 8
        head += socket.inet_aton(GUEST) + socket.inet_aton(HOST) + b"\0" * 4 + request[28:44] + b"\0" * 192
        head += request[236:240]
        routes = (b"\x20" + socket.inet_aton("169.254.169.254"), HOST, b"\x00", HOST)
        answer = head + option(53, bytes((kind,))) + option(54, HOST) + option(51, struct.pack(">I", 86400))
        answer += option(1, "255.255.255.0") + option(121, *routes) + option(26, struct.pack(">H", 1442)) + b"\xff"
        sock.sendto(answer, ("255.255.255.255", 68))


class Metadata(BaseHTTPRequestHandler):
    refuse = 0

    def do_GET(self):
        Metadata.refuse -= 1
        body = METADATA.get(self.path) if Metadata.refuse < 0 else None
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write((body or "no").encode())

    def log_message(self, *_):
        pass


def main():
    folder, settings = sys.argv[1], json.loads(sys.argv[2])
    open_tap("tap0")
    Metadata.refuse = settings.get("metadata_refusals", 0)
    threading.Thread(target=serve_dhcp, args=("tap0", settings.get("dhcp_deaf", 0)), daemon=True).start()
    threading.Thread(target=ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever, daemon=True).start()
    with open(os.path.join(folder, "guest.json"), encoding="utf-8") as stamp:
        image = json.load(stamp)
    began, console, times = time.monotonic(), [], {}
    argv = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-display",
        "none",
        "-m",
        str(settings.get("memory_mb", image["recipe"]["memory_mb"])),
        "-monitor",
        "unix:monitor,server=on,wait=off",
        "-kernel",
        f"{folder}/kernel",
        "-initrd",
        f"{folder}/initramfs",
        "-append",
        image["recipe"]["command_line"],
        "-drive",
        f"file={folder}/disk,format=raw,if=virtio,snapshot=on",
        "-serial",
        "stdio",
        "-netdev",
        "tap,id=n,ifname=tap0,script=no,downscript=no",
        "-device",
        "virtio-net-pci,netdev=n,romfile=",
    ]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as guest:
        limit = threading.Timer(settings.get("limit", 90), guest.kill)
        limit.start()
        seen = {}
        for raw in guest.stdout:
            line = raw.decode(errors="replace").rstrip()
            console.append(line)
            times.setdefault(line.split(" ")[0], round(time.monotonic() - began, 2))
            if line.startswith("GUEST-ALIVE"):
                asked = [
                    {"address": GUEST, "ping": 5},
                    *({"address": GUEST, "port": port, "seconds": 3} for port in (22, 22, 2222, 80)),
                ]
                seen = reachability.look(asked)
                monitor = socket.socket(socket.AF_UNIX)
                monitor.connect("monitor")
                monitor.sendall(b"system_powerdown\n")
                pressed = time.monotonic()
        code = guest.wait()
        limit.cancel()
    print(
        json.dumps(
            {
                "console": console,
                "times": times,
                "seen": seen,
                "code": code,
                "stopped_after": round(time.monotonic() - pressed, 2) if seen else None,
            }
        )
    )


if __name__ == "__main__":
    main()
