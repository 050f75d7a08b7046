# SPDX-License-Identifier: Apache-2.0
"""What systemd says about units, and what that means for the state they shall be in. Pure functions, no I/O."""

from __future__ import annotations

import re

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
_NOISE = re.compile(
    r" (?:TRACE|ERROR|CRITICAL) \S+ *[~^]*$"  # the underlining of code in a Python traceback
    r"|^(?:Starting|Started|Stopping|Stopped|Failed to start) .*\.\.?\.?$"
    r"|^\S+\.\w+: (?:Consumed|Scheduled restart|Deactivated|Failed with result|Main process exited)"
    r"|known eventlet monkey patching issues"
)
_SUFFIX = re.compile(r"\.(?:service|socket|timer|mount|automount|target|path|slice|swap)$")


def full_name(name: str) -> str:
    """Return the name with its type, as systemctl does: nova-api -> nova-api.service."""
    return name if _SUFFIX.search(name) else f"{name}.service"


def parse_show(text: str) -> list:
    """Return the properties of each unit from the output of `systemctl show`, in the order asked for."""
    blocks = re.split(r"\n[ \t]*\n", text.strip())
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks if block.strip()]


def started_at(show: dict) -> float:
    """Return when the unit began to run, in seconds of the monotonic clock; 0 when it does not run.

    The start of the process counts, not the moment it called itself ready: it reads its files in between.
    """
    if show.get("ActiveState") not in ("active", "reloading"):
        return 0.0
    stamps = [int(show.get(f"{name}TimestampMonotonic") or 0) for name in ("ExecMainStart", "ActiveEnter")]
    return min([stamp for stamp in stamps if stamp] or [0]) / 1e6


def told_at(show: dict) -> float:
    """Return when the unit last read its files: at its start, or at a reload that succeeded since.

    A unit that runs changes its state only for a reload, whoever asked for it. The start of ExecReload tells less: it
    is shown in whole seconds, and forgotten at the next daemon-reload.
    """
    entered, changed = (int(show.get(f"{name}TimestampMonotonic") or 0) for name in ("ActiveEnter", "StateChange"))
    if runs(show) and changed > entered > 0 and show.get("ReloadResult", "success") == "success":
        return changed / 1e6
    return started_at(show)


def runs(show: dict) -> bool:
    """Tell whether the unit is up."""
    return show.get("ActiveState") in ("active", "reloading")


def is_waiting(show: dict, trigger_states: dict) -> bool:
    """Tell whether the unit ended well and a socket that listens will start it again when it is needed."""
    triggers = show.get("TriggeredBy", "").split()
    ended_well = show.get("ActiveState") == "inactive" and show.get("Result") == "success"
    return ended_well and any(trigger_states.get(name) == "active" for name in triggers if name.endswith(".socket"))


def verdict(show: dict, trigger_states: dict, now: float, settle: float) -> str:
    """Return up, broken or wait for a unit that was started; up is one whose process has stayed for `settle` seconds.

    A service may die and be started again by systemd while what it needs comes up; the third death is too much.
    """
    if int(show.get("NRestarts") or 0) >= 3:
        return "broken"
    if int(show.get("Job") or 0):  # what was asked for has not happened yet
        return "wait"
    if runs(show):
        return "up" if now - started_at(show) >= settle else "wait"
    if show.get("ActiveState") in ("failed", "inactive"):
        return "up" if is_waiting(show, trigger_states) else "broken"
    return "wait"


def enabling(show: dict, wanted: bool) -> str:
    """Return the verb that makes the unit start at boot, or not: enable, disable or nothing."""
    state = show.get("UnitFileState", "")
    if wanted and state in ("disabled", "enabled-runtime"):
        return "enable"
    if not wanted and state in ("enabled", "enabled-runtime"):
        return "disable"
    return ""


def describe(show: dict) -> str:
    """Return state, result and exit status in a few words."""
    text = f"{show.get('ActiveState', 'unknown')} ({show.get('SubState', '?')})"
    if show.get("Result", "success") != "success":
        text += f", result {show['Result']}"
    if show.get("ExecMainStatus", "0") not in ("", "0"):
        text += f", exit status {show['ExecMainStatus']}"
    if int(show.get("NRestarts") or 0):
        text += f", died {show['NRestarts']} times"
    return text


def telling_lines(log: str, limit: int) -> list:
    """Return the end of a log or journal without what the unit's state tells anyhow."""
    lines = [line.rstrip() for line in log.splitlines()]
    return [line for line in lines if line and not _NOISE.search(line)][-limit:]
