# SPDX-License-Identifier: Apache-2.0
"""Plans and configuration files are those in tests/unit/golden, which a reviewer has seen."""

from __future__ import annotations

import difflib

import golden
import project
import pytest

HOW = "is this meant? Then write it with `.venv/bin/python tests/unit/golden.py --write` and commit the difference"


@pytest.mark.parametrize("shape", golden.SHAPES)
@pytest.mark.parametrize("release", project.RELEASES)
def test_a_shape_is_made_of_what_its_golden_files_say(release, shape):
    for name, text in golden.documents(release, shape).items():
        path = golden.DIRECTORY / release / shape / name
        known = path.read_text(encoding="utf-8") if path.exists() else ""
        diff = difflib.unified_diff(known.splitlines(), text.splitlines(), project.short(path), "made now", lineterm="")
        assert known == text, f"{HOW}:\n" + "\n".join(diff)


def test_every_golden_file_belongs_to_a_shape():
    assert {path for path in golden.DIRECTORY.rglob("*") if path.is_file()} == set(golden.wanted()), HOW


def test_golden_files_hold_placeholders_for_secrets_only():
    texts = [path.read_text(encoding="utf-8") for path in golden.DIRECTORY.rglob("*") if path.is_file()]
    shown = {word for text in texts for word in project.SECRETS.values() if word in text}
    assert shown == set(project.SECRETS.values())
