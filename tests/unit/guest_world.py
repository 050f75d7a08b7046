# SPDX-License-Identifier: Apache-2.0
"""Boot the real guest in QEMU with a network, a DHCP server and a metadata service, and print what was seen as JSON.

test_guest_boots.py runs it in a separate network namespace (`unshare --net`), so that the network of this machine is
left alone.

usage: guest_world.py DIRECTORY SETTINGS    DIRECTORY: an image; SETTINGS: the fields of Settings as JSON
"""

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
from typing import NamedTuple

import reachability  # PYTHONPATH has its directory: this is not the process of the tests
from reachability import Connect, Ping

HOST, GUEST = "10.99.0.1", "10.99.0.23"
METADATA = {
    "/latest/meta-data/instance-id": "i-00000007",
    "/latest/meta-data/hostname": "vm.novalocal",
    "/latest/meta-data/local-ipv4": GUEST,
    "/openstack/latest/meta_data.json": json.dumps({"name": "vm", "uuid": "3fb52a3c-0b3c-4b0f-8d2f-1f6a4a1c9b11"}),
}


class Settings(NamedTuple):
    """How the guest is booted; the limit is in seconds.

    dhcp_deaf: how many requests the DHCP server ignores first.
    metadata_refusals: how many requests the metadata service refuses first.
    """

    limit: float = 90
    memory_mb: int = 0  # 0: that of the image
    dhcp_deaf: int = 0
    metadata_refusals: int = 0


def run(*argv: str) -> None:
    """Run a command."""
    subprocess.run(argv, check=True)


def open_tap(name: str) -> None:
    """Make a tap device; it is persistent, so that QEMU can open it again by name."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000))  # TUNSETIFF, IFF_TAP|IFF_NO_PI
    fcntl.ioctl(tun, 0x400454CB, 1)  # TUNSETPERSIST
    os.close(tun)
    run("ip", "address", "add", f"{HOST}/24", "dev", name)
    run("ip", "link", "set", name, "up")
    run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    run("ip", "link", "set", "lo", "up")


def option(code: int, *values: str | bytes) -> bytes:
    """Return an option of DHCP; texts are IPv4 addresses."""
    data = b"".join(socket.inet_aton(value) if isinstance(value, str) else value for value in values)
    return bytes((code, len(data))) + data


def serve_dhcp(tap: str, deaf: int) -> None:
    """Lease GUEST to every client, with Neutron's route to the metadata service; ignore the first `deaf` requests."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
    sock.bind(("0.0.0.0", 67))
    received = 0
    while True:
        request = sock.recv(2048)
        options, at = {}, 240
        while request[at] != 255:
            options[request[at]] = request[at + 2 : at + 2 + request[at + 1]]
            at += 2 + request[at + 1]
        received += 1
        if received <= deaf:
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
    """A metadata service that refuses the first `refuse` requests."""

    refuse = 0

    def do_GET(self) -> None:
        """Answer a request."""
        Metadata.refuse -= 1
        body = METADATA.get(self.path) if Metadata.refuse < 0 else None
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write((body or "no").encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def qemu_argv(directory: str, recipe: dict, memory_mb: int) -> list[str]:
    """Return the command that boots an image; its console is the standard output."""
    options = {
        "accel": "tcg",
        "display": "none",
        "m": str(memory_mb or recipe["memory_mb"]),
        "monitor": "unix:monitor,server=on,wait=off",
        "kernel": f"{directory}/kernel",
        "initrd": f"{directory}/initramfs",
        "append": recipe["command_line"],
        "drive": f"file={directory}/disk,format=raw,if=virtio,snapshot=on",
        "serial": "stdio",
        "netdev": "tap,id=n,ifname=tap0,script=no,downscript=no",
        "device": "virtio-net-pci,netdev=n,romfile=",
    }
    return ["qemu-system-x86_64", *(part for name, value in options.items() for part in (f"-{name}", value))]


def press_power_button(monitor: socket.socket) -> None:
    """Send the guest the ACPI signal of its power button, as Nova does to stop an instance.

    QEMU drops the command when the connection is closed before it was read.
    """
    monitor.connect("monitor")
    monitor.sendall(b"system_powerdown\n")


def boot(argv: list[str], limit: float) -> dict:
    """Boot the guest, look at it when it reports that it is alive, switch it off, and return what was seen."""
    start, console, times = time.monotonic(), [], {}
    answers: list[reachability.Answer] = []
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with socket.socket(socket.AF_UNIX) as monitor, subprocess.Popen(argv, **streams) as guest:
        timer = threading.Timer(limit, guest.kill)
        timer.start()
        for raw in guest.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            console.append(line)
            times.setdefault(line.split(" ")[0], round(time.monotonic() - start, 2))
            if line.startswith("GUEST-ALIVE"):
                answers = reachability.look([Ping(GUEST), *(Connect(GUEST, port, 3) for port in (22, 22, 2222, 80))])
                press_power_button(monitor)
                pressed = time.monotonic()
        code = guest.wait()
        timer.cancel()
    return {
        "console": console,
        "times": times,
        "answers": [answer._asdict() for answer in answers],
        "code": code,
        "stopped_after": round(time.monotonic() - pressed, 2) if answers else None,
    }


def main() -> None:
    """Run the program."""
    directory, settings = sys.argv[1], Settings(**json.loads(sys.argv[2]))
    open_tap("tap0")
    Metadata.refuse = settings.metadata_refusals
    threading.Thread(target=serve_dhcp, args=("tap0", settings.dhcp_deaf), daemon=True).start()
    threading.Thread(target=ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever, daemon=True).start()
    with open(os.path.join(directory, "guest.json"), encoding="utf-8") as stamp:
        recipe = json.load(stamp)["recipe"]
    print(json.dumps(boot(qemu_argv(directory, recipe, settings.memory_mb), settings.limit)))


if __name__ == "__main__":
    main()
