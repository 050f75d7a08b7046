# SPDX-License-Identifier: Apache-2.0
"""Report the results of the check of all hosts: the KVM table, then every problem of every host in one message.

The action runs once, on the control node, and reads the result of each host once.

    preflight_report:
      cloud: "{{ cloud }}"                # the model of the cloud: its computes, its config_overrides
      directory: /path/of/reports         # for kvm.json
      register_name: host_state           # the variable in which each host keeps the result of its check
"""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.errors import AnsibleActionFail
from ansible.module_utils.kvm import kvm_report
from ansible.module_utils.message import Message
from ansible.module_utils.plan import preflight_report
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

SPEC = {
    "cloud": {"type": "dict", "required": True},
    "directory": {"type": "str"},
    "register_name": {"type": "str", "default": "host_state"},
}


class ActionModule(ActionBase):
    """Report what the check of all hosts found."""

    TRANSFERS_FILES = False
    _requires_connection = False
    BYPASS_HOST_LOOP = True  # one report for all hosts, also without run_once

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the hosts where something is pending, or fail with every problem."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _module, options = self.validate_argument_spec(argument_spec=SPEC)
        results = results_of(variables["hostvars"], variables["ansible_play_hosts_all"], options["register_name"])
        groups, overrides = options["cloud"]["groups"], options["cloud"].get("overrides") or {}
        computes = [host for host in groups["nova_computes"] if host in results]
        kvm_results = preflight_report.kvm_results(results, computes)
        if kvm_results:
            self.write(options["directory"], kvm_results)
            self.show(kvm_report.table(kvm_results))
        self.show(preflight_report.releases_without_list(results))
        members = {host for hosts in groups.values() for host in hosts}
        unknown = preflight_report.unknown_overrides(results, overrides, members)
        problems = preflight_report.problems(results, unknown)
        if problems:
            return {**result, "failed": True, "msg": "\n".join(problems)}
        return {**result, "changed": False, **preflight_report.summary(results)}

    def show(self, lines: Iterable[str]) -> None:
        """Print lines as they are; Ansible would wrap those of a result."""
        for line in lines:
            Display().display(line)

    def write(self, directory: str | None, kvm_results: dict[str, Any]) -> None:
        """Write the KVM report, except in check mode."""
        if not directory or self._task.check_mode:
            return
        path = kvm_report.path_in(directory)
        try:
            kvm_report.write(path, kvm_results)
        except OSError as error:
            raise AnsibleActionFail(Message(kvm_report.refusal(path, error))) from error


def results_of(hostvars: Mapping[str, Any], hosts: Iterable[str], name: str) -> dict[str, dict[str, Any]]:
    """Return the result of each host's check, read once; an empty dict where there is none."""
    return {host: plain(hostvars[host].get(name)) for host in hosts}


def plain(result: object) -> dict[str, Any]:
    """Return a result as a dict that can be written to a file."""
    return dict(result) if isinstance(result, Mapping) else {}
