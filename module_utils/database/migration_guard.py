# SPDX-License-Identifier: Apache-2.0
"""Make a first migration repeatable: mark it, and empty a database whose first migration died."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager

from ansible.module_utils.database import alembic_heads, sql_url, step_state

MARK = "nova_ansible_first_sync"
LOCKS = "/run/nova-ansible"


class Busy(Exception):
    """Another run holds the lock."""


@contextmanager
def locked(name, timeout):
    """Hold the lock of a service; children that inherit the file keep it when this process dies."""
    os.makedirs(LOCKS, mode=0o700, exist_ok=True)
    path = os.path.join(LOCKS, f"{name}.lock")
    with open(path, "w", encoding="utf-8") as lock:
        limit = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise Busy(
                        f"an earlier run still works on it after {timeout} s; see who holds {path} (fuser {path})"
                    ) from None
                time.sleep(0.5)
        yield lock


def verdict(tables, mark, found, revisions):
    """What to do with a database before its step: 'first' = mark it, 'empty' = empty it and mark it, 'go' = nothing.

    mark: the heads that the marked first migration was to reach, or None without a mark. A database is emptied only
    when it holds a mark and what it records lies on the way to those heads, short of them: nothing can have used it.
    """
    if not tables - {MARK}:
        return "first" if mark is None else "empty"
    if not mark:
        return "go"
    way = mark | alembic_heads.ancestors(revisions, mark)
    return "empty" if found <= way and not mark <= found else "go"


def prepare(entries):
    """Mark or empty the databases of a step that is about to run."""
    for entry in entries:
        revisions = step_state.scripts(entry)
        with sql_url.connect(entry["url"]) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")  # and views
            tables = {row[0] for row in cursor.fetchall()}
            mark = None
            if MARK in tables:
                cursor.execute(f"SELECT head FROM {MARK}")
                mark = {row[0] for row in cursor.fetchall()}
            action = verdict(tables, mark, step_state.recorded(entry["url"]), revisions)
            if action == "empty":
                drop(cursor, tables)
            if action != "go":
                write_mark(cursor, alembic_heads.heads(revisions))


def write_mark(cursor, heads):
    """Record that a first migration to these heads begins. In a view: Nova makes a shadow of every table it finds."""
    rows = " UNION ALL ".join(["SELECT %s AS head"] * len(heads))
    cursor.execute(f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW {MARK} AS {rows}", tuple(sorted(heads)))


def drop(cursor, tables):
    """Drop every table. The mark stays, so that a dropping that dies is repeated too."""
    cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
    cursor.execute("SET lock_wait_timeout = 60")
    for table in sorted(tables - {MARK}):
        cursor.execute(f"DROP TABLE IF EXISTS `{table}`")


def finish(entries):
    """Remove the marks of a step that came to its outcome."""
    for entry in entries:
        with sql_url.connect(entry["url"]) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP VIEW IF EXISTS {MARK}")
