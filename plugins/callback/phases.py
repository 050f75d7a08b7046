# SPDX-License-Identifier: Apache-2.0
"""Say at the end of a run where its time went: one line for each task that took long, and the total."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: phases
type: aggregate
short_description: Wall time of the phases of a run
description:
  - Prints the wall time, seconds, of each task that took at least O(threshold), in the order they ran, and the total.
  - Below a task that carries out stages (M(host_state)), each stage that took as long on a host, with the slowest one.
  - When the environment variable E(PHASES_FILE) names a file, every task is written there too, as JSON, with the hosts
    on which it changed something (in check mode, on which it would) and what it said on those where it failed. Its
    C(stages) has for each host the stages that changed something (in check mode, that would), C(stage_seconds) the
    seconds of each stage on each host, C(paths) for each host the files that changed (in check mode, that would), and
    C(units) for each host what was done to units (in check mode, what would be), a verb to names.
options:
  threshold:
    description: Shorter tasks are summed up in one line; seconds.
    type: float
    default: 1.0
    env: [{name: PHASES_THRESHOLD}]
    ini: [{section: callback_phases, key: threshold}]
"""


def slowest(stage_seconds: dict) -> dict:
    """Return for each stage its seconds on the host where it took longest, and that host."""
    found: dict = {}
    for host, stages in stage_seconds.items():
        for name, seconds in stages.items():
            found[name] = max(found.get(name, (0.0, "")), (seconds, host))
    return found


def units(stages) -> dict:
    """Return what stages did to units: a verb to names."""
    found: dict = {}
    for stage in stages:
        for verb in ("started", "restarted", "reloaded", "stopped"):
            rows = stage.get(verb) or []
            found[verb] = found.get(verb, []) + [row["unit"] if isinstance(row, dict) else row for row in rows]
    return {verb: names for verb, names in found.items() if names}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "phases"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.begun = time.monotonic()
        self.tasks: list = []

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._close()
        self.tasks.append(
            {
                "task": task.get_name(),
                "begun": time.monotonic(),
                "seconds": None,
                "changed": set(),
                "failed": {},
                "stages": {},
                "stage_seconds": {},
                "paths": {},
                "units": {},
            }
        )

    v2_playbook_on_handler_task_start = v2_playbook_on_task_start

    def v2_runner_on_ok(self, result):
        if self.tasks and result.is_changed():
            self.tasks[-1]["changed"].add(result._host.get_name())
        self._keep_stages(result)

    def _keep_stages(self, result):
        """Keep which stages and files changed, and how long each stage took."""
        stages = result._result.get("stages")
        if not self.tasks or result._task.action != "host_state" or not isinstance(stages, dict):
            return
        row, host = self.tasks[-1], result._host.get_name()
        changed = [name for name, stage in stages.items() if stage["changed"]]
        if changed and result.is_changed():
            row["stages"][host] = changed
            row["paths"][host] = list(result._result.get("changed_paths") or [])
            row["units"][host] = units(stages.values())
        row["stage_seconds"][host] = {name: stage.get("seconds", 0.0) for name, stage in stages.items()}

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if self.tasks and not ignore_errors:
            self.tasks[-1]["failed"][result._host.get_name()] = str(result._result.get("msg", ""))
            self._keep_stages(result)

    v2_runner_on_unreachable = v2_runner_on_failed

    def _close(self):
        if self.tasks and self.tasks[-1]["seconds"] is None:
            self.tasks[-1]["seconds"] = time.monotonic() - self.tasks[-1]["begun"]

    def v2_playbook_on_stats(self, stats):
        self._close()
        total = time.monotonic() - self.begun
        threshold = float(self.get_option("threshold"))
        long = [t for t in self.tasks if t["seconds"] >= threshold]
        self._display.banner("PHASES")
        for task in long:
            self._display.display(f"{task['seconds']:8.1f} s  {task['task']}")
            for name, (seconds, host) in slowest(task["stage_seconds"]).items():
                if seconds >= threshold:
                    self._display.display(f"{'':8}   {seconds:8.1f} s  {name} ({host})")
        self._display.display(f"{total - sum(t['seconds'] for t in long):8.1f} s  everything shorter")
        self._display.display(f"{total:8.1f} s  in all, {len(self.tasks)} tasks")
        path = os.environ.get("PHASES_FILE")
        if path:
            rows = [
                {
                    "task": t["task"],
                    "seconds": round(t["seconds"], 2),
                    "changed": sorted(t["changed"]),
                    "failed": t["failed"],
                    "stages": t["stages"],
                    "stage_seconds": t["stage_seconds"],
                    "paths": t["paths"],
                    "units": t["units"],
                }
                for t in self.tasks
            ]
            with open(path, "w", encoding="utf-8") as stream:
                json.dump({"total": round(total, 2), "tasks": rows}, stream, indent=1)
