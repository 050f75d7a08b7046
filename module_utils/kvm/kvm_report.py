# SPDX-License-Identifier: Apache-2.0
"""The results of kvm_verify on all hosts as a table and as a file on the control node."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.host import atomic_file
from ansible.module_utils.message import Message

HEAD = ("host", "result", "cause", "virt_type", "what to do")


def row(host: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a host."""
    if "result" not in result:  # it could not be reached, or its task failed
        return (host, "-", "no answer", "-", "reach the host, and see why its task failed")
    cause = " + ".join([result["cause"], *(name for name in result["failed_checks"] if name != "acceleration")])
    return (host, result["result"], cause, result["recommended_virt_type"], result["remedy"] or "-")


def table(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table with a row for each host."""
    rows = [HEAD, *(row(host, result) for host, result in results.items())]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD) - 1)]
    return ["  ".join([*(text.ljust(width) for text, width in zip(line, widths)), line[-1]]) for line in rows]


def path_in(directory: str) -> str:
    """Return the path of the file in a directory."""
    return os.path.join(os.path.abspath(os.path.expanduser(directory)), "kvm.json")


def write(path: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the results as JSON; raise OSError if that is not possible."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    atomic_file.write(path, json.dumps(results, indent=1, sort_keys=True) + "\n")


def refusal(path: str, error: OSError) -> Message:
    """Return why the file could not be written."""
    return Message(
        f"The report of KVM cannot be written to {path}: {error.strerror}; "
        "set kvm_preflight_report_dir to a directory that you can write to."
    )
