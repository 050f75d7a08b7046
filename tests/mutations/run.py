#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Break the project, one change after another, and check that a unit test fails for each: `make mutations`.

The changes are in mutations.yml. Each is made in a copy of the tree; the fast tests of data and pure functions run on
it. Tests that compare with a stored copy (golden files, generated documents) run only if all others pass: a change that
only they notice has a meaning that no test checks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".*_cache", ".git", ".venv", ".lab", ".cache", ".ansible", "__pycache__")
BEHAVIOR = "test_catalog test_layout test_host_plan test_host_state test_host_values test_layers"
BEHAVIOR += " test_formats test_cloud_model test_cloud_urls test_cloud_inventory"
STORED = (
    "tests/unit/plan/test_golden.py",
    "tests/unit/repository/test_layout.py::test_generated_documents_are_current",
)


def copy_tree(target: Path) -> Path:
    """Return a copy of the project."""
    shutil.copytree(ROOT, target, ignore=LEFT_OUT, symlinks=True)
    return target


def change(tree: Path, mutation: dict) -> str:
    """Make a change and return the former text of the file. Raise ValueError if the file does not have the old text."""
    path = tree / mutation["file"]
    text = known = path.read_text(encoding="utf-8")
    for edit in mutation["edits"]:
        if edit["before"] not in text:
            raise ValueError(
                f"{mutation['name']}: {mutation['file']} does not have {edit['before']!r}; adapt the mutation"
            )
        text = text.replace(edit["before"], edit["after"], 1)
    path.write_text(text, encoding="utf-8")
    return known


def red(tree: Path, *arguments: str) -> str:
    """Return the name of the first test that fails, empty if all pass. Raise RuntimeError if none ran."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    failed = re.search(r"^(?:FAILED|ERROR) \S*?(\w+\.py(?:::\w+)?)", done.stdout, re.M)
    if done.returncode not in (0, 1, 2) or (done.returncode and not failed):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed.group(1) if failed else ""


def find_red(tree: Path) -> str:
    """Return the test that notices the change of the tree, empty if none does."""
    behavior = [next(tree.glob(f"tests/unit/*/{name}.py")) for name in BEHAVIOR.split()]
    return red(tree, *map(str, behavior), "--deselect", STORED[1]) or red(tree, *STORED)


def main() -> int:
    """Print a table of the changes and the tests that failed; return 1 if a change went unnoticed."""
    mutations = yaml.safe_load(Path(__file__).with_name("mutations.yml").read_text(encoding="utf-8"))
    wanted = [row for row in mutations if not sys.argv[1:] or any(word in row["name"] for word in sys.argv[1:])]
    unnoticed = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = copy_tree(Path(directory) / "tree")
        found = find_red(tree)
        if found:
            raise SystemExit(f"{found} fails without any change; fix it first")
        for mutation in wanted:
            began, known = time.monotonic(), change(tree, mutation)
            found = find_red(tree)
            (tree / mutation["file"]).write_text(known, encoding="utf-8")
            unnoticed += not found
            print(f"| {mutation['name']} | {found or 'NONE'} | {time.monotonic() - began:.0f} s |", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
