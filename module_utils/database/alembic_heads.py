# SPDX-License-Identifier: Apache-2.0
"""Read alembic migrations without importing them, and tell what a fully migrated database records."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.message import Message, OperatorError

FIELDS = ("revision", "down_revision", "depends_on")


class Unreadable(OperatorError):
    """A migration is no Python, or computes its revision."""


def revision_of(source: str) -> tuple[str, set[str]] | None:
    """Return revision and direct predecessors of a migration, None for another Python file.

    Raise SyntaxError or ValueError for a source that cannot be read, or computes one of these.
    """
    values: dict[str, Any] = {}
    for node in ast.parse(source).body:
        value: ast.expr | None
        if isinstance(node, ast.Assign):
            names, value = [target.id for target in node.targets if isinstance(target, ast.Name)], node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names, value = [node.target.id], node.value
        else:
            continue
        for name in names:
            if name in FIELDS and value is not None:
                values[name] = ast.literal_eval(value)
    if not values.get("revision"):
        return None
    return values["revision"], _as_set(values.get("down_revision")) | _as_set(values.get("depends_on"))


def _as_set(value: str | Iterable[str] | None) -> set[str]:
    """Return None, a text or several texts as a set."""
    if value is None:
        return set()
    return {value} if isinstance(value, str) else set(value)


def graph(directories: str | Iterable[str]) -> dict[str, set[str]]:
    """Return the migrations below directories: for each revision, its direct predecessors.

    Raise Unreadable.
    """
    found = {}
    for path in _scripts([directories] if isinstance(directories, str) else directories):
        with open(path, encoding="utf-8") as script:
            source = script.read()
        try:
            entry = revision_of(source)
        except (SyntaxError, ValueError) as error:
            raise Unreadable(Message(f"the migration {path} cannot be read: {error}")) from error
        if entry:
            found[entry[0]] = entry[1]
    return found


def _scripts(directories: Iterable[str]) -> Iterator[str]:
    """Give the paths of the Python files below directories."""
    for directory in directories:
        for path, _directories, files in sorted(os.walk(directory)):
            for name in sorted(files):
                if name.endswith(".py") and name != "__init__.py":
                    yield os.path.join(path, name)


def heads(revisions: Mapping[str, set[str]]) -> set[str]:
    """Return the rows of alembic_version in a fully migrated database: what no other revision follows or depends on."""
    return set(revisions) - set().union(*revisions.values())


def ancestors(revisions: Mapping[str, set[str]], of: Iterable[str]) -> set[str]:
    """Return every revision before the given ones, without these unless one comes before another."""
    found: set[str] = set()
    pending = set().union(*(revisions.get(revision, set()) for revision in of))
    while pending:
        revision = pending.pop()
        if revision not in found:
            found.add(revision)
            pending |= revisions.get(revision, set())
    return found
