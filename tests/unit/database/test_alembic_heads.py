# SPDX-License-Identifier: Apache-2.0
"""The heads of migration scripts, as alembic itself would record them."""

from __future__ import annotations

import textwrap

import pytest
from ansible.module_utils.database import alembic_heads


@pytest.fixture
def scripts(tmp_path):
    """Return a function that writes a script below tmp_path, and returns tmp_path."""

    def write(path, source):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(source), encoding="utf-8")
        return tmp_path

    return write


def migration(revision, down, depends=None):
    """Return the head of a script as alembic's template writes it."""
    return f"revision = {revision!r}\ndown_revision = {down!r}\ndepends_on = {depends!r}\n"


def test_a_chain_has_its_last_revision_as_head(scripts):
    scripts("a1.py", migration("a1", None))
    directory = scripts("b2.py", migration("b2", "a1"))
    assert alembic_heads.heads(alembic_heads.graph(str(directory))) == {"b2"}


def test_branches_in_subdirectories_have_a_head_each(scripts):
    scripts("kilo_initial.py", migration("kilo", None))
    scripts("liberty/expand/e1.py", migration("e1", "kilo"))
    scripts("mitaka/expand/e2.py", migration("e2", "e1"))
    directory = scripts("liberty/contract/c1.py", migration("c1", "kilo"))
    assert alembic_heads.heads(alembic_heads.graph([str(directory)])) == {"e2", "c1"}


def test_a_revision_that_another_depends_on_is_no_head(scripts):
    scripts("expand.py", migration("expand01", None))
    directory = scripts("contract.py", migration("contract01", None, "expand01"))
    assert alembic_heads.heads(alembic_heads.graph([str(directory)])) == {"contract01"}


def test_a_merge_ends_both_of_its_branches(scripts):
    scripts("a.py", migration("a", None))
    scripts("b.py", migration("b", None))
    directory = scripts("m.py", migration("m", ("a", "b")))
    assert alembic_heads.heads(alembic_heads.graph([str(directory)])) == {"m"}


def test_annotated_assignments_are_read_and_nothing_is_imported(scripts):
    source = """
        import a_module_that_does_not_exist
        revision: str = "x1"
        down_revision: str | None = None
        raise SystemExit("a script that was imported")
    """
    assert alembic_heads.graph([str(scripts("x.py", source))]) == {"x1": set()}


def test_files_that_are_not_migrations_are_left_out(scripts):
    scripts("__init__.py", "revision = 'never'\n")
    scripts("helper.py", "import os\n")
    scripts("EXPAND_HEAD", "x1\n")
    assert alembic_heads.graph([str(scripts("x.py", migration("x1", None)))]) == {"x1": set()}


def test_a_computed_revision_is_an_error_not_a_wrong_head(scripts):
    with pytest.raises(alembic_heads.Unreadable, match="the migration .*x.py cannot be read"):
        alembic_heads.graph([str(scripts("x.py", "revision = 'x'\ndown_revision = previous()\n"))])


def test_ancestors_go_through_merges_and_dependencies():
    revisions = {"a": set(), "b": {"a"}, "c": set(), "d": {"b", "c"}, "e": {"d"}}
    assert alembic_heads.ancestors(revisions, {"d"}) == {"a", "b", "c"}
    assert alembic_heads.ancestors(revisions, set()) == set()
