#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Change the project for the worse, one change after another, and see a unit test turn red for each: `make mutations`.

The changes are in mutations.yml. Each is made in a copy of the tree; the fast tests of data and pure functions run on
it. Tests that compare with a stored copy (golden files, generated documents) run only where all others stay green: a
change that only they see is one whose meaning no test says.
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
    "tests/unit/repository/test_layout.py::test_documents_made_from_data_are_current",
)


def copy_tree(target: Path) -> Path:
    """Return a copy of the project."""
    shutil.copytree(ROOT, target, ignore=LEFT_OUT, symlinks=True)
    return target


def change(tree: Path, mutation: dict) -> str:
    """Make a change and return the text that the file had. Raises ValueError where the file is not as expected."""
    path = tree / mutation["file"]
    text = known = path.read_text(encoding="utf-8")
    for edit in mutation["edits"]:
        if edit["before"] not in text:
            raise ValueError(f"{mutation['name']}: {mutation['file']} does not hold {edit['before']!r}; adapt it")
        text = text.replace(edit["before"], edit["after"], 1)
    path.write_text(text, encoding="utf-8")
    return known


def red(tree: Path, *arguments: str) -> str:
    """Return the name of the first test that fails, empty where all pass. Raises RuntimeError where none ran."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    failed = re.search(r"^(?:FAILED|ERROR) \S*?(\w+\.py(?:::\w+)?)", done.stdout, re.M)
    if done.returncode not in (0, 1, 2) or (done.returncode and not failed):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed.group(1) if failed else ""


def find_red(tree: Path) -> str:
    """Return the test that notices what was done to the tree, empty where none does."""
    behavior = [next(tree.glob(f"tests/unit/*/{name}.py")) for name in BEHAVIOR.split()]
    return red(tree, *map(str, behavior), "--deselect", STORED[1]) or red(tree, *STORED)


def main() -> int:
    """Print a table of the changes and of the test that turned red; 1 where one went unnoticed."""
    mutations = yaml.safe_load(Path(__file__).with_name("mutations.yml").read_text(encoding="utf-8"))
    wanted = [row for row in mutations if not sys.argv[1:] or any(word in row["name"] for word in sys.argv[1:])]
    unnoticed = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = copy_tree(Path(directory) / "tree")
        found = find_red(tree)
        if found:
            raise SystemExit(f"{found} is red without any change; repair it first")
        for mutation in wanted:
            began, known = time.monotonic(), change(tree, mutation)
            found = find_red(tree)
            (tree / mutation["file"]).write_text(known, encoding="utf-8")
            unnoticed += not found
            print(f"| {mutation['name']} | {found or 'NONE'} | {time.monotonic() - began:.0f} s |", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
