# SPDX-License-Identifier: Apache-2.0
"""Run systemd units on their current files."""

from __future__ import annotations

import fnmatch
import glob
import os
import subprocess
import time

from ansible.module_utils.config.masking import mask_text
from ansible.module_utils.host import unit_state

GENERATED = "/run/"
DROP_INS = "/etc/systemd/system/{}.d"
LOG_LINES = 8
TOLD = 3  # failed units whose last words are told; ten of them usually die of one thing
PATIENCE = 10  # seconds in which other units may still fail once one has


class Systemd:
    """The calls to systemctl and journalctl."""

    def __init__(self, module):
        self.module = module

    def call(self, *arguments, check=True) -> str:
        command = ["systemctl", "--no-pager", *arguments]
        code, output, error = self.module.run_command(command, environ_update={"LC_ALL": "C.UTF-8"})
        if check and code != 0:
            self.module.fail_json(msg=f"'{' '.join(command)}' failed: {error.strip() or output.strip()}")
        return output

    def show(self, names) -> dict:
        if not names:
            return {}
        blocks = unit_state.parse_show(self.call("show", f"--property={','.join(unit_state.PROPERTIES)}", "--", *names))
        if len(blocks) != len(names):
            self.module.fail_json(msg=f"systemctl described {len(blocks)} of {len(names)} units: {', '.join(names)}")
        return dict(zip(names, blocks))

    def last_words(self, name: str, since: float) -> list:
        """Return the end of the unit's journal and of the log file that OpenStack services write instead."""
        command = ["journalctl", f"--unit={name}", "--lines=100", "--no-pager", "--output=cat", "--quiet"]
        command.append(f"--since=@{since:.0f}")
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        lines = unit_state.telling_lines(done.stdout, LOG_LINES)
        for path in glob.glob(f"/var/log/*/{name.rsplit('.', 1)[0]}.log"):
            if os.path.getmtime(path) >= since - 1 and os.path.getsize(path):
                with open(path, "rb") as file:
                    file.seek(max(0, os.path.getsize(path) - 16384))
                    lines += [f"{path}:", *unit_state.telling_lines(file.read().decode(errors="replace"), LOG_LINES)]
        return lines


def newer_files(patterns, start: float, changed_files, check_mode: bool) -> list:
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
                if check_mode or (not os.path.lexists(path) and _folder_changed(path, start)):
                    newer.add(path)
    return sorted(newer)


def _folder_changed(path: str, start: float) -> bool:
    try:
        return os.stat(os.path.dirname(path)).st_mtime > start
    except OSError:
        return True


def decide(unit: dict, show: dict, triggers: dict, changed_files, check_mode: bool, offset: float) -> dict:
    """Return {verb: start|restart|reload|stop|"", newer, enabling} for one unit."""
    if show["LoadState"] == "not-found":  # most packages enable their units themselves
        return {"verb": "start" if unit["state"] == "started" else "", "newer": [], "enabling": ""}
    enabling = unit_state.enabling(show, unit["enabled"])
    if unit["state"] == "stopped":
        up = show["ActiveState"] not in ("inactive", "failed")
        return {"verb": "stop" if up else "", "newer": [], "enabling": enabling}
    if not unit_state.runs(show):
        waiting = unit_state.is_waiting(show, triggers)
        return {"verb": "" if waiting else "start", "newer": [], "enabling": enabling}
    # What a generator made is younger after each daemon-reload. The folder of drop-ins tells of one that was removed.
    folder = DROP_INS.format(unit["name"])
    own = [path for path in [show["FragmentPath"], *show["DropInPaths"].split()] if not path.startswith(GENERATED)]
    own += [folder, f"{folder}/*.conf"]
    newer = newer_files([*unit["files"], *own], unit_state.started_at(show) + offset, changed_files, check_mode)
    if show["NeedDaemonReload"] == "yes" and not newer:
        newer = [show["FragmentPath"]]
    if newer or not unit.get("reload_files"):
        return {"verb": "restart" if newer else "", "newer": newer, "enabling": enabling}
    newer = newer_files(unit["reload_files"], unit_state.told_at(show) + offset, changed_files, check_mode)
    return {"verb": "reload" if newer else "", "newer": newer, "enabling": enabling}


def bring_up(systemd: Systemd, names: list, timeout: int, settle: float, triggers: dict) -> tuple:
    """Start or restart units side by side and wait until each has stayed up; return (failed, unfinished) by name."""
    systemd.call("reset-failed", "--", *names, check=False)  # else a start limit of the past stands in the way
    # It does not wait: a unit that dies again and again would be waited for as long as another one needs to start.
    systemd.call("restart", "--no-block", "--", *names)
    begin = time.monotonic()
    first_failure = None
    while True:
        shows = systemd.show(names)
        now = time.monotonic()
        verdicts = {name: unit_state.verdict(shows[name], triggers, now, settle) for name in names}
        if first_failure is None and "broken" in verdicts.values():
            first_failure = now
        late = now - begin >= timeout
        if "wait" not in verdicts.values() or late or (first_failure and now - first_failure >= PATIENCE):
            break
        time.sleep(min(1.0, max(0.2, (now - begin) / 8)))  # asking costs what the units need to start
    states = {name: f"{unit_state.describe(shows[name])} after {now - begin:.0f} s" for name in names}
    failed = {n: states[n] for n in names if verdicts[n] == "broken" or (late and verdicts[n] == "wait")}
    return failed, {n: states[n] for n in names if verdicts[n] == "wait" and n not in failed}


