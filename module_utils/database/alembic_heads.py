# SPDX-License-Identifier: Apache-2.0
"""Read a folder of alembic migrations without importing them: what a fully migrated database records."""

from __future__ import annotations

import ast
import os

FIELDS = ("revision", "down_revision", "depends_on")


def revision_of(source):
    """(revision, set of the revisions before it) of one migration script; None for any other Python file."""
    values = {}
    for node in ast.parse(source).body:
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
    return values["revision"], as_set(values.get("down_revision")) | as_set(values.get("depends_on"))


def as_set(value):
    """None, a string or a sequence of strings as a set."""
    if value is None:
        return set()
    return {value} if isinstance(value, str) else set(value)


def graph(folders):
    """{revision: revisions before it} of all migrations below the folders; a script that is no migration is skipped."""
    found = {}
    for folder in [folders] if isinstance(folders, str) else folders:
        for path, _directories, files in sorted(os.walk(folder)):
            for name in sorted(files):
                if not name.endswith(".py") or name == "__init__.py":
                    continue
                with open(os.path.join(path, name), encoding="utf-8") as script:
                    source = script.read()
                try:
                    entry = revision_of(source)
                except (SyntaxError, ValueError) as error:
                    raise ValueError(f"{os.path.join(path, name)}: {error}") from error
                if entry:
                    found[entry[0]] = entry[1]
    return found


def heads(revisions):
    """The rows of alembic_version in a fully migrated database: what no other revision follows or depends on."""
    before = set().union(*revisions.values()) if revisions else set()
    return set(revisions) - before


def ancestors(revisions, of):
    """Every revision that comes before the given ones (these themselves left out)."""
    found, todo = set(), set().union(*(revisions.get(revision, set()) for revision in of)) if of else set()
    while todo:
        revision = todo.pop()
        if revision not in found:
            found.add(revision)
            todo |= revisions.get(revision, set())
    return found
