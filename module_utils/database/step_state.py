# SPDX-License-Identifier: Apache-2.0
"""Compare the outcome that a step names with what is there: current schemas, a row, a path."""

from __future__ import annotations

import os
from typing import Any, TypedDict

from ansible.module_utils.database import alembic_heads, sql_url
from ansible.module_utils.message import Message, OperatorError


class Schema(TypedDict):
    """A database, and the directories of its alembic migrations."""

    url: str
    versions: list[str]


class Query(TypedDict):
    """A query of a database."""

    url: str
    query: str
    params: list[str]


class Value(Query):
    """A query whose first column replaces a name in a command."""

    name: str


class Step(TypedDict):
    """A command and its outcome, as the parameters of db_bootstrap have it."""

    argv: list[str]
    user: str | None
    environment: dict[str, str]
    schema: list[Schema]
    row: Query | None
    creates: str | None
    values: list[Value]


class Unknown(OperatorError):
    """The outcome cannot be read, and running the step would not help."""


def urls(step: Step) -> list[str]:
    """Return every database URL that a step names."""
    row = [step["row"]["url"]] if step["row"] else []
    return [*(schema["url"] for schema in step["schema"]), *(value["url"] for value in step["values"]), *row]


def missing_reason(step: Step, predict: bool = False) -> str | None:
    """Return why a step must run, or None when its whole outcome is there; raise OperatorError.

    predict: in place of an error, return its text: check mode on a host without databases or packages.
    """
    if step["creates"] and not os.path.exists(step["creates"]):
        return f"{step['creates']} does not exist"
    try:
        for schema in step["schema"]:
            reason = _schema_reason(schema, predict)
            if reason:
                return reason
        if step["row"] and not first_row(step["row"], predict):
            return f"no such row in {sql_url.shown(step['row']['url'])}"
    except OperatorError as error:
        if not predict:
            raise
        return str(error)
    return None


def _schema_reason(schema: Schema, predict: bool) -> str | None:
    """Return why a schema is not current, or None; raise OperatorError."""
    wanted = alembic_heads.heads(migrations(schema))
    found = recorded_revisions(schema["url"], predict)
    if found == wanted:
        return None
    place, listed = sql_url.shown(schema["url"]), ", ".join(sorted(found)) or "no revision"
    return f"schema of {place} is at {listed}, the package wants {', '.join(sorted(wanted))}"


def migrations(schema: Schema) -> dict[str, set[str]]:
    """Return the direct predecessors of each revision of the installed package; raise Unreadable or Unknown."""
    revisions = alembic_heads.graph(schema["versions"])
    if not revisions:
        raise Unknown(Message(f"no migrations in {', '.join(schema['versions'])}: is the service's package installed?"))
    return revisions


def recorded_revisions(url: str, predict: bool = False) -> set[str]:
    """Return the rows of alembic_version, none without that table; raise DatabaseError."""
    return {row[0] for row in sql_url.query(url, "SELECT version_num FROM alembic_version", as_root=predict)}


def first_row(entry: Query, predict: bool = False) -> tuple[Any, ...] | None:
    """Return the first row of a query, or None; raise DatabaseError."""
    rows = sql_url.query(entry["url"], entry["query"], entry["params"], predict)
    return rows[0] if rows else None


def has_values(step: Step) -> bool:
    """Return whether the databases have the values that a step's command needs; for check mode."""
    try:
        return all(first_row(value, predict=True) is not None for value in step["values"])
    except OperatorError:
        return False


def command(step: Step) -> list[str]:
    """Return a step's command with the values that its queries find; raise Unknown or DatabaseError."""
    argv = step["argv"]
    for value in step["values"]:
        row = first_row(value)
        if row is None:
            raise Unknown(Message(f"'{' '.join(argv)}' needs {value['name']}, but no row answers '{value['query']}'"))
        argv = [item.replace(value["name"], str(row[0])) for item in argv]
    return argv
