# SPDX-License-Identifier: Apache-2.0
"""The word list of `make lint` is one that codespell applies, its phrases too."""

from __future__ import annotations

import subprocess
import sys

import project
import pytest

WORDS = project.ROOT / "docs/words.txt"
LINES = WORDS.read_text(encoding="utf-8").splitlines()
COMMAND = [sys.executable, "-m", "codespell_lib", "-D", "-", "-D", "docs/words.txt", "-"]


def found_in(text: str) -> str:
    """Return what codespell reports about a text."""
    done = subprocess.run(COMMAND, cwd=project.ROOT, input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_every_word_and_phrase_of_the_list_is_found():
    wrong = [line.split("->")[0] for line in LINES]
    report = found_in("".join(f"it {phrase} here\n" for phrase in wrong))
    assert [phrase for phrase in wrong if f"\t{phrase} ==> " not in report] == []


def test_other_words_are_left_alone():
    assert found_in("Repair the host, then verify that the instance runs in the same directory.\n") == ""


@pytest.mark.parametrize("text", ["the colour of the catalogue\n", "recieve\n"])  # codespell:ignore
def test_spelling_is_american_and_correct(text):
    assert " ==> " in found_in(text)


def test_the_list_is_sorted():
    assert LINES == sorted(LINES)
