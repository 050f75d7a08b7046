# SPDX-License-Identifier: Apache-2.0
"""Read what the test guest said on its console (guest_init.py writes it)."""

from __future__ import annotations

import re


def lines(console):
    """The guest's own lines; a console log has carriage returns, and may begin in the middle of a line."""
    return [line.strip() for line in console.replace("\r", "\n").split("\n") if line.strip().startswith("GUEST-")]


def report(console):
    """{banner, disk, address, routes, metadata: {}, heartbeat, trouble: [], lines: []}; of each kind the last."""
    found = {
        "banner": "",
        "disk": "",
        "address": "",
        "routes": "",
        "metadata": {},
        "heartbeat": "",
        "trouble": [],
        "lines": lines(console),
    }
    for line in found["lines"]:
        kind, _, rest = line.partition(" ")
        if kind == "GUEST-BANNER":
            found["banner"] = rest
        elif kind == "GUEST-DISK":
            found["disk"] = rest
        elif kind == "GUEST-ALIVE":
            found["heartbeat"] = rest
        elif kind == "GUEST-DHCP" and (match := re.match(r"(\d+(?:\.\d+){3})\b.*?routes=\[([^]]*)\]", rest)):
            found["address"], found["routes"] = match.groups()
        elif kind == "GUEST-META" and "=" in rest.split(" ")[0]:
            found["metadata"] = dict(word.split("=", 1) for word in rest.split(" up ")[0].split() if "=" in word)
        elif kind in ("GUEST-DHCP", "GUEST-META", "GUEST-ERROR"):
            found["trouble"].append(line)
    return found


def tail(console, count=12):
    """The last lines that hold something, for an error message."""
    return [line.rstrip() for line in console.replace("\r", "\n").split("\n") if line.strip()][-count:]
