# SPDX-License-Identifier: Apache-2.0
"""The documents lead where they say, name what exists, and leave out nothing that has a place in an index."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import project
import pytest
import yaml

sys.path.insert(0, str(project.ROOT / "docs"))

import generate  # noqa: E402  a program of docs/, not of a package

ROOT = project.ROOT
DOCUMENTS = project.files("*.md", "docs/**/*.md", "roles/*/README.md")
PROSE = [path for path in DOCUMENTS if path.name != "CHANGELOG.md" and "decisions" not in path.parts]
LAYOUT = (ROOT / "docs/layout.md").read_text(encoding="utf-8")
PACKAGES = sorted(path.parent.name for path in ROOT.glob("module_utils/*/__init__.py"))
# Directories of the checkout that only this computer has, or that git itself uses.
UNTRACKED = project.FOREIGN | {".mypy_cache", "context"}


def text_of(path: Path) -> str:
    """Return a document without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    words = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in words}


def links(path: Path) -> list[str]:
    """Return the targets of a document's links within the project."""
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", text_of(path))


def linked(path: Path) -> set[Path]:
    """Return the files that a document links to."""
    return {(path.parent / target.partition("#")[0]).resolve() for target in links(path)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=project.short)
def test_anchors_of_links_are_headings(path):
    for target in links(path):
        name, _, anchor = target.partition("#")
        goal = (path.parent / name).resolve() if name else path
        if anchor and goal.suffix == ".md" and goal.exists():
            assert anchor in anchors(goal), target


def test_the_index_has_every_page():
    pages = {path for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"}
    pages |= {ROOT / "CONTRIBUTING.md", ROOT / "docs/decisions/README.md"}
    assert sorted(pages - linked(ROOT / "docs/README.md")) == []


def test_the_index_of_messages_has_every_page():
    pages = set((ROOT / "docs/troubleshoot").glob("*.md"))
    assert sorted(pages - linked(ROOT / "docs/troubleshoot.md")) == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_the_layout_has_every_directory():
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()} - UNTRACKED
    named = {part.split("/")[0] for part in re.findall(r"`([\w./-]+/[\w./-]*)`", LAYOUT)}
    assert sorted(tops - named) == []


@pytest.mark.parametrize("name", [*project.role_names(), *PACKAGES])
def test_the_layout_has_every_role_and_package(name):
    assert re.search(rf"^\|[^|]*`{name}`", LAYOUT, re.MULTILINE)


@pytest.mark.parametrize("path", PROSE, ids=project.short)
def test_playbooks_and_targets_that_are_named_exist(path):
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^|# )make ([a-z][\w-]+)", text, re.MULTILINE)) <= targets
    for name in re.findall(r"\bplaybooks/\w+\.yml", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", PROSE, ids=project.short)
def test_files_that_are_named_exist(path):
    tops = "docs|library|module_utils|molecule|playbooks|plugins|requirements|roles|tests|typings"
    for name in re.findall(rf"`((?:{tops})/[\w./-]+)`", text_of(path)):
        # A recipe names files of a role that is still to be written.
        assert (ROOT / name).exists() or name.startswith("roles/dashboard/"), name


def test_descriptions_become_markdown():
    assert generate.text_of(["V(kvm) of O(require).", "See M(kvm_verify), C(a(b)."]) == (
        "`kvm` of `require`. See `kvm_verify`, `a(b`."
    )
    assert generate.text_of("HOST(S) keeps its brackets") == "HOST(S) keeps its brackets"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "`null`"), (True, "`true`"), ("a|b", "`a\\|b`"), ("", "``"), ({"a": [1]}, "`{a: [1]}`")]
)
def test_defaults_are_shown_as_they_are_typed(value, text):
    assert generate.shown(value) == text


def test_equal_options_of_two_variables_are_described_once():
    url = {"url": {"type": "str", "required": True, "description": "URL."}}
    spec = {name: {"type": "dict", "description": f"{name}.", "options": url} for name in ("placement", "glance")}
    assert generate.rows(spec, {"placement": {}}) == [
        "| `placement` | dict | `{}` | placement. |",
        "| `placement.url` | str | required | URL. |",
        "| `glance` | dict |  | glance. Its keys are those of `placement`. |",
    ]


def execution_environment() -> dict:
    return yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))


def test_the_execution_environment_has_the_schema_of_ansible_builder_3():
    found = execution_environment()
    assert found["version"] == 3
    assert set(found) == {"version", "images", "dependencies"}
    assert found["images"]["base_image"]["name"]
    assert any(package.startswith("openssh-client") for package in found["dependencies"]["system"])


def test_the_execution_environment_has_the_ansible_that_is_tested():
    dependencies = execution_environment()["dependencies"]
    required = (ROOT / "requirements/run.in").read_text(encoding="utf-8").splitlines()
    assert dependencies["ansible_core"]["package_pip"] in required
    assert (ROOT / dependencies["python"]).samefile(ROOT / "requirements/run.txt")
