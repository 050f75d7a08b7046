# SPDX-License-Identifier: Apache-2.0
"""Take the lock of a cloud for this run, and keep it until ansible-playbook has ended.

The module of this name reads and writes the lock. A child of this worker process, which outlives the task, renews it
over the connection of the task, and removes it when the process of ansible-playbook is gone.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.module_utils.host import lease
from ansible.module_utils.message import Message
from ansible.plugins.action import ActionBase
from ansible.plugins.plugin_utils import run as this_run
from ansible.utils.display import Display

INTERVAL = 5  # seconds between two attempts to take the lock
WATCH = 0.5  # seconds between two looks whether ansible-playbook still runs


class ActionModule(ActionBase):
    """Take the lock of a cloud."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("wait", "path"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return an unchanged result, or fail with a description of the run that has the lock."""
        result = super().run(tmp, task_vars)
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True}
        _spec, options = self.validate_argument_spec(
            {"wait": {"type": "int", "default": 0}, "path": {"type": "path", "default": lease.PATH}}
        )
        mine = this_run.describe()
        taken = self.take(mine, options, task_vars or {})
        if taken.get("failed"):
            return {**result, **taken}
        if taken.get("held_by"):
            host = (task_vars or {}).get("inventory_hostname") or "the first controller"
            return {**result, "failed": True, "msg": refusal(taken["held_by"], self._task.delegate_to or host)}
        if not taken.get("kept"):
            keep(mine, lambda command: self.on_host(command), options["path"])
        return {**result, "changed": False}

    def take(self, mine: dict[str, Any], options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the module, of the last attempt."""
        arguments: dict[str, Any] = {"run": mine, "path": options["path"]}
        end, shown = time.monotonic() + options["wait"], False
        while True:
            taken = self._execute_module(module_name="run_lock", module_args=arguments, task_vars=variables)
            holder = taken.get("held_by")
            if taken.get("failed") or not holder:
                return taken
            if this_run.has_ended(holder):
                arguments["ended"] = holder["run"]
                continue
            expires = holder["age"] > 2 * lease.RENEWAL  # its run was killed, or cannot reach the host
            if not expires and time.monotonic() >= end:
                return taken
            if not shown:
                Display().display(waiting(holder, expires))
                shown = True
            time.sleep(INTERVAL)

    def on_host(self, command: str) -> int:
        """Return the exit status of a shell command on the host of the lock."""
        return int(self._low_level_execute_command(command)["rc"])


def described(holder: dict[str, Any]) -> str:
    """Return who holds a lock, for a message."""
    command = f" ({holder['command']})" if holder.get("command") else ""
    return f"{holder.get('user')} on {holder.get('node')}, process {holder.get('pid')}{command}"


def refusal(holder: dict[str, Any], host: str) -> Message:
    """Return the message to a run that cannot have the lock."""
    return Message(
        f"Another run changes this cloud: {described(holder)}, which holds the lock on {host} since "
        f"{holder.get('since')}. Run again when it has ended, or set deploy_lock_wait to the seconds to wait for it."
    )


def waiting(holder: dict[str, Any], expires: bool) -> str:
    """Return the line that is shown once to a run that waits."""
    if expires:
        return (
            f"The lock of {described(holder)} was last renewed {holder['age']} s ago; "
            f"waiting until it expires, {lease.EXPIRY} s after that."
        )
    return f"Waiting for another run: {described(holder)}, since {holder.get('since')}."


def keep(mine: dict[str, Any], on_host: Callable[[str], int], path: str) -> None:
    """Start the process that renews the lock until this run of ansible-playbook has ended."""
    if os.fork():
        return
    try:
        detach()
        renew(mine, on_host, path)
    finally:
        os._exit(0)


def detach() -> None:
    """Leave the worker: its group gets the signals of the terminal, and its display writes to a queue."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    display = Display()
    display._final_q = None
    display.verbosity = 0


def renew(mine: dict[str, Any], on_host: Callable[[str], int], path: str) -> None:
    """Renew the lock until the run has ended, then remove it. End where another run has taken it."""
    due = time.monotonic() + lease.RENEWAL
    while this_run.runs(mine["pid"], mine["started"]):
        if time.monotonic() >= due:
            due = time.monotonic() + lease.RENEWAL
            with contextlib.suppress(Exception):  # the host may come back before the lock expires
                if on_host(lease.renewal(path, mine["run"])) == lease.LOST:
                    return
        time.sleep(WATCH)
    with contextlib.suppress(Exception):
        on_host(lease.release(path, mine["run"]))
