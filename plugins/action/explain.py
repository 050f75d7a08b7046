# SPDX-License-Identifier: Apache-2.0
"""Show where the options of hosts' configuration files come from.

The action runs once, on the control node, and contacts no host: it makes the plan (`deploy_plan`) of every host of the
play.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.errors import AnsibleActionFail
from ansible.module_utils.config.explain import explain
from ansible.module_utils.message import Message
from ansible.module_utils.plan import host_call
from ansible.plugins.action import ActionBase
from ansible.plugins.plugin_utils.host_templates import templar_of
from ansible.template import trust_as_template
from ansible.utils.display import Display

PLAN = trust_as_template("{{ deploy_plan }}")
SPEC = {"option": {"type": "str", "default": ""}, "file": {"type": "str", "default": ""}}


class ActionModule(ActionBase):
    """Explain an option, or all options of a file."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print the explanation and return its lines as `lines`."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _module, options = self.validate_argument_spec(argument_spec=SPEC)
        plans: dict[str, Any] = {}
        secrets: set[str] = set()
        for host in variables["ansible_play_hosts_all"]:
            templar = templar_of(self, variables["hostvars"], host)
            plans[host] = templar.template(PLAN)
            if plans[host].get("problems"):
                raise AnsibleActionFail("\n".join(plans[host]["problems"]))
            secrets |= set(host_call.secrets(templar, variables["cloud"]["secret_paths"]))
        try:
            lines = explain(plans, options["option"], options["file"], sorted(secrets))
        except ValueError as error:
            reason = str(error) if str(error).endswith("?") else f"{error}."
            raise AnsibleActionFail(Message(f"Nothing to explain: {reason}")) from None
        for line in lines:  # Ansible would wrap the lines of a result
            Display().display(line)
        return {**result, "changed": False, "lines": lines}
