# SPDX-License-Identifier: Apache-2.0
"""Says once what the looks at all hosts found: the table of KVM, then every problem of every host in one message.

Runs once, on the control node; it needs no connection and reads the result of each host once.

    preflight_report:
      cloud: "{{ cloud }}"                # the model of the cloud: its computes, its config_overrides
      folder: /path/of/reports            # for kvm.json
      register_name: host_state           # the variable in which each host keeps the result of its look
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.module_utils.kvm import kvm_report  # noqa: E402  found only on the path just added
from ansible.module_utils.plan import preflight_report  # noqa: E402  found only on the path just added


class ActionModule(ActionBase):
    """The report of preflight."""

    TRANSFERS_FILES = False
    _requires_connection = False
    BYPASS_HOST_LOOP = True  # one report for all hosts, whatever the task says

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _module, options = self.validate_argument_spec(
            argument_spec={
                "cloud": {"type": "dict", "required": True},
                "folder": {"type": "str"},
                "register_name": {"type": "str", "default": "host_state"},
            }
        )
        results = looks(task_vars["hostvars"], task_vars["ansible_play_hosts_all"], options["register_name"])
        groups, overrides = options["cloud"]["groups"], options["cloud"].get("overrides") or {}
        computes = [host for host in groups["nova_computes"] if host in results]
        kvm_results = preflight_report.kvm_results(results, computes)
        if kvm_results:
            self.write(options["folder"], kvm_results)
            for line in kvm_report.table(kvm_results):  # a result would be wrapped
                Display().display(line)
        for line in preflight_report.unlisted(results):
            Display().display(line)
        members = {host for hosts in groups.values() for host in hosts}
        unknown = preflight_report.unknown_overrides(results, overrides, members)
        found = preflight_report.problems(results, unknown)
        if found:
            return {**result, "failed": True, "msg": "\n".join(found)}
        return {**result, "changed": False, **preflight_report.summary(results)}

    def write(self, folder: str | None, kvm_results: dict) -> None:
        """Write the report of KVM, outside of check mode."""
        if not folder or self._task.check_mode:
            return
        path = kvm_report.path_in(folder)
        try:
            kvm_report.write(path, kvm_results)
        except OSError as error:
            raise AnsibleActionFail(kvm_report.refusal(path, error)) from error


def looks(hostvars: Mapping, hosts: list, name: str) -> dict:
    """Return the result of each host's look, each read once; an empty one where there is none."""
    return {host: plain(hostvars[host].get(name)) for host in hosts}


def plain(result: object) -> dict:
    """Return a result as a dict that may be written to a file."""
    return dict(result) if isinstance(result, Mapping) else {}
