#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare docs/troubleshoot/ with the messages that the product can print.

usage: messages.py [PATH...]    the messages in these files or directories (default: all) that have no entry yet

A message is a text that the source marks with Message(...) (module_utils/message.py), or the fail_msg of a task.
An entry is a heading, `### ` and the text in backticks, with what varies in angle brackets; "…" cuts off a long one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs/troubleshoot"
SOURCES = ("library", "module_utils", "plugins", "roles", "playbooks")
VARIABLE = "<>"


class Place(NamedTuple):
    """Where a message is written, and its text with the names of what varies in angle brackets."""

    path: str
    line: int
    text: str


class Entry(NamedTuple):
    """An entry of a page: its heading without the backticks, and what is below it."""

    page: str
    heading: str
    body: str


def name_of(node: ast.expr) -> str:
    """Return a name for what an f-string inserts."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.slice.value
    if isinstance(node, ast.Call) and node.args:
        return name_of(node.args[0])
    return "value"


def texts_of(node: ast.expr) -> list[str] | None:
    """Return the texts that an expression can give; None where it only passes on another message."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        parts = [
            str(value.value) if isinstance(value, ast.Constant) else f"<{name_of(value.value)}>"
            for value in node.values
            if isinstance(value, (ast.Constant, ast.FormattedValue))
        ]
        return ["".join(parts)]
    if isinstance(node, ast.IfExp):
        return [*(texts_of(node.body) or []), *(texts_of(node.orelse) or [])]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = texts_of(node.left) or ["<value>"], texts_of(node.right) or ["<value>"]
        return [a + b for a in left for b in right]
    return None


def marked(path: Path) -> Iterator[Place]:
    """Give the marked texts of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Message" and node.args:
            for text in texts_of(node.args[0]) or []:
                yield Place(str(path.relative_to(ROOT)), node.lineno, text)


def of_tasks(path: Path) -> Iterator[Place]:
    """Give the fail_msg of the tasks of a YAML file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = re.match(r"\s*fail_msg:\s*(.+)", line)
        if found:
            text = re.sub(r"{{\s*([\w.]*\.)?(\w+).*?}}", r"<\2>", yaml.safe_load(found[1]))
            yield Place(str(path.relative_to(ROOT)), number, text)


def messages(paths: list[Path] | None = None) -> list[Place]:
    """Return every message of the source, or of some of its files and directories."""
    found: list[Place] = []
    for top in paths or [ROOT / name for name in SOURCES]:
        files = [top] if top.is_file() else sorted([*top.rglob("*.py"), *top.rglob("*.yml")])
        for path in files:
            found += marked(path) if path.suffix == ".py" else of_tasks(path)
    return found


def entries() -> list[Entry]:
    """Return the entries of all pages."""
    found = []
    for page in sorted(PAGES.glob("*.md")):
        parts = re.split(r"^### (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for heading, body in zip(parts[1::2], parts[2::2]):
            found.append(Entry(page.name, heading.strip().strip("`"), body))
    return found


def plain(text: str) -> str:
    """Return a text with one mark for everything that varies, and single spaces."""
    return " ".join(re.sub(r"<[^<>]*>", VARIABLE, text).split())


def says(entry: Entry, text: str) -> bool:
    """Tell whether an entry is about a message."""
    heading = plain(entry.heading)
    return plain(text).startswith(heading[:-1].rstrip()) if heading.endswith("…") else plain(text) == heading


def without_entry(places: list[Place]) -> list[Place]:
    """Return the messages that no entry is about."""
    known = entries()
    return [place for place in places if has_words(place.text) and not any(says(e, place.text) for e in known)]


def has_words(text: str) -> bool:
    """Return whether a text says something itself, instead of passing on other messages."""
    return any(letter.isalpha() for letter in re.sub(r"<[^<>]*>", "", text))


def without_message() -> list[Entry]:
    """Return the entries that are about no message of the source."""
    texts = [place.text for place in messages()]
    return [entry for entry in entries() if not any(says(entry, text) for text in texts)]


def main() -> int:
    """Print the messages without an entry, as headings to paste."""
    places = without_entry(messages([Path(name).resolve() for name in sys.argv[1:]]))
    for place in places:
        print(f"### `{place.text}`    {place.path}:{place.line}")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
