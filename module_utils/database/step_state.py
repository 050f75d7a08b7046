# SPDX-License-Identifier: Apache-2.0
"""Tell whether the outcome that a step names is there: current schemas, a row, a path."""

from __future__ import annotations

import os
from contextlib import nullcontext as nothing_held

from ansible.module_utils.database import alembic_heads, sql_url

__all__ = ["Unknown", "filled", "has_values", "lacking", "nothing_held", "urls"]


class Unknown(Exception):
    """The outcome cannot be read, and running the step would not help."""


def urls(step):
    """Every database URL that a step names."""
    entries = [*step["schema"], *step["values"], *([step["row"]] if step["row"] else [])]
    return [entry["url"] for entry in entries]


def lacking(step, predict=False):
    """Why the step must run, or None when its whole outcome is there.

    predict: a database that cannot be read counts as one without the outcome (check mode on an empty machine).
    """
    if step["creates"] and not os.path.exists(step["creates"]):
        return f"{step['creates']} does not exist"
    try:
        for entry in step["schema"]:
            reason = behind(entry, predict)
            if reason:
                return reason
        if step["row"] and not first_row(step["row"], predict):
            return f"no such row in {sql_url.shown(step['row']['url'])}"
    except Unknown as error:
        if not predict:
            raise
        return str(error)
    return None


def behind(entry, predict=False):
    """Why a schema is not current, or None."""
    wanted = alembic_heads.heads(scripts(entry))
    found = recorded(entry["url"], predict)
    if found == wanted:
        return None
    return f"schema of {sql_url.shown(entry['url'])} is at {listed(found)}, the package wants {listed(wanted)}"


def scripts(entry):
    """The graph of the migrations on disk."""
    try:
        revisions = alembic_heads.graph(entry["versions"])
    except ValueError as error:
        raise Unknown(f"a migration cannot be read: {error}") from error
    if not revisions:
        raise Unknown(f"no migrations in {', '.join(entry['versions'])}: is the service's package installed?")
    return revisions


def recorded(url, predict=False):
    """The rows of alembic_version; empty for a database without that table."""
    return {row[0] for row in query(url, "SELECT version_num FROM alembic_version", predict=predict)}


def first_row(entry, predict=False):
    """The first row of a query, or None."""
    rows = query(entry["url"], entry["query"], entry["params"], predict)
    return rows[0] if rows else None


def query(url, text, params=(), predict=False):
    """All rows; none where a table is missing; Unknown where the database cannot be asked."""
    try:
        connection = sql_url.connect(url, as_root=predict)
    except ImportError as error:
        raise Unknown("python3-pymysql is not installed") from error
    except Exception as error:  # PyMySQL's own classes cannot be named here: it is imported late
        raise Unknown(sql_url.hint(error, url)) from error
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(text, tuple(params) or None)
            return cursor.fetchall()
    except Exception as error:
        if sql_url.code(error) in sql_url.NOT_THERE:
            return ()
        raise Unknown(f"the query '{text}' failed: {sql_url.hint(error, url)}") from error


def has_values(step):
    """Whether the database has what the step's command needs; for check mode."""
    try:
        return all(first_row(value, predict=True) is not None for value in step["values"])
    except Unknown:
        return False


def filled(step):
    """The command with what its values' queries find."""
    argv = step["argv"]
    for value in step["values"]:
        row = first_row(value)
        if row is None:
            raise Unknown(f"'{' '.join(argv)}' needs {value['name']}, but no row answers '{value['query']}'")
        argv = [item.replace(value["name"], str(row[0])) for item in argv]
    return argv


def listed(revisions):
    """Revisions for a person."""
    return ", ".join(sorted(revisions)) or "nothing"
