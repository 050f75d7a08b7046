# SPDX-License-Identifier: Apache-2.0
"""Run systemd units on their current files."""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.config.masking import mask_text
from ansible.module_utils.host import commands, output, unit_state
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

GENERATED = "/run/"  # systemd.generator(7)
DROP_INS = "/etc/systemd/system/{}.d"
LOG_LINES = 8
LOG_BYTES = 16384  # read from the end of a log file
LOGS_SHOWN = 3  # failed units whose log is shown; many usually fail for the same reason
PATIENCE = 10  # seconds in which other units may still fail after the first has


class Plan(NamedTuple):
    """What has to be done to a unit."""

    verb: str = ""  # start, restart, reload, stop or nothing
    newer: Sequence[str] = ()  # the files that are the reason
    enabling: str = ""  # enable, disable or nothing


class Systemd:
    """The calls of systemctl and journalctl."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def call(self, *arguments: str, check: bool = True) -> str:
        """Return the output of systemctl, which must succeed unless check is false."""
        done = commands.run(["systemctl", "--no-pager", *arguments])
        if check and done.code != 0:
            command = " ".join(word for word in arguments if not word.startswith("--"))
            self.module.fail_json(msg=Message(f"'systemctl {command}' {done.ending}: {done.text}"))
        return done.out

    def show(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the properties of each unit."""
        if not names:
            return {}
        blocks = unit_state.parse_show(self.call("show", f"--property={','.join(unit_state.PROPERTIES)}", "--", *names))
        if len(blocks) != len(names):
            self.module.fail_json(
                msg=Message(f"systemctl described {len(blocks)} of {len(names)} units: {', '.join(names)}")
            )
        return dict(zip(names, blocks))

    def log_tail(self, name: str, since: float) -> list[str]:
        """Return the end of the unit's journal, and of the log file that OpenStack services write instead.

        since: seconds since the epoch.
        """
        argv = ["journalctl", f"--unit={name}", "--lines=100", "--no-pager", "--output=cat", "--quiet"]
        lines = output.tail(commands.run([*argv, f"--since=@{since:.0f}"]).out, LOG_LINES, unit_state.NOISE)
        for path in glob.glob(f"/var/log/*/{name.rsplit('.', 1)[0]}.log"):
            size = os.path.getsize(path)
            if os.path.getmtime(path) >= since - 1 and size:
                with open(path, "rb") as file:
                    file.seek(max(0, size - LOG_BYTES))
                    text = file.read().decode(errors="replace")
                lines += [f"{path}:", *output.tail(text, LOG_LINES, unit_state.NOISE)]
        return lines


def newer_files(patterns: Iterable[str], start: float, changed_files: Iterable[str], check_mode: bool) -> list[str]:
    """Return the paths that changed after start (seconds since the epoch)."""
    newer = set()
    for pattern in patterns:
        for path in glob.glob(pattern) if glob.has_magic(pattern) else [pattern]:
            try:
                status = os.stat(path)
            except OSError:
                continue
            # a package keeps the mtime of its files, and a change of owner or mode sets only the ctime
            if max(status.st_mtime, status.st_ctime) > start:
                newer.add(path)
        for path in changed_files:
            if path == pattern or fnmatch.fnmatch(path, pattern):
                if check_mode or (not os.path.lexists(path) and _directory_changed(path, start)):
                    newer.add(path)
    return sorted(newer)


def _directory_changed(path: str, start: float) -> bool:
    """Tell whether the directory of a path that is gone changed after start."""
    try:
        return os.stat(os.path.dirname(path)).st_mtime > start
    except OSError:
        return True


def decide(
    unit: Mapping[str, Any],
    show: Mapping[str, str],
    triggers: Mapping[str, str],
    changed_files: Iterable[str],
    check_mode: bool,
    offset: float,
) -> Plan:
    """Return what has to be done to a unit.

    triggers: ActiveState of the units that can trigger it.
    offset: seconds between the monotonic clock and the epoch.
    """
    if show["LoadState"] == "not-found":  # most packages enable their units themselves
        return Plan("start" if unit["state"] == "started" else "")
    enabling = unit_state.enabling(show, unit["enabled"])
    if unit["state"] == "stopped":
        up = show["ActiveState"] not in ("inactive", "failed")
        return Plan("stop" if up else "", enabling=enabling)
    if not unit_state.runs(show):
        waiting = unit_state.is_waiting(show, triggers)
        return Plan("" if waiting else "start", enabling=enabling)
    # A generator's files get newer at each daemon-reload. The directory of drop-ins gets newer when one is removed.
    directory = DROP_INS.format(unit["name"])
    own = [path for path in [show["FragmentPath"], *show["DropInPaths"].split()] if not path.startswith(GENERATED)]
    own += [directory, f"{directory}/*.conf"]
    newer = newer_files([*unit["files"], *own], unit_state.started_at(show) + offset, changed_files, check_mode)
    if show["NeedDaemonReload"] == "yes" and not newer:
        newer = [show["FragmentPath"]]
    if newer or not unit.get("reload_files"):
        return Plan("restart" if newer else "", newer, enabling)
    newer = newer_files(unit["reload_files"], unit_state.read_files_at(show) + offset, changed_files, check_mode)
    return Plan("reload" if newer else "", newer, enabling)


