# SPDX-License-Identifier: Apache-2.0
"""Read the properties of systemd units, and compare them with the state that they should be in.

Pure functions, no I/O. Names and values of properties are those of systemctl(1) and org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_RESTARTS = 3  # by systemd, while the services that a unit needs come up
PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "UnitFileState",
    "NeedDaemonReload",
    "FragmentPath",
    "DropInPaths",
    "TriggeredBy",
    "Job",
    "NRestarts",
    "ExecMainStatus",
    "ExecMainStartTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
    "CanReload",
    "ReloadResult",
)
# Lines of a log or journal that the state of the unit tells as well.
NOISE = re.compile(
    r" (?:TRACE|ERROR|CRITICAL) \S+ *[~^]*$"  # the underlining of code in a Python traceback
    r"|^(?:Starting|Started|Stopping|Stopped|Failed to start) .*\.\.?\.?$"
    r"|^\S+\.\w+: (?:Consumed|Scheduled restart|Deactivated|Failed with result|Main process exited)"
    r"|known eventlet monkey patching issues"
)
_SUFFIX = re.compile(r"\.(?:service|socket|timer|mount|automount|target|path|slice|swap)$")


def full_name(name: str) -> str:
    """Return the name with its type, as systemctl does: nova-api -> nova-api.service."""
    return name if _SUFFIX.search(name) else f"{name}.service"


def parse_show(text: str) -> list[dict[str, str]]:
    """Return the properties of each unit from the output of `systemctl show`, in the order of its arguments."""
    blocks = re.split(r"\n[ \t]*\n", text.strip())
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks if block.strip()]


def runs(show: Mapping[str, str]) -> bool:
    """Tell whether the unit is up."""
    return show.get("ActiveState") in ("active", "reloading")


def started_at(show: Mapping[str, str]) -> float:
    """Return when the unit started, in seconds of the monotonic clock; 0 when it does not run.

    The start of the process counts, not the moment when it reported to be ready: it reads its files in between.
    """
    if not runs(show):
        return 0.0
    stamps = [int(show.get(f"{name}TimestampMonotonic") or 0) for name in ("ExecMainStart", "ActiveEnter")]
    return min([stamp for stamp in stamps if stamp] or [0]) / 1e6


def read_files_at(show: Mapping[str, str]) -> float:
    """Return when the unit last read its files: at its start, or at a successful reload since; seconds as started_at.

    A running unit changes its state only for a reload. The start of ExecReload is less useful: systemd shows it in
    whole seconds, and forgets it at the next daemon-reload.
    """
    entered, changed = (int(show.get(f"{name}TimestampMonotonic") or 0) for name in ("ActiveEnter", "StateChange"))
    if runs(show) and changed > entered > 0 and show.get("ReloadResult", "success") == "success":
        return changed / 1e6
    return started_at(show)


def is_waiting(show: Mapping[str, str], trigger_states: Mapping[str, str]) -> bool:
    """Tell whether the unit ended with success and a listening socket will start it again when it is needed.

    trigger_states: ActiveState of each unit that can trigger this one.
    """
    triggers = show.get("TriggeredBy", "").split()
    succeeded = show.get("ActiveState") == "inactive" and show.get("Result") == "success"
    return succeeded and any(trigger_states.get(name) == "active" for name in triggers if name.endswith(".socket"))


def start_result(show: Mapping[str, str], trigger_states: Mapping[str, str], now: float, settle: float) -> str:
    """Return how the start of a unit goes: `up` once its process has run for `settle` seconds, `broken`, or `wait`.

    systemd may restart a service while the services it needs come up; at the third restart it is broken.
    now: seconds of the monotonic clock.
    """
    if int(show.get("NRestarts") or 0) >= MAX_RESTARTS:
        return "broken"
    if int(show.get("Job") or 0):  # the start is still queued
        return "wait"
    if runs(show):
        return "up" if now - started_at(show) >= settle else "wait"
    if show.get("ActiveState") in ("failed", "inactive"):
        return "up" if is_waiting(show, trigger_states) else "broken"
    return "wait"


def enabling(show: Mapping[str, str], wanted: bool) -> str:
    """Return the verb of systemctl that makes the unit start at boot, or not: enable, disable or ""."""
    state = show.get("UnitFileState", "")
    if wanted and state in ("disabled", "enabled-runtime"):
        return "enable"
    if not wanted and state in ("enabled", "enabled-runtime"):
        return "disable"
    return ""


def describe(show: Mapping[str, str]) -> str:
    """Return state, result, exit status and number of restarts as a short text."""
    text = f"{show.get('ActiveState', 'unknown')} ({show.get('SubState', '?')})"
    if show.get("Result", "success") != "success":
        text += f", result {show['Result']}"
    if show.get("ExecMainStatus", "0") not in ("", "0"):
        text += f", exit status {show['ExecMainStatus']}"
    if int(show.get("NRestarts") or 0):
        text += f", restarted by systemd {show['NRestarts']} times"
    return text
