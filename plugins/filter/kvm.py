# SPDX-License-Identifier: Apache-2.0
"""kvm_table: what each hypervisor can run, as a table. The work is in module_utils/kvm/kvm_report.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ansible.module_utils

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.module_utils.kvm import kvm_report  # noqa: E402  found only on the path that was just added


def kvm_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the results of kvm_verify by host as lines of a table."""
    return "\n".join(kvm_report.table(results))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return it by name."""
        return {"kvm_table": kvm_table}
