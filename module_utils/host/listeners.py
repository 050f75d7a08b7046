# SPDX-License-Identifier: Apache-2.0
"""Find out which process and which systemd unit listens on a TCP port, from `ss` and the cgroups of the processes."""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible.module_utils.host import commands


class Listener(NamedTuple):
    """A process that listens on a port, and its unit; "" where no unit started it."""

    process: str
    unit: str


def parse_ss(text: str) -> dict[int, list[tuple[str, int]]]:
    """Return {port: [(process name, pid), ...]} from the output of `ss -Hltnp`."""
    found: dict[int, list[tuple[str, int]]] = {}
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 5 or not fields[3].rsplit(":", 1)[-1].isdigit():
            continue
        users = re.findall(r'\("([^"]*)",pid=(\d+)', fields[5]) if len(fields) > 5 else []
        found.setdefault(int(fields[3].rsplit(":", 1)[1]), []).extend((name, int(pid)) for name, pid in users)
    return found


def unit_of(cgroup: str) -> str:
    """Return the innermost service, socket or scope in the text of /proc/PID/cgroup, or ""."""
    units = re.findall(r"([^/\n]+\.(?:service|socket|scope))", cgroup)
    return units[-1] if units else ""


def listeners() -> dict[int, list[Listener]]:
    """Return the listening processes of each TCP port that is in use."""
    result: dict[int, list[Listener]] = {}
    for port, users in parse_ss(commands.run(["ss", "-Hltnp"]).out).items():
        for name, pid in users:
            try:
                with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
                    unit = unit_of(stream.read())
            except OSError:  # the process has ended since
                continue
            result.setdefault(port, []).append(Listener(name, unit))
    return result
