# SPDX-License-Identifier: Apache-2.0
"""Describe this run of ansible-playbook, and tell whether one on this control node still runs."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

# Where these differ, the numbers of processes mean something else.
NODE_FILES = ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid")
COMMAND_LENGTH = 200  # characters


def describe() -> dict[str, Any]:
    """Return the description of the run that this worker process belongs to."""
    pid = os.getppid()
    node = node_id()
    return {
        "run": uuid.uuid5(uuid.NAMESPACE_OID, f"{node} {pid} {started(pid)}").hex,
        "user": os.environ.get("SUDO_USER") or user(),
        "node": socket.gethostname(),
        "node_id": node,
        "pid": pid,
        "started": started(pid),
        "since": datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        "command": f"{Path(sys.argv[0]).name} {' '.join(playbooks())}".strip()[:COMMAND_LENGTH],
    }


def playbooks() -> list[str]:
    """Return the playbooks on the command line; other arguments can hold a secret."""
    return [word for word in sys.argv[1:] if word.endswith((".yml", ".yaml")) and not word.startswith(("-", "@"))]


def user() -> str:
    """Return the name of the user, or the number of one that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def node_id() -> str:
    """Return what identifies this boot of the control node and its space of process numbers."""
    found = [socket.gethostname()]
    for path in NODE_FILES:
        try:
            found.append(os.readlink(path) if os.path.islink(path) else Path(path).read_text(encoding="ascii").strip())
        except OSError:  # no Linux
            continue
    return " ".join(found)


def started(pid: int) -> str:
    """Return when a process started, in ticks since the boot; "" where it does not run or that cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def runs(pid: int, since: str) -> bool:
    """Return whether the process still runs that had this number and this start."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not since or started(pid) == since


def has_ended(run: Mapping[str, Any]) -> bool:
    """Return whether a run is known to have ended: it was on this control node, and its process is gone."""
    return run.get("node_id") == node_id() and not runs(int(run.get("pid") or 0), str(run.get("started") or ""))
