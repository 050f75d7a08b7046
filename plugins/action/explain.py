# SPDX-License-Identifier: Apache-2.0
"""Says where the options of hosts' configuration files come from.

It runs once, on the control node, and touches no host: it makes the plan (`deploy_plan`) of every host of the play.
"""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
import ansible.plugins
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

ROOT = Path(__file__).resolve().parents[2]
for package, folder in ((ansible.module_utils, ROOT / "module_utils"), (ansible.plugins, ROOT / "plugins")):
    if str(folder) not in package.__path__:  # Ansible offers the first to modules only, the second to nobody
        package.__path__.append(str(folder))

from ansible.module_utils.config.explain import explain  # noqa: E402
from ansible.module_utils.plan import host_call  # noqa: E402  found only on the path that was just added
from ansible.plugins.plugin_utils.host_templates import templar_of  # noqa: E402
from ansible.template import trust_as_template  # noqa: E402

PLAN = trust_as_template("{{ deploy_plan }}")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None) -> dict:
        """Print the lines of the answer and return them as `lines`."""
        result = super().run(tmp, task_vars)
        _module, options = self.validate_argument_spec(
            argument_spec={
                "option": {"type": "str", "default": ""},
                "file": {"type": "str", "default": ""},
            }
        )
        plans, secrets = {}, set()
        for host in task_vars["ansible_play_hosts_all"]:
            templar = templar_of(self, task_vars["hostvars"], host)
            plans[host] = templar.template(PLAN)
            if plans[host].get("problems"):
                raise AnsibleActionFail("\n".join(plans[host]["problems"]))
            secrets |= set(host_call.secrets(templar, task_vars["cloud"]["secret_paths"]))
        try:
            lines = explain(plans, options["option"], options["file"], sorted(secrets))
        except ValueError as error:
            end = "" if str(error).endswith("?") else "."
            raise AnsibleActionFail(f"Nothing to explain: {error}{end}") from None
        for line in lines:  # a result would be wrapped
            Display().display(line)
        return {**result, "changed": False, "lines": lines}
