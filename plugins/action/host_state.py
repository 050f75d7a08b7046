# SPDX-License-Identifier: Apache-2.0
"""Send a host its plan: all stages in one call, only the data that they need, and no call where nothing is to do."""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.errors import AnsibleActionFail
from ansible.module_utils.config import operator_options
from ansible.module_utils.config.option_index import OptionIndex
from ansible.module_utils.config.types import FileEntry
from ansible.module_utils.message import Message
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.module_utils.plan import host_call
from ansible.module_utils.plan.stage_table import StageError, select_stages
from ansible.plugins.action import ActionBase

# Arguments of the action alone, with their defaults; the module does not get them.
OWN: dict[str, Any] = {
    "secret_paths": None,  # [[variable, key, ...], ...], by default those of the variable `cloud`
    "option_list": None,  # path of the list of options of the release
    "option_release": "",  # name of the release, for messages
    "extra_options": [],  # options of newer packages that the list does not have
}


class ActionModule(ActionBase):
    """Run the module host_state, with the arguments of OWN in addition to the module's."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the module, or an unchanged one without a connection where no stage has work."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        own = {name: arguments.pop(name, default) for name, default in OWN.items()}
        plan, look = plan_of(arguments), boolean(arguments.get("look", False))
        if plan.get("problems") and not look:
            raise AnsibleActionFail("\n".join(plan["problems"]))
        arguments = {**arguments, **host_call.of_plan(plan, arguments.get("host") or {})}
        try:
            stages = select_stages(plan, arguments.get("stages"), arguments.get("computes") or ())
        except StageError as error:
            raise AnsibleActionFail(error.message) from error
        if not stages and not look:
            return result | host_call.unchanged(arguments)
        sent = host_call.sent(arguments, stages, look)
        secrets = [*self.secrets(own["secret_paths"], variables), *(arguments.get("secrets") or [])]
        sent["secrets"] = host_call.occurring(secrets, sent)
        earlier = [*(arguments.get("changed_paths") or []), *host_call.earlier_paths(variables)]
        sent["changed_paths"] = list(dict.fromkeys(earlier))
        if not look:
            return result | self.execute(sent, variables)
        return result | self.look(sent, plan, own, variables)

    def look(self, sent: dict[str, Any], plan: dict[str, Any], own: dict[str, Any], variables: dict[str, Any]) -> dict:
        """Return the result of a look, with the problems of the plan and of the operator's options."""
        files = operator_options.checkable(sent["plan"].get("files") or [])
        listed = read_list(own["option_list"]) if files else None
        sent["host"] = host_call.checks(sent["host"], plan, listed, time.time())
        result = self.execute(sent, variables)
        if "problems" in result:
            host_call.add_to_look(result, plan)
            if files and listed is None:
                result["unlisted"] = own["option_release"]
            elif listed is not None:
                add_option_problems(result, files, listed, own)
        return result

    def execute(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the module on the host."""
        return self._execute_module(module_name="host_state", module_args=arguments, task_vars=variables)

    def secrets(self, paths: Iterable[list[str]] | None, variables: dict[str, Any]) -> list[str]:
        """Return the secrets at the given paths of variables, by default those of the cloud."""
        if paths is None:
            paths = host_call.value_at(variables.get("cloud"), ["secret_paths"]) or []
        return host_call.secrets(self._templar, paths)


def plan_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the plan among the arguments. Raise AnsibleActionFail where it is missing or not a dict."""
    plan = arguments.get("plan")
    if not isinstance(plan, dict):
        raise AnsibleActionFail(Message("host_state needs a plan, as the filter host_plan makes it."))
    return plan


def add_option_problems(
    result: dict[str, Any], files: list[FileEntry], listed: OptionIndex, own: dict[str, Any]
) -> None:
    """Add the operator's options that the release does not have; the host has checked those of its own packages."""
    validated = (result["stages"].get("files") or {}).get("validated") or []
    files = [file for file in files if file["path"] not in validated]
    problems = operator_options.problems(files, listed, own["option_release"], result["versions"], own["extra_options"])
    result["problems"] = [*result["problems"], *problems]


def read_list(path: str | None) -> OptionIndex | None:
    """Return a list of options; None where the release has none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except FileNotFoundError:
        return None
