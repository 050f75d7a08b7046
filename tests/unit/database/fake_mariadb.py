# SPDX-License-Identifier: Apache-2.0
"""A stand-in for PyMySQL and a server: one database, and the statements of this project."""

from __future__ import annotations

import sys
import types
from typing import Any


class MySQLError(Exception):
    """As in PyMySQL."""


class OperationalError(MySQLError):
    """As in PyMySQL."""


class Server:
    """A database with tables, a mark (or None) and recorded revisions.

    refuse: an error for each connection with the account of a URL. errors: the error of a statement that starts so.
    logins: users of the connections. statements: all that were executed.
    """

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.mark: set[str] | None = None
        self.recorded: set[str] | None = None
        self.refuse: Exception | None = None
        self.errors: dict[str, Exception] = {}
        self.logins: list[str] = []
        self.statements: list[str] = []
        self.rows: list[tuple[Any, ...]] = []

    def install(self, monkeypatch: Any) -> None:
        """Put the stand-in in the place of PyMySQL."""
        err = types.ModuleType("pymysql.err")
        vars(err).update(MySQLError=MySQLError, OperationalError=OperationalError)
        module = types.ModuleType("pymysql")
        vars(module).update(err=err, connect=self.connect)
        monkeypatch.setitem(sys.modules, "pymysql", module)
        monkeypatch.setitem(sys.modules, "pymysql.err", err)

    def connect(self, user: str, **_options: Any) -> Server:
        """Return a connection, which is its cursor too."""
        self.logins.append(user)
        if self.refuse and user != "root":
            raise self.refuse
        return self

    def cursor(self) -> Server:
        """Return a cursor."""
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last query."""
        return self.rows

    def execute(self, text: str, params: tuple[Any, ...] | None = None) -> None:
        """Execute a statement."""
        self.statements.append(text)
        for start, error in self.errors.items():
            if text.startswith(start):
                raise error
        if text == "SHOW TABLES":
            self.rows = [(name,) for name in self.tables]
        elif text.startswith("SELECT head FROM"):
            self.rows = [(head,) for head in self.mark or ()]
        elif text.startswith("SELECT version_num"):
            if self.recorded is None:
                raise MySQLError(1146, "no such table")
            self.rows = [(revision,) for revision in self.recorded]
        elif text.startswith("DROP TABLE"):
            self.tables.discard(text.split("`")[1])
        elif text.startswith("CREATE OR REPLACE SQL SECURITY INVOKER VIEW"):
            self.tables.add(text.split()[7])
            self.mark = set(params or ())
        elif text.startswith("DROP VIEW IF EXISTS"):
            self.tables.discard(text.split()[-1])
            self.mark = None
