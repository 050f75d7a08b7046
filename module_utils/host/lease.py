# SPDX-License-Identifier: Apache-2.0
"""A lock that a run of Ansible holds on a host from one task to the next, and that ends with the run.

No process of the run stays on the host, so the lock is a file with a description of the run. The control node renews
it; a lock that is not renewed belongs to a run that was killed, and anyone may take it.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.host import atomic_file
from ansible.module_utils.host.lock import locked

PATH = "/run/nova-ansible/run.json"  # empty after a boot
RENEWAL = 15  # seconds between two renewals
EXPIRY = 90  # seconds without a renewal after which the lock is free
LOST = 76  # exit status of a command for a lock that the run does not have
TAKING = 10  # seconds to wait for another process that reads or writes the file


def read(path: str) -> dict[str, Any]:
    """Return the description of the run that holds the lock, {} where none does or the file is damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("run") else {}


def age(path: str) -> float:
    """Return the seconds since the last renewal, also after the clock was set back; infinite without a file."""
    try:
        return abs(time.time() - os.stat(path).st_mtime)
    except FileNotFoundError:
        return float("inf")


def is_kept(path: str, run: Mapping[str, Any]) -> bool:
    """Return whether a run has the lock already, and renews it."""
    return read(path).get("run") == run["run"] and age(path) <= 2 * RENEWAL


def take(path: str, run: Mapping[str, Any], ended: str = "", check_mode: bool = False) -> dict[str, Any]:
    """Take the lock for a run, and return {} or the description of the run that has it, with its `age` in seconds.

    run: its description, with `run` as its unique name.
    ended: the unique name of a run that is known to have ended.
    """
    if check_mode:
        return other(path, run, ended)
    with locked(f"{path}.lock", TAKING):
        found = other(path, run, ended)
        if not found:
            atomic_file.write(path, json.dumps(dict(run)), mode=0o600)
        return found


def other(path: str, run: Mapping[str, Any], ended: str = "") -> dict[str, Any]:
    """Return the description of another run that has the lock, with its `age`, or {}."""
    found = read(path)
    if not found or found["run"] in (run["run"], ended):
        return {}
    seconds = age(path)
    return {**found, "age": round(seconds)} if seconds < EXPIRY else {}


def renewal(path: str, name: str) -> str:
    """Return the shell command that renews the lock of a run; it ends with LOST where the run does not have it."""
    return while_held(path, name, f"touch -c {shlex.quote(path)}")


def release(path: str, name: str) -> str:
    """Return the shell command that gives the lock of a run up; it ends with LOST where the run does not have it."""
    return while_held(path, name, f"rm -f {shlex.quote(path)}")


def while_held(path: str, name: str, command: str) -> str:
    """Return a shell command for a run that has the lock. No other run takes it between the question and the act."""
    question = f"grep -qF {shlex.quote(name)} {shlex.quote(path)}"
    script = shlex.quote(f"{question} || exit {LOST}; {command}")
    return f"flock --timeout {TAKING} {shlex.quote(f'{path}.lock')} sh -c {script}"
