# SPDX-License-Identifier: Apache-2.0
"""Says where the options of hosts' configuration files come from; runs on the control node and touches no host."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.module_utils.explain import explain  # noqa: E402  found only on the path that was just added


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None) -> dict:
        """Print the lines of the answer and return them as `lines`."""
        result = super().run(tmp, task_vars)
        _module, options = self.validate_argument_spec(
            argument_spec={
                "plans": {"type": "dict", "required": True},
                "option": {"type": "str", "default": ""},
                "file": {"type": "str", "default": ""},
                "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            }
        )
        try:
            lines = explain(options["plans"], options["option"], options["file"], options["secrets"])
        except ValueError as error:
            raise AnsibleActionFail(f"Nothing to explain: {error}.") from None
        for line in lines:  # a result would be wrapped
            Display().display(line)
        # Ansible would show the arguments, and with them all plans.
        return {**result, "changed": False, "lines": lines, "invocation": {"module_args": {}}}
