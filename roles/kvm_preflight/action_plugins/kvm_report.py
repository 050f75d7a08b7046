# SPDX-License-Identifier: Apache-2.0
"""Shows the verdicts of all hosts as one table and writes them to a file; runs on the control node, costs no module."""

from __future__ import annotations

import json
import os
import tempfile

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

HEAD = ("host", "verdict", "cause", "virt_type", "what to do")


def row(host, verdict):
    if "verdict" not in verdict:  # unreachable, or its task failed
        return (host, "-", "no answer", "-", "reach the host, and see why its task failed")
    cause = " + ".join([verdict["cause"], *(name for name in verdict["failed_checks"] if name != "acceleration")])
    return (host, verdict["verdict"], cause, verdict["recommended_virt_type"], verdict["remedy"] or "-")


def table(verdicts):
    """Lines with columns as wide as they must be; the last is free."""
    rows = [HEAD, *(row(host, verdict) for host, verdict in verdicts.items())]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD) - 1)]
    return ["  ".join([*(text.ljust(width) for text, width in zip(line, widths)), line[-1]]) for line in rows]


def write(path, verdicts):
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    number, draft = tempfile.mkstemp(dir=folder)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(verdicts, file, indent=1, sort_keys=True)
        file.write("\n")
    os.chmod(draft, 0o644)
    os.replace(draft, path)


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _module, options = self.validate_argument_spec(
            argument_spec={
                "verdicts": {"type": "dict", "required": True},
                "folder": {"type": "str", "required": True},
            }
        )
        path = os.path.join(os.path.abspath(os.path.expanduser(options["folder"])), "kvm.json")
        if not self._task.check_mode:
            try:
                write(path, options["verdicts"])
            except OSError as error:
                raise AnsibleActionFail(
                    f"The report of KVM cannot be written to {path}: {error.strerror}; "
                    "set kvm_preflight_report_folder to a folder that you may write to."
                ) from error
        lines = table(options["verdicts"])
        for line in lines:  # a result would be wrapped
            Display().display(line)
        result.update(changed=False, path=path, table=lines)
        return result
