# SPDX-License-Identifier: Apache-2.0
"""Print at the end of a run the time of each long task, and the total."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import Any

from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: phases
type: aggregate
short_description: Wall time of the phases of a run
description:
  - Prints the wall time, seconds, of each task that took at least O(threshold), in the order they ran, and the total.
  - Below a task that carries out stages (M(host_state)), each stage that took as long on a host, with the slowest one.
  - When the environment variable E(PHASES_FILE) names a file, every task is written there too, as JSON, with the hosts
    on which it changed something (in check mode, on which it would) and the messages of those where it failed. Its
    C(stages) has for each host the stages that changed something (in check mode, that would), C(stage_seconds) the
    seconds of each stage on each host, C(paths) for each host the files that changed (in check mode, that would), and
    C(units) for each host the actions on units (in check mode, those to come), a verb to the names of units.
options:
  threshold:
    description: Shorter tasks are summed up in one line; seconds.
    type: float
    default: 1.0
    env: [{name: PHASES_THRESHOLD}]
    ini: [{section: callback_phases, key: threshold}]
"""


def slowest(stage_seconds: dict[str, dict[str, float]]) -> dict[str, tuple[float, str]]:
    """Return for each stage its seconds on the slowest host, and the name of that host."""
    found: dict[str, tuple[float, str]] = {}
    for host, stages in stage_seconds.items():
        for name, seconds in stages.items():
            found[name] = max(found.get(name, (0.0, "")), (seconds, host))
    return found


def units(stages: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the actions of stages on units, a verb to names."""
    found: dict[str, list[str]] = {}
    for stage in stages:
        for verb in ("started", "restarted", "reloaded", "stopped"):
            rows = stage.get(verb) or []
            found[verb] = found.get(verb, []) + [row["unit"] if isinstance(row, dict) else row for row in rows]
    return {verb: names for verb, names in found.items() if names}


class CallbackModule(CallbackBase):
    """Time the tasks of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "phases"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start = time.monotonic()
        self.tasks: list[dict[str, Any]] = []

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool = False) -> None:
        """Start the clock of a task."""
        self._stop_clock()
        self.tasks.append(
            {
                "task": task.get_name(),
                "start": time.monotonic(),
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

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Keep what a task changed on a host."""
        if self.tasks and result.is_changed():
            self.tasks[-1]["changed"].add(result._host.get_name())
        self._keep_stages(result)

    def _keep_stages(self, result: CallbackTaskResult) -> None:
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

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Keep why a task failed on a host."""
        if self.tasks and not ignore_errors:
            self.tasks[-1]["failed"][result._host.get_name()] = str(result._result.get("msg", ""))
            self._keep_stages(result)

    v2_runner_on_unreachable = v2_runner_on_failed

    def _stop_clock(self) -> None:
        if self.tasks and self.tasks[-1]["seconds"] is None:
            self.tasks[-1]["seconds"] = time.monotonic() - self.tasks[-1]["start"]

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Print the times, and write them to the file that PHASES_FILE names."""
        self._stop_clock()
        total = time.monotonic() - self.start
        threshold = float(self.get_option("threshold"))
        long = [t for t in self.tasks if t["seconds"] >= threshold]
        self._display.banner("PHASES")
        for task in long:
            self._display.display(f"{task['seconds']:8.1f} s  {task['task']}")
            for name, (seconds, host) in slowest(task["stage_seconds"]).items():
                if seconds >= threshold:
                    self._display.display(f"{'':8}   {seconds:8.1f} s  {name} ({host})")
        self._display.display(f"{total - sum(t['seconds'] for t in long):8.1f} s  shorter tasks")
        self._display.display(f"{total:8.1f} s  in total, {len(self.tasks)} tasks")
        if os.environ.get("PHASES_FILE"):
            self._write(os.environ["PHASES_FILE"], total)

    def _write(self, path: str, total: float) -> None:
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
