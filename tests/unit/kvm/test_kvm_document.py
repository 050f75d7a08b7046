# SPDX-License-Identifier: Apache-2.0
"""docs/kvm.md names every cause, and whether KVM can be enabled."""

from __future__ import annotations

import ast
import pathlib
import re

from ansible.module_utils.kvm import diagnose, not_started

ROOT = pathlib.Path(__file__).resolve().parents[3]


def causes_of(module):
    """Yield the first argument of each Diagnosis(...) in the source of a module."""
    for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Diagnosis":
            yield ast.literal_eval(node.args[0])


def test_document_knows_every_cause():
    causes = {*causes_of(diagnose), *causes_of(not_started)}
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (yes|no|) ?\|$", (ROOT / "docs/kvm.md").read_text(), re.MULTILINE))
    assert {*diagnose.USABLE, *diagnose.CAN_BE_ENABLED} <= causes
    assert causes == set(rows)
    assert {cause for cause, enabled in rows.items() if enabled == "yes"} == set(diagnose.CAN_BE_ENABLED)
