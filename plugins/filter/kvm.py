# SPDX-License-Identifier: Apache-2.0
"""Show the evaluation of KVM on all hosts as a table. The code is in module_utils/kvm/kvm_report.py."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.module_utils.kvm import kvm_report


def kvm_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the results of kvm_verify by host as lines of a table."""
    return "\n".join(kvm_report.table(results))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filter by name."""
        return {"kvm_table": kvm_table}
