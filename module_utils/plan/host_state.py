# SPDX-License-Identifier: Apache-2.0
"""Carry out, or predict, the stages of a host's plan one after another in this process.

Looking and acting are the same code: a look runs each stage in check mode.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.config import host_values
from ansible.module_utils.message import Message
from ansible.module_utils.plan import in_process
from ansible.module_utils.plan.stage_table import Context, Stage, StageError, code_of

# Stages that check the plan itself: what they refuse is wrong, whatever else is still to be done.
OF_THE_PLAN = ("packages", "files")
# Stages that wait instead of changing something: the field of their result with what they wait for.
WAITS = {"not_ready": "not ready yet", "unserved": "not consumed yet"}
NOT_KEPT = {"changed", "diff", "invocation", "ansible_facts", "failed", "msg", "seconds", "notes", "traceback"}


class Host:
    """A plan on its way through the stages, and the results so far."""

    def __init__(
        self,
        outer: in_process.StageModule,
        plan: Mapping[str, Any],
        facts: dict[str, Any],
        context: Context,
        changed_paths: Iterable[str] = (),
    ) -> None:
        self.outer = outer
        self.plan = plan
        self.facts = facts
        self.context = context
        self.changed_paths = list(changed_paths)
        self.own_paths: list[str] = []
        self.stages: dict[str, dict[str, Any]] = {}
        self.diff: list[dict[str, Any]] = []
        self.problems: list[Message] = []

    def call(self, module: str, arguments: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        """Return the result of one stage module."""
        try:
            code = code_of(module)
        except StageError as error:
            return {"failed": True, "msg": error.message, "of_the_plan": True}
        return in_process.call(self.outer, code, arguments, check_mode)

    def run(self, stage: Stage, check_mode: bool) -> dict[str, Any]:
        """Run a stage and record it; return its result."""
        start = time.monotonic()
        result = self.result_of(stage, check_mode)
        self.diff += diff_entries(stage.name, result.get("diff"))
        paths = result.get("changed_paths") or []
        self.own_paths += [path for path in paths if path not in self.own_paths]
        self.changed_paths += [path for path in paths if path not in self.changed_paths]
        self.stages[stage.name] = {**summary(result), "seconds": round(time.monotonic() - start, 2)}
        return result

    def result_of(self, stage: Stage, check_mode: bool) -> dict[str, Any]:
        """Return the result of a stage; values that the host decides are resolved first."""
        try:
            part = host_values.resolve({key: self.plan.get(key) for key in stage.keys}, self.facts)
        except ValueError as error:
            return {"failed": True, "msg": Message(f"{stage.name}: {error}"), "of_the_plan": True}
        if stage.arguments:
            return self.call(stage.module, stage.arguments(part, self.context, self.changed_paths), check_mode)
        return self.run_steps(part[stage.keys[0]], check_mode)

    def run_steps(self, steps: list[dict[str, Any]], check_mode: bool) -> dict[str, Any]:
        """Return one result for a list of steps; the first that fails ends it."""
        total: dict[str, Any] = {"changed": False, "steps": [], "diff": [], "changed_paths": [], "notes": []}
        for step in steps:
            result = self.call(step["module"], step.get("args") or {}, check_mode)
            total["diff"] += diff_entries(step["name"], result.get("diff"))
            total["changed"] = total["changed"] or bool(result.get("changed"))
            for key in ("changed_paths", "notes"):
                total[key] += result.get(key) or []
            if result.get("changed"):
                total["steps"].append(step["name"])
            if result.get("failed"):
                details = {key: value for key, value in result.items() if key not in total}
                return {**total, **details, "msg": Message(f"{step['name']}: {result['msg']}")}
        return total

    def look(self, stages: Iterable[Stage]) -> None:
        """Predict every stage. What cannot be known before earlier stages are done is pending, not a problem."""
        pending = False
        for stage in stages:
            result = self.run(stage, check_mode=True)
            entry = self.stages[stage.name]
            if result.get("failed"):
                if result.get("of_the_plan") or stage.name in OF_THE_PLAN or not pending:
                    self.problems.append(result["msg"])
                else:
                    entry.update(changed=True, note=Message(f"cannot be predicted yet: {result['msg']}"))
            pending = pending or entry["changed"]

    def act(self, stages: Iterable[Stage]) -> dict[str, Any] | None:
        """Carry out the stages; return the result of the one that failed, or None."""
        for stage in stages:
            result = self.run(stage, check_mode=False)
            if result.get("failed"):
                return {**result, "stage": stage.name}
        return None

    @property
    def changed(self) -> bool:
        """Return whether any stage changed something, or in a look would."""
        return any(entry["changed"] for entry in self.stages.values())

    @property
    def pending(self) -> bool:
        """Return whether there is something to do or to wait for."""
        return any(entry["changed"] or "note" in entry for entry in self.stages.values())


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a stage in the result: whether it changed something, and the fields that are not empty."""
    kept = {key: value for key, value in result.items() if key not in NOT_KEPT and value not in ({}, [], "", None)}
    kept.pop("of_the_plan", None)
    notes = list(result.get("notes") or [])
    for field, state in WAITS.items():
        if kept.get(field):
            notes.append(f"{state}: {', '.join(kept[field])}")
    if "not_ready" not in kept:
        kept.pop("endpoints", None)
    if notes:
        kept["note"] = "; ".join(notes)
    return {"changed": bool(result.get("changed")), **kept}


def diff_entries(name: str, diff: Any) -> list[dict[str, Any]]:
    """Return the entries of a stage's diff, each with headers that name the stage."""
    found = []
    for entry in diff if isinstance(diff, list) else [diff or {}]:
        if entry.get("before") != entry.get("after"):
            headers = {
                key: f"{name}: {entry[key]}" if entry.get(key) else name for key in ("before_header", "after_header")
            }
            found.append({**entry, **headers})
    return found


# --- the host itself ----------------------------------------------------------------------------------------------


def read_host(outer: in_process.StageModule, options: dict[str, Any]) -> dict[str, Any]:
    """Return facts, problems and versions of packages from host_check."""
    result = in_process.call(outer, code_of("host_check"), options, True)
    if result.get("failed"):
        return {"facts": {}, "problems": [result["msg"]], "versions": {}}
    return {
        "facts": result["ansible_facts"]["nova_ansible_host"],
        "problems": result["problems"],
        "versions": result["versions"],
    }


def read_kvm(outer: in_process.StageModule, policy: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the evaluation of KVM, its facts for the plan, and a problem where the policy is not met.

    With `repair` in the policy, a run repairs what it can, and a repairable failure is pending.
    """
    options = {key: value for key, value in policy.items() if key != "repair"}
    found = in_process.call(outer, code_of("kvm_verify"), {**options, "on_failure": "report"}, True)
    if found.get("failed"):
        facts: dict[str, Any] = {"virt_type": None, "cpu_mode": None, "cpu_models": []}
        return {"kvm": None, "facts": facts, "problems": [found["msg"]], "pending": False}
    found.pop("changed")
    facts = {"virt_type": found["recommended_virt_type"], **found["recommended"]}
    failed = found["result"] == "fail"
    repairable = failed and bool(policy.get("repair")) and bool(found["repairable"])
    problems = []
    if failed and not repairable:
        require = policy.get("require", "hardware")
        text = f"KVM on {name} does not meet the policy (kvm_preflight_require is {require}). {found['msg']}"
        problems.append(Message(text.strip()))
    return {"kvm": found, "facts": facts, "problems": problems, "pending": repairable}
