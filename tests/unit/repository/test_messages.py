# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshoot/ has an entry for each message that the product can print, and no other."""

from __future__ import annotations

import ast
import re
import sys

import project
import pytest

sys.path.insert(0, str(project.ROOT / "docs"))

import messages  # noqa: E402  a program of docs/, not of a package

PYTHON = [p for top in messages.SOURCES for p in sorted((project.ROOT / top).rglob("*.py"))]


def test_each_message_has_an_entry():
    missing = messages.without_entry(messages.messages())
    assert [f"{place.path}:{place.line}: {place.text}" for place in missing] == []


def test_each_entry_is_about_a_message():
    assert [f"{entry.page}: {entry.heading}" for entry in messages.without_message()] == []


@pytest.mark.parametrize("entry", messages.entries(), ids=lambda entry: entry.heading[:40])
def test_each_entry_says_cause_and_remedy(entry):
    for word in ("Cause", "Remedy"):
        assert re.search(rf"^{word}: \S", entry.body, re.MULTILINE), f"{entry.page}: {entry.heading} has no {word}"
    assert not entry.heading.endswith("…") or len(messages.plain(entry.heading)) >= 25, "too short to be told apart"


def test_there_is_no_heading_twice():
    headings = [messages.plain(entry.heading) for entry in messages.entries()]
    assert sorted({heading for heading in headings if headings.count(heading) > 1}) == []


def texts_that_are_raised(path):
    """Yield line and text of each literal that is the first argument of an exception."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            if is_class(node.exc.func) and is_literal(node.exc.args[0]):
                yield node.lineno, ast.unparse(node.exc.args[0])


def is_class(node):
    """Return whether a call makes an exception itself; a function that makes one marks the text where it is written."""
    return ast.unparse(node).rpartition(".")[2].lstrip("_")[0].isupper()


def is_literal(node):
    """Return whether an expression is a text that is written here, in one of its branches at least."""
    if isinstance(node, ast.IfExp):
        return is_literal(node.body) or is_literal(node.orelse)
    return isinstance(node, (ast.JoinedStr, ast.BinOp)) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@pytest.mark.parametrize("path", PYTHON, ids=project.short)
def test_what_is_raised_is_marked_as_a_message(path):
    assert [f"{line}: {text}" for line, text in texts_that_are_raised(path)] == []


SAMPLE = """
fail(Message(f"port {port} is taken by {', '.join(units)}; " f"stop {units[0]!r}"))
fail(Message("one" if x else f"two {a['key']}"))
fail(Message(str(error)))
fail(Message("a " + reason))
"""


def test_the_texts_are_read_from_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    path = tmp_path / "code.py"
    path.write_text(SAMPLE)
    assert [place.text for place in messages.marked(path)] == [
        "port <port> is taken by <units>; stop <value>",
        "one",
        "two <key>",
        "a <value>",
    ]


def test_a_text_that_passes_on_other_messages_needs_no_entry():
    places = [messages.Place("a.py", 1, text) for text in ("<name>: <error>", "<error>.", "no such <thing> anywhere")]
    assert messages.without_entry(places) == places[2:]


@pytest.mark.parametrize(
    ("heading", "same"),
    [
        ("port <number> is taken by <x>; stop <x>", True),
        ("port <a> is …", True),
        ("port <a>", False),
        ("<a> is …", False),
    ],
)
def test_an_entry_is_compared_without_the_names_of_what_varies(heading, same):
    entry = messages.Entry("page", heading, "")
    assert messages.says(entry, "port <port> is taken by <units>; stop <value>") is same
