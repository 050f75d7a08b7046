# SPDX-License-Identifier: Apache-2.0
"""Who listens on which TCP port: port -> process and systemd unit, from `ss` and the processes' cgroups."""

from __future__ import annotations

import re
import subprocess


def parse_ss(text: str) -> dict:
    """{port: [(process name, pid), ...]} from the output of `ss -Hltnp`."""
    found: dict = {}
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 5 or not fields[3].rsplit(":", 1)[-1].isdigit():
            continue
        users = re.findall(r'\("([^"]*)",pid=(\d+)', fields[5]) if len(fields) > 5 else []
        found.setdefault(int(fields[3].rsplit(":", 1)[1]), []).extend((name, int(pid)) for name, pid in users)
    return found


def unit_of(cgroup: str) -> str:
    """The innermost .service or .socket in the text of /proc/PID/cgroup, or an empty text."""
    units = re.findall(r"([^/\n]+\.(?:service|socket|scope))", cgroup)
    return units[-1] if units else ""


def listening_units() -> dict:
    """{port: [{process, unit}, ...]} of every listening TCP port, one entry for each process."""
    shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
    result: dict = {}
    for port, users in parse_ss(shown).items():
        for name, pid in users:
            try:
                with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
                    unit = unit_of(stream.read())
            except OSError:
                continue
            result.setdefault(port, []).append({"process": name, "unit": unit})
    return result
