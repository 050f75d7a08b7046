# SPDX-License-Identifier: Apache-2.0
"""Read what the test guest reported on its console (guest_init.py writes it)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ansible.module_utils.host import output


@dataclass
class GuestReport:
    """The report of a guest: of each kind its last line, empty until the guest wrote it."""

    banner: str = ""
    disk: str = ""
    address: str = ""
    routes: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    heartbeat: str = ""
    trouble: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def report_lines(console: str) -> list[str]:
    """Return the lines of the report; a console log may begin in the middle of a line."""
    return [line.strip() for line in output.lines_of(console) if line.strip().startswith("GUEST-")]


def report(console: str) -> GuestReport:
    """Return the report that a console log holds."""
    found = GuestReport(lines=report_lines(console))
    for line in found.lines:
        kind, _, rest = line.partition(" ")
        lease = re.match(r"(\d+(?:\.\d+){3})\b.*?routes=\[([^]]*)\]", rest) if kind == "GUEST-DHCP" else None
        if kind == "GUEST-BANNER":
            found.banner = rest
        elif kind == "GUEST-DISK":
            found.disk = rest
        elif kind == "GUEST-ALIVE":
            found.heartbeat = rest
        elif lease:
            found.address, found.routes = lease.groups()
        elif kind == "GUEST-META" and "=" in rest.split(" ")[0]:
            found.metadata = dict(word.split("=", 1) for word in rest.split(" up ")[0].split() if "=" in word)
        elif kind in ("GUEST-DHCP", "GUEST-META", "GUEST-ERROR"):
            found.trouble.append(line)
    return found
