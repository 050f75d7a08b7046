# SPDX-License-Identifier: Apache-2.0
"""Make the plan of a host from its components. The code is in module_utils/plan/host_plan.py."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.errors import AnsibleFilterError
from ansible.module_utils.message import Message
from ansible.module_utils.plan import host_plan
from ansible.vars.hostvars import HostVars


def plan(
    components: Mapping[str, Any],
    host: str,
    cloud: Mapping[str, Any],
    owners: Mapping[str, str],
    common: Mapping[str, Any],
    access: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the plan of a host; see host_plan.host_plan."""
    try:
        return host_plan.host_plan(components, host, cloud, owners, common, access)
    except ValueError as error:
        raise AnsibleFilterError(Message(str(error))) from error


def compute_names(hostvars: HostVars, hosts: Iterable[str]) -> list[str]:
    """Return the names under which Nova knows computes.

    The check of each host has them (registered as host_state); hosts outside --limit have no check.
    """
    results = [hostvars.raw_get(host).get("host_state") or {} for host in hosts]
    return [result["compute_name"] for result in results if "compute_name" in result]


def any_pending(hostvars: HostVars) -> bool:
    """Return whether something is pending on any host, according to its check."""
    return any((hostvars.raw_get(host).get("host_state") or {}).get("pending") for host in hostvars)


class FilterModule:
    """The filters of the plan."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"host_plan": plan, "compute_names": compute_names, "any_pending": any_pending}
