# SPDX-License-Identifier: Apache-2.0
"""host_plan: the components of a host put together. The work is in module_utils/plan/host_plan.py."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.errors import AnsibleFilterError  # noqa: E402
from ansible.module_utils.config import layers  # noqa: E402  found only on the path that was just added
from ansible.module_utils.plan import host_plan  # noqa: E402  found only on the path that was just added


def plan(components, host, cloud, owners, common, access) -> dict:
    """Return the plan of a host; see host_plan.host_plan."""
    try:
        return host_plan.host_plan(components, host, cloud, owners, common, access, layers.add_overrides)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def compute_names(hostvars, hosts) -> list:
    """Return the names under which Nova knows computes.

    The check of each host has them (registered as host_state); with --limit, other hosts were not checked.
    """
    checked = [hostvars.raw_get(host).get("host_state") or {} for host in hosts]
    return [result["compute_name"] for result in checked if "compute_name" in result]


def any_pending(hostvars) -> bool:
    """Return whether the check of any host found something to do."""
    return any((hostvars.raw_get(host).get("host_state") or {}).get("pending") for host in hostvars)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Return them by name."""
        return {"host_plan": plan, "compute_names": compute_names, "any_pending": any_pending}