def bring_up(
    systemd: Systemd, names: list[str], timeout: float, settle: float, triggers: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Start or restart units in parallel, wait until each has stayed up, and return (failed, unfinished).

    Both are {name: its state as a text}. Waiting ends early, some seconds after the first failure.
    """
    systemd.call("reset-failed", "--", *names, check=False)  # otherwise an old start limit is in the way
    # With --no-block: systemctl would wait for a unit that fails again and again as long as for the slowest one.
    systemd.call("restart", "--no-block", "--", *names)
    begin = time.monotonic()
    first_failure = None
    while True:
        shows = systemd.show(names)
        now = time.monotonic()
        results = {name: unit_state.start_result(shows[name], triggers, now, settle) for name in names}
        if first_failure is None and "broken" in results.values():
            first_failure = now
        late = now - begin >= timeout
        if "wait" not in results.values() or late or (first_failure and now - first_failure >= PATIENCE):
            break
        time.sleep(min(1.0, max(0.2, (now - begin) / 8)))  # systemctl takes processor time from the starting units
    states = {name: f"{unit_state.describe(shows[name])} after {now - begin:.0f} s" for name in names}
    failed = {n: states[n] for n in names if results[n] == "broken" or (late and results[n] == "wait")}
    return failed, {n: states[n] for n in names if results[n] == "wait" and n not in failed}


def reload(systemd: Systemd, names: list[str]) -> dict[str, str]:
    """Let units read their files again; return {name: state} of those that failed to, or no longer run."""
    for name in names:
        systemd.call("reload", "--", name, check=False)
    shows = systemd.show(names)
    return {
        name: f"{unit_state.describe(show)} after a reload, whose result is {show.get('ReloadResult', 'unknown')}"
        for name, show in shows.items()
        if not unit_state.runs(show) or show.get("ReloadResult", "success") != "success"
    }


def needs_daemon_reload(name: str, show: Mapping[str, str]) -> bool:
    """Tell whether a daemon-reload is due; before release 254, systemd overlooks a new directory of drop-ins."""
    on_disk = set(glob.glob(f"{DROP_INS.format(name)}/*.conf"))
    known = {path for path in show["DropInPaths"].split() if path.startswith(f"{DROP_INS.format(name)}/")}
    return show["NeedDaemonReload"] == "yes" or on_disk != known


def read_units(module: AnsibleModule, systemd: Systemd, units: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the properties of each unit, after a daemon-reload where one is due; refuse what cannot be done."""

    def to_start(load_state: str) -> list[str]:
        return sorted(n for n, u in units.items() if shows[n]["LoadState"] == load_state and u["state"] == "started")

    shows = systemd.show(list(units))
    stale = [name for name, show in shows.items() if needs_daemon_reload(name, show)]
    if (stale or to_start("not-found")) and not module.check_mode:
        systemd.call("daemon-reload")
        shows = systemd.show(list(units))
        for name in stale:  # still the reason for a restart, even if the only change is a removed drop-in
            shows[name]["NeedDaemonReload"] = "yes"
    masked = ", ".join(to_start("masked"))
    if masked:
        module.fail_json(msg=Message(f"units that must run are masked: {masked}; run 'systemctl unmask' on them"))
    no_reload = ", ".join(
        sorted(
            name
            for name, unit in units.items()
            if unit["reload_files"] and shows[name].get("CanReload") == "no" and unit_state.runs(shows[name])
        )
    )
    if no_reload:
        module.fail_json(msg=Message(f"{no_reload} cannot be reloaded; list its files in files, not in reload_files"))
    missing = [f"{n} (package {units[n]['package'] or n.rsplit('.', 1)[0]}?)" for n in to_start("not-found")]
    if missing and not module.check_mode:
        module.fail_json(msg=Message(f"These units do not exist, install their packages: {', '.join(missing)}"))
    return shows


def act(module: AnsibleModule, systemd: Systemd, result: dict[str, Any], triggers: Mapping[str, str]) -> None:
    """Carry out the plans in result; fail unless every unit is in its state."""
    begin, params = time.time(), module.params
    for verb, names in (("enable", result["enabled"]), ("disable", result["disabled"]), ("stop", result["stopped"])):
        if names:
            systemd.call(verb, "--", *names)
    to_run = result["started"] + [entry["unit"] for entry in result["restarted"]]
    to_reload = [entry["unit"] for entry in result["reloaded"]]
    failed: dict[str, str] = {}
    unfinished: dict[str, str] = {}
    if to_run:
        failed, unfinished = bring_up(systemd, to_run, params["timeout"], params["settle"], triggers)
    if to_reload:
        failed.update(reload(systemd, to_reload))
    if failed:
        lines = [Message(f"{len(failed)} of {len(to_run + to_reload)} units failed.")]
        for name, state in list(failed.items())[:LOGS_SHOWN]:
            log = [mask_text(line, params["secrets"]) for line in systemd.log_tail(name, begin)]
            lines.append(Message(f"{name} is {state}; the end of its log:"))
            lines += [Message(f"    {line}") for line in log or ["(empty)"]]
        for name, state in list(failed.items())[LOGS_SHOWN:]:
            lines.append(Message(f"{name} is {state}; see journalctl --unit={name}"))
        for name, state in unfinished.items():
            lines.append(Message(f"{name} is {state} and was not waited for"))
        module.fail_json(msg=Message("\n".join(lines)), failed_units=sorted(failed), **result)


def diff_of(plans: Mapping[str, Plan], shows: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the diff: the state of each unit, and what is done to it and why."""
    diff = {"before": "", "after": ""}
    for name, plan in plans.items():
        if plan.verb or plan.enabling:
            reason = f" (newer: {', '.join(plan.newer)})" if plan.newer else ""
            diff["before"] += f"{name}: {unit_state.describe(shows[name])}\n"
            diff["after"] += f"{name}: {' '.join(filter(None, (plan.verb, plan.enabling)))}{reason}\n"
    return diff


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    unit_spec = {
        "name": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "str", "default": []},
        "reload_files": {"type": "list", "elements": "str", "default": []},
        "state": {"choices": ["started", "stopped"], "default": "started"},
        "enabled": {"type": "bool", "default": True},
        "package": {"type": "str"},
    }
    return {
        "units": {"type": "list", "elements": "dict", "required": True, "options": unit_spec},
        "changed_files": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "int", "default": 120},
        "settle": {"type": "float", "default": 2},
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }


ARGUMENT_SPEC = argument_spec()


def by_full_name(module: AnsibleModule) -> dict[str, dict[str, Any]]:
    """Return the entries of the option units by the full names of their units."""
    units: dict[str, dict[str, Any]] = {}
    for unit in module.params["units"]:
        name = unit_state.full_name(unit["name"])
        if name in units:
            module.fail_json(msg=Message(f"{name} is listed more than once; put its files into one entry."))
        units[name] = {**unit, "name": name}
    return units


def run(module: AnsibleModule) -> None:
    """Read, compare, act."""
    systemd = Systemd(module)
    units = by_full_name(module)
    shows = read_units(module, systemd, units)
    idle = [show for show in shows.values() if not unit_state.runs(show)]
    sockets = sorted({name for show in idle for name in show.get("TriggeredBy", "").split()})
    triggers = {name: show["ActiveState"] for name, show in systemd.show(sockets).items()}
    offset = time.time() - time.monotonic()
    plans = {
        name: decide(unit, shows[name], triggers, module.params["changed_files"], module.check_mode, offset)
        for name, unit in units.items()
    }

    def with_verb(verb: str) -> list[str]:
        return [name for name, plan in plans.items() if plan.verb == verb]

    result: dict[str, Any] = {
        "started": with_verb("start"),
        "restarted": [{"unit": name, "newer": plans[name].newer} for name in with_verb("restart")],
        "reloaded": [{"unit": name, "newer": plans[name].newer} for name in with_verb("reload")],
        "stopped": with_verb("stop"),
        "enabled": [name for name, plan in plans.items() if plan.enabling == "enable"],
        "disabled": [name for name, plan in plans.items() if plan.enabling == "disable"],
    }
    result.update(changed=any(result.values()), diff=diff_of(plans, shows))
    if result["changed"] and not module.check_mode:
        act(module, systemd, result, triggers)
    module.exit_json(**result)
