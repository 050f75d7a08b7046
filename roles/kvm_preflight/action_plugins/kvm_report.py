# SPDX-License-Identifier: Apache-2.0
"""Shows the results of all hosts as one table and writes them to a file; runs on the control node, costs no module."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE_UTILS = str(Path(__file__).resolve().parents[3] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.module_utils.kvm import kvm_report  # noqa: E402  found only on the path just added


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _module, options = self.validate_argument_spec(
            argument_spec={
                "results": {"type": "dict", "required": True},
                "folder": {"type": "str", "required": True},
            }
        )
        path = kvm_report.path_in(options["folder"])
        if not self._task.check_mode:
            try:
                kvm_report.write(path, options["results"])
            except OSError as error:
                raise AnsibleActionFail(kvm_report.refusal(path, error)) from error
        lines = kvm_report.table(options["results"])
        for line in lines:  # a result would be wrapped
            Display().display(line)
        result.update(changed=False, path=path, table=lines)
        return result
