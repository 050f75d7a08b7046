# SPDX-License-Identifier: Apache-2.0
"""Make a first migration repeatable. THIS CODE CAN DROP ALL TABLES OF A DATABASE.

A first migration that was interrupted leaves tables that a second attempt cannot pass. So a database without tables is
marked before its first migration, and the mark is removed when the migration is complete.

prepare() drops every table of a database when, and only when, all of this holds:
- a step that migrates it is about to run, because the outcome of the step is not there;
- it has the mark: an earlier run started a first migration of it and did not see its end;
- the mark names revisions, its recorded revisions are among these and those before them, and it has not recorded all
  of these: it was never complete, so no service can have used it.
A database without the mark, as that of an operator, and one that was complete once are never emptied.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.database import alembic_heads, sql_url, step_state
from ansible.module_utils.database.step_state import Schema

MARK_VIEW = "nova_ansible_first_sync"
LOCK_TIMEOUT = 60  # seconds to wait for a table that is in use


class Action(enum.Enum):
    """What happens to a database before its migration."""

    MARK = "mark it"
    EMPTY = "drop every table, then mark it"
    LEAVE = "leave it as it is"


def action(tables: set[str], mark: set[str] | None, found: set[str], revisions: Mapping[str, set[str]]) -> Action:
    """Return what to do with a database before its migration.

    tables: its tables and views. mark: the revisions of its mark, None without a mark. found: its recorded revisions.
    revisions: the migrations of the installed package.

    EMPTY is returned only for a database with a mark: without other tables, or with recorded revisions that are among
    the revisions of the mark and those before them, but not all of the mark's. A revision outside of these, as one
    that the package does not have, or a newer one, leaves the database as it is.
    """
    if not tables - {MARK_VIEW}:
        return Action.MARK if mark is None else Action.EMPTY
    if not mark:
        return Action.LEAVE
    on_the_way = mark | alembic_heads.ancestors(revisions, mark)
    return Action.EMPTY if found <= on_the_way and not mark <= found else Action.LEAVE


def prepare(schemas: Iterable[Schema]) -> None:
    """Mark the databases of a step that is about to run, or DROP ALL THEIR TABLES and mark them, as action() decides.

    Raise OperatorError.
    """
    for schema in schemas:
        revisions = step_state.migrations(schema)
        with sql_url.cursor(schema["url"]) as cursor:
            cursor.execute("SHOW TABLES")  # and views
            tables = {row[0] for row in cursor.fetchall()}
            mark = None
            if MARK_VIEW in tables:
                cursor.execute(f"SELECT head FROM {MARK_VIEW}")
                mark = {row[0] for row in cursor.fetchall()}
            wanted = action(tables, mark, step_state.recorded_revisions(schema["url"]), revisions)
            if wanted is Action.EMPTY:
                _drop_tables(cursor, tables)
            if wanted is not Action.LEAVE:
                _write_mark(cursor, alembic_heads.heads(revisions))


def finish(schemas: Iterable[Schema]) -> None:
    """Remove the marks of a step whose outcome is there; raise DatabaseError."""
    for schema in schemas:
        with sql_url.cursor(schema["url"]) as cursor:
            cursor.execute(f"DROP VIEW IF EXISTS {MARK_VIEW}")


def _write_mark(cursor: Any, heads: set[str]) -> None:
    """Record that a first migration to these heads starts, in a view: Nova makes a shadow of every table it finds."""
    rows = " UNION ALL ".join(["SELECT %s AS head"] * len(heads))
    cursor.execute(f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW {MARK_VIEW} AS {rows}", tuple(sorted(heads)))


def _drop_tables(cursor: Any, tables: set[str]) -> None:
    """Drop every table. The mark stays, so that an interrupted run starts here again."""
    cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
    cursor.execute(f"SET lock_wait_timeout = {LOCK_TIMEOUT}")
    for table in sorted(tables - {MARK_VIEW}):
        cursor.execute(f"DROP TABLE IF EXISTS `{table}`")
