# SPDX-License-Identifier: Apache-2.0
"""docs/kvm.md names every cause, whether KVM can be enabled, and whether kvm_repair does it."""

from __future__ import annotations

import ast
import pathlib
import re

from ansible.module_utils.kvm import diagnose, evaluate, not_started

ROOT = pathlib.Path(__file__).resolve().parents[3]


def causes_of(module):
    """Yield the first argument of each Diagnosis(...) in the source of a module."""
    for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Diagnosis":
            yield ast.literal_eval(node.args[0])


def rows():
    """Return the cells of each row of the table of causes, by cause."""
    text = (ROOT / "docs/kvm.md").read_text()
    found = re.findall(r"^\| `(\w+)` \| (.*) \| (.*?) ?\| (yes|) ?\| (yes|no|) ?\|$", text, re.MULTILINE)
    return {cause: cells for cause, *cells in found}


def test_document_knows_every_cause():
    causes = {*causes_of(diagnose), *causes_of(not_started)}
    assert {*diagnose.USABLE, *diagnose.CAN_BE_ENABLED} <= causes
    assert causes == set(rows())


def test_document_knows_what_can_be_enabled_and_repaired():
    table = rows()
    assert {cause for cause, cells in table.items() if cells[3] == "yes"} == set(diagnose.CAN_BE_ENABLED)
    assert {cause for cause, cells in table.items() if cells[3] == ""} == set(diagnose.USABLE)
    repaired = {*evaluate.MODULE_CAUSES, *evaluate.NODE_CAUSES}
    assert {cause for cause, cells in table.items() if cells[2] == "yes"} == repaired


def test_document_has_a_remedy_for_each_cause_but_ok():
    assert [cause for cause, cells in rows().items() if not cells[1].strip()] == ["ok"]
