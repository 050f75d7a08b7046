# SPDX-License-Identifier: Apache-2.0
"""Sends a host its plan: once for all stages, only what they need, and nothing at all where there is nothing to do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.module_utils.config import operator_options  # noqa: E402  found only on the path just added
from ansible.module_utils.plan import host_call  # noqa: E402  found only on the path just added
from ansible.module_utils.plan import host_state as engine  # noqa: E402

# What the control node needs for itself, with defaults.
OWN = {
    "secret_paths": None,  # [[variable, key, ...], ...], by default those of the variable `cloud`
    "option_list": None,  # path of the list of options of the release
    "option_release": "",  # its name, for messages
    "extra_options": [],  # options that newer packages have besides
}


class ActionModule(ActionBase):
    """The action of the module host_state, with the arguments of OWN besides the module's."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        own = {name: arguments.pop(name, default) for name, default in OWN.items()}
        if not isinstance(arguments.get("plan"), dict):
            raise AnsibleActionFail("host_state needs a plan, as the filter host_plan makes it.")
        look, plan = boolean(arguments.get("look", False)), arguments["plan"]
        if plan.get("problems") and not look:
            raise AnsibleActionFail("\n".join(plan["problems"]))
        arguments = {**arguments, **host_call.of_plan(plan, arguments.get("host") or {})}
        try:
            stages = engine.chosen(arguments["plan"], arguments.get("stages"), arguments.get("computes") or ())
        except ValueError as error:
            raise AnsibleActionFail(f"{error}.") from error
        if not stages and not look:
            return result | host_call.nothing(arguments)
        sent = host_call.sent(arguments, stages, look)
        secrets = [*self.secrets(own["secret_paths"], task_vars), *(arguments.get("secrets") or [])]
        sent["secrets"] = host_call.occurring(secrets, sent)
        sent["changed_paths"] = list(
            dict.fromkeys([*(arguments.get("changed_paths") or []), *host_call.earlier_paths(task_vars)])
        )
        files = operator_options.checkable(sent["plan"].get("files") or []) if look else []
        listed = read_list(own["option_list"]) if files else None
        if look:
            sent["host"] = host_call.checks(arguments, listed, time.time())
        result |= self._execute_module(module_name="host_state", module_args=sent, task_vars=task_vars)
        if look and "problems" in result:
            host_call.add_to_look(result, plan)
        if files and "problems" in result:
            if listed is None:
                result["unlisted"] = own["option_release"]
            else:
                self.check_options(result, files, listed, own)
        return result

    def check_options(self, result: dict, files: list, listed: dict, own: dict) -> None:
        """Add to the problems the options that the release does not have; the host has judged its own packages."""
        validated = (result["stages"].get("files") or {}).get("validated") or []
        files = [file for file in files if file["path"] not in validated]
        found = operator_options.problems(
            files, listed, own["option_release"], result["versions"], own["extra_options"]
        )
        result["problems"] = [*result["problems"], *found]

    def secrets(self, paths: list | None, task_vars: dict) -> list:
        """Return the values of the secrets at the given paths of variables, by default those of the cloud."""
        if paths is None:
            paths = host_call.values_at(task_vars.get("cloud"), ["secret_paths"]) or []
        return host_call.secrets(self._templar, paths)


def read_list(path: str | None) -> dict | None:
    """Return a list of options; None where the release has none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except FileNotFoundError:
        return None
