# SPDX-License-Identifier: Apache-2.0
"""The mark of a first migration, and when the tables of a database are dropped."""

from __future__ import annotations

import pytest
from ansible.module_utils.database import migration_guard, sql_url
from ansible.module_utils.database.migration_guard import MARK_VIEW, Action
from fake_mariadb import MySQLError, Server

CHAIN = {"a": set(), "b": {"a"}, "c": {"b"}}
BRANCHES = {"root": set(), "e1": {"root"}, "e2": {"e1"}, "c1": {"root"}}
MARKED = {MARK_VIEW, "instances"}
URL = "mysql+pymysql://nova:s3cret-of-nova@10.0.0.1/nova"


@pytest.mark.parametrize(
    ("tables", "mark", "found", "revisions", "wanted"),
    [
        (set(), None, set(), CHAIN, Action.MARK),
        ({MARK_VIEW}, {"c"}, set(), CHAIN, Action.EMPTY),
        ({MARK_VIEW}, set(), set(), CHAIN, Action.EMPTY),
        (MARKED, {"c"}, set(), CHAIN, Action.EMPTY),
        (MARKED, {"c"}, {"b"}, CHAIN, Action.EMPTY),
        (MARKED, {"e2", "c1"}, {"e1", "c1"}, BRANCHES, Action.EMPTY),
        # complete, only the mark is left
        (MARKED, {"c"}, {"c"}, CHAIN, Action.LEAVE),
        (MARKED, {"e2", "c1"}, {"e2", "c1"}, BRANCHES, Action.LEAVE),
        # complete once, and the package is newer now
        (MARKED, {"b"}, {"b"}, CHAIN, Action.LEAVE),
        (MARKED, {"b"}, {"c"}, CHAIN, Action.LEAVE),
        (MARKED, {"e1", "c1"}, {"e2", "c1"}, BRANCHES, Action.LEAVE),
        # never marked: the database of an operator
        ({"instances"}, None, set(), CHAIN, Action.LEAVE),
        ({"instances"}, None, {"a"}, CHAIN, Action.LEAVE),
        # the package no longer has the revision of the mark
        (MARKED, {"x"}, {"a"}, CHAIN, Action.LEAVE),
    ],
)
def test_only_a_database_that_was_never_complete_is_emptied(tables, mark, found, revisions, wanted):
    assert migration_guard.action(tables, mark, found, revisions) == wanted


@pytest.fixture
def server(monkeypatch):
    """Return a server with an empty database."""
    stand_in = Server()
    stand_in.install(monkeypatch)
    return stand_in


@pytest.fixture
def schemas(tmp_path):
    """Return a schema whose migrations are a, then b."""
    (tmp_path / "a.py").write_text("revision = 'a'\ndown_revision = None\n")
    (tmp_path / "b.py").write_text("revision = 'b'\ndown_revision = 'a'\n")
    return [{"url": URL, "versions": [str(tmp_path)]}]


def test_an_empty_database_is_marked_until_its_migration_is_complete(server, schemas):
    migration_guard.prepare(schemas)
    assert (server.tables, server.mark) == ({MARK_VIEW}, {"b"})
    server.tables |= {"instances", "alembic_version"}
    server.recorded = {"b"}
    migration_guard.finish(schemas)
    assert (server.tables, server.mark) == ({"instances", "alembic_version"}, None)


def test_an_interrupted_first_migration_starts_again_with_an_empty_database(server, schemas):
    server.tables, server.mark, server.recorded = {MARK_VIEW, "instances", "alembic_version"}, {"b"}, {"a"}
    migration_guard.prepare(schemas)
    assert (server.tables, server.mark) == ({MARK_VIEW}, {"b"})
    assert f"DROP TABLE IF EXISTS `{MARK_VIEW}`" not in server.statements
    assert server.statements.index("SET FOREIGN_KEY_CHECKS = 0") < server.statements.index(
        "DROP TABLE IF EXISTS `alembic_version`"
    )


@pytest.mark.parametrize(
    ("mark", "recorded"), [(None, {"a"}), (None, None), ({"b"}, {"b"}), ({"b"}, {"a", "unknown"}), ({"gone"}, {"a"})]
)
def test_every_other_database_keeps_its_tables_and_its_mark(server, schemas, mark, recorded):
    server.mark, server.recorded = mark, recorded
    server.tables = {"instances", *([MARK_VIEW] if mark else [])}
    before = set(server.tables)
    migration_guard.prepare(schemas)
    assert (server.tables, server.mark) == (before, mark)
    assert not any(text.startswith(("DROP", "CREATE")) for text in server.statements)


def test_a_table_that_is_in_use_is_an_error_without_the_password(server, schemas):
    server.tables, server.mark, server.recorded = MARKED, {"b"}, {"a"}
    server.errors["DROP TABLE"] = MySQLError(1205, "Lock wait timeout exceeded")
    with pytest.raises(sql_url.DatabaseError, match="nova@10.0.0.1/nova reports: Lock wait timeout exceeded"):
        migration_guard.prepare(schemas)
    assert server.mark == {"b"}
