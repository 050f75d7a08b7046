# SPDX-License-Identifier: Apache-2.0
"""The results for KVM of all hosts as a table and as a file; on the control node."""

from __future__ import annotations

import json
import os
import tempfile

HEAD = ("host", "result", "cause", "virt_type", "what to do")


def row(host: str, result: dict) -> tuple:
    """Return the cells of one host."""
    if "result" not in result:  # unreachable, or its task failed
        return (host, "-", "no answer", "-", "reach the host, and see why its task failed")
    cause = " + ".join([result["cause"], *(name for name in result["failed_checks"] if name != "acceleration")])
    return (host, result["result"], cause, result["recommended_virt_type"], result["remedy"] or "-")


def table(results: dict) -> list:
    """Return lines with columns as wide as they must be; the last is free."""
    rows = [HEAD, *(row(host, result) for host, result in results.items())]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD) - 1)]
    return ["  ".join([*(text.ljust(width) for text, width in zip(line, widths)), line[-1]]) for line in rows]


def path_in(folder: str) -> str:
    """Return the path of the file in a folder."""
    return os.path.join(os.path.abspath(os.path.expanduser(folder)), "kvm.json")


def write(path: str, results: dict) -> None:
    """Replace the file whole; raise OSError with the path where it cannot be written."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    number, draft = tempfile.mkstemp(dir=folder)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1, sort_keys=True)
        file.write("\n")
    os.chmod(draft, 0o644)
    os.replace(draft, path)


def refusal(path: str, error: OSError) -> str:
    """Return why the file could not be written and what to do."""
    return (
        f"The report of KVM cannot be written to {path}: {error.strerror}; "
        "set kvm_preflight_report_dir to a folder that you may write to."
    )
