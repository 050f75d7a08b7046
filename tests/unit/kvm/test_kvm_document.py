# SPDX-License-Identifier: Apache-2.0
"""docs/kvm.md names every cause, and whether it can be enabled."""

from __future__ import annotations

import pathlib
import re

from ansible.module_utils.kvm import diagnose

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_document_knows_every_cause():
    source = pathlib.Path(diagnose.__file__).read_text()
    causes = set(re.findall(r'^\s+(?:return )?\(?\s*"([a-z][a-z0-9_]+)",\s*(?:f?["\']|$)', source, re.MULTILINE))
    causes |= {*diagnose.USABLE, *diagnose.CAN_BE_ENABLED}
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (yes|no|) ?\|$", (ROOT / "docs/kvm.md").read_text(), re.MULTILINE))
    assert causes == set(rows)
    assert {cause for cause, can_be_enabled in rows.items() if can_be_enabled == "yes"} == set(diagnose.CAN_BE_ENABLED)