def reload(systemd: Systemd, names: list) -> dict:
    """Let units read their files again; return the state of those that did not, or that died of it."""
    for name in names:
        systemd.call("reload", "--", name, check=False)
    shows = systemd.show(names)
    return {
        name: f"{unit_state.describe(show)} after a reload, whose result is {show.get('ReloadResult', 'unknown')}"
        for name, show in shows.items()
        if not unit_state.runs(show) or show.get("ReloadResult", "success") != "success"
    }


def needs_reload(name: str, show: dict) -> bool:
    """Tell whether systemd has not read what lies on disk; before release 254 it overlooks a new folder of drop-ins."""
    here = set(glob.glob(f"{DROP_INS.format(name)}/*.conf"))
    known = {path for path in show["DropInPaths"].split() if path.startswith(f"{DROP_INS.format(name)}/")}
    return show["NeedDaemonReload"] == "yes" or here != known


def read_units(module, systemd: Systemd, units: dict) -> dict:
    """Return what systemd knows of each unit, after it read its files again where it must; refuse what cannot be."""
    shows = systemd.show(list(units))

    def wanted_but(state):
        return sorted(n for n, unit in units.items() if shows[n]["LoadState"] == state and unit["state"] == "started")

    stale = [name for name, show in shows.items() if needs_reload(name, show)]
    if (stale or wanted_but("not-found")) and not module.check_mode:
        systemd.call("daemon-reload")
        shows = systemd.show(list(units))
        for name in stale:  # still the reason for a restart, even if nothing but a drop-in went away
            shows[name]["NeedDaemonReload"] = "yes"
    if wanted_but("masked"):
        names = ", ".join(wanted_but("masked"))
        module.fail_json(msg=f"Somebody masked {names}; run 'systemctl unmask' on them, or give state: stopped")
    deaf = [n for n, u in units.items() if u["reload_files"] and shows[n].get("CanReload") == "no"]
    deaf = sorted(name for name in deaf if unit_state.runs(shows[name]))
    if deaf:
        module.fail_json(msg=f"{', '.join(deaf)} cannot be reloaded; list what it reads in files, not in reload_files")
    if wanted_but("not-found") and not module.check_mode:
        hints = [f"{n} (package {units[n]['package'] or n.rsplit('.', 1)[0]}?)" for n in wanted_but("not-found")]
        module.fail_json(msg=f"These units do not exist, install what brings them: {', '.join(hints)}")
    return shows


def act(module, systemd: Systemd, result: dict, triggers: dict) -> None:
    """Do what was decided."""
    began, params = time.time(), module.params
    for verb, names in (("enable", result["enabled"]), ("disable", result["disabled"]), ("stop", result["stopped"])):
        if names:
            systemd.call(verb, "--", *names)
    to_run = result["started"] + [entry["unit"] for entry in result["restarted"]]
    to_reload = [entry["unit"] for entry in result["reloaded"]]
    failed, unfinished = {}, {}
    if to_run:
        failed, unfinished = bring_up(systemd, to_run, params["timeout"], params["settle"], triggers)
    if to_reload:
        failed.update(reload(systemd, to_reload))
    if failed:
        lines = [f"{len(failed)} of {len(to_run + to_reload)} units failed."]
        for name, state in list(failed.items())[:TOLD]:
            words = [mask_text(line, params["secrets"]) for line in systemd.last_words(name, began)]
            lines += [f"{name} is {state}; its last words:", *(f"    {line}" for line in words or ["(none)"])]
        lines += [f"{name} is {state}" for name, state in list(failed.items())[TOLD:]]
        lines += [f"{name} is {state} and was not waited for" for name, state in unfinished.items()]
        module.fail_json(msg="\n".join(lines), failed_units=sorted(failed), **result)


def show_plans(plans: dict, shows: dict) -> dict:
    """Return the diff: what each unit is, and what is done to it and why."""
    diff = {"before": "", "after": ""}
    for name, plan in plans.items():
        if plan["verb"] or plan["enabling"]:
            reason = f" (newer: {', '.join(plan['newer'])})" if plan["newer"] else ""
            diff["before"] += f"{name}: {unit_state.describe(shows[name])}\n"
            diff["after"] += f"{name}: {' '.join(filter(None, (plan['verb'], plan['enabling'])))}{reason}\n"
    return diff


def argument_spec() -> dict:
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


def run(module) -> None:
    """Read, compare, act."""
    params, check_mode = module.params, module.check_mode
    systemd = Systemd(module)
    units = {}
    for unit in params["units"]:
        name = unit_state.full_name(unit["name"])
        if name in units:
            module.fail_json(msg=f"{name} is listed more than once; put its files into one entry.")
        units[name] = {**unit, "name": name}
    shows = read_units(module, systemd, units)
    idle = [show for show in shows.values() if not unit_state.runs(show)]
    sockets = sorted({name for show in idle for name in show.get("TriggeredBy", "").split()})
    triggers = {name: show["ActiveState"] for name, show in systemd.show(sockets).items()}
    offset = time.time() - time.monotonic()
    plans = {
        name: decide(unit, shows[name], triggers, params["changed_files"], check_mode, offset)
        for name, unit in units.items()
    }

    def chosen(key, value):
        return [name for name, plan in plans.items() if plan[key] == value]

    result = {
        "started": chosen("verb", "start"),
        "restarted": [{"unit": name, "newer": plans[name]["newer"]} for name in chosen("verb", "restart")],
        "reloaded": [{"unit": name, "newer": plans[name]["newer"]} for name in chosen("verb", "reload")],
        "stopped": chosen("verb", "stop"),
        "enabled": chosen("enabling", "enable"),
        "disabled": chosen("enabling", "disable"),
    }
    result.update(changed=any(result.values()), diff=show_plans(plans, shows))
    if result["changed"] and not check_mode:
        act(module, systemd, result, triggers)
    module.exit_json(**result)
