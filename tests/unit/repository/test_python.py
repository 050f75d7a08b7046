# SPDX-License-Identifier: Apache-2.0
"""Rules of the Python code: heads of modules and plugins, one implementation of each operation, described packages."""

from __future__ import annotations

import ast
import re

import project
import pytest
import yaml

MODULES = project.files("library/*.py", "roles/*/library/*.py")
PLUGINS = project.files("plugins/*/*.py", "roles/*/*_plugins/*.py")
PRODUCT = project.files("library/*.py", "module_utils/**/*.py", "plugins/**/*.py", "roles/**/*.py", "inventory/**/*.py")
PACKAGES = sorted(
    path for path in (project.ROOT / "module_utils").iterdir() if path.is_dir() and list(path.glob("*.py"))
)

# --- modules ------------------------------------------------------------------------------------------------------

MODULE_HEAD = """\
#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r\"\"\"
"""
MODULE_FOOT = """

if __name__ == "__main__":
    main()
"""
TEXTS = ["DOCUMENTATION", "EXAMPLES", "RETURN"]


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def kind_of(node) -> str:
    """Return the name of a text of the documentation, or the kind of another statement."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in TEXTS:
        return node.targets[0].id
    return "import" if isinstance(node, (ast.Import, ast.ImportFrom)) else "code"


def texts_of(path) -> dict:
    """Return the documentation of a module: the texts of TEXTS, read as YAML."""
    return {kind_of(node): yaml.safe_load(node.value.value) for node in tree_of(path).body if kind_of(node) in TEXTS}


@pytest.mark.parametrize("path", MODULES, ids=project.short)
def test_modules_have_one_head_and_one_foot(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith(MODULE_HEAD)
    assert text.endswith(MODULE_FOOT)
    kinds = [kind_of(node) for node in tree_of(path).body]
    assert kinds[:4] == ["import", *TEXTS], "from __future__, then the documentation, then the code"
    assert re.findall(r'(?m)^(\w+) = (?!r""")"""', text) == [], "documentation is a raw text"
    assert re.search(r"(?m)^def main\(\) -> None:$", text)


@pytest.mark.parametrize("path", MODULES, ids=project.short)
def test_a_module_is_documented_and_has_a_check_mode(path):
    texts = texts_of(path)
    documentation = texts["DOCUMENTATION"]
    assert documentation["module"] == path.stem
    assert documentation["short_description"] and documentation["description"]
    assert documentation["author"] == ["nova-ansible contributors"]
    assert "version_added" not in documentation
    assert re.search(r"supports_check_mode\s*=\s*True", path.read_text(encoding="utf-8"))
    for name, option in documentation.get("options", {}).items():
        assert option.get("description") and option.get("type"), name
    assert [example for example in texts["EXAMPLES"] if path.stem in example]


@pytest.mark.parametrize("path", MODULES, ids=project.short)
def test_each_value_that_a_module_returns_is_described(path):
    for name, value in texts_of(path)["RETURN"].items():
        assert value.get("description") and value.get("type") and value.get("returned"), name


def test_every_module_is_known_to_the_linter():
    known = set(project.load(project.ROOT / ".ansible-lint")["only_builtins_allow_modules"])
    used = {key for _, task in project.every_task() for key in task}
    ours = {path.stem for path in MODULES} | {path.stem for path in project.files("plugins/action/*.py")}
    assert (used & ours) - known == set()


# --- plugins ------------------------------------------------------------------------------------------------------

SEARCH_PATH = """\
runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

"""
OURS = ("ansible.module_utils", "ansible.plugins.plugin_utils")
# Packages of Ansible itself below module_utils.
ANSIBLES = re.compile(r"ansible\.module_utils\.(basic|common|errors|parsing|testing)\b")


def imports_ours(path) -> bool:
    """Return whether a plugin imports code of this checkout."""
    names = [node.module or "" for node in tree_of(path).body if isinstance(node, ast.ImportFrom)]
    return any(name.startswith(OURS) and not ANSIBLES.match(name) for name in names)


@pytest.mark.parametrize("path", PLUGINS, ids=project.short)
def test_plugins_add_the_checkout_to_the_search_path_with_the_same_line(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith('# SPDX-License-Identifier: Apache-2.0\n"""')
    assert "__path__" not in text and "sys.path" not in text, "plugins/search_path.py does that"
    if path.parent.name != "plugin_utils":  # found by what the plugin that imports it has done
        assert (SEARCH_PATH in text) == imports_ours(path)


# --- one implementation of each operation ---------------------------------------------------------------------------

# Operation -> the only file that may use it, if any.
HOMES = {
    "subprocess": "module_utils/host/commands.py",
    "fcntl.flock": "module_utils/host/lock.py",
    "os.replace": "module_utils/host/atomic_file.py",
    "os.rename": "",  # os.replace does the same
    "urllib.request": "module_utils/host/http.py",
    "http.client": "module_utils/host/http.py",
    "amqp": "module_utils/messaging/amqp.py",
}
# Other files that may, each with its reason.
EXCEPTIONS = {
    ("subprocess", "module_utils/packages/debian_package.py"): "reads an archive of hundreds of megabytes as a stream",
    ("subprocess", "roles/lab/library/lab_template.py"): "writes the log while mmdebstrap runs",
    ("subprocess", "roles/lab/module_utils/lab_process.py"): "starts programs that continue after the module",
    ("os.rename", "module_utils/packages/policy_rcd.py"): "moves a file of another program aside and back",
    ("os.rename", "roles/lab/library/lab_template.py"): "moves directories and lists of packages",
    ("os.rename", "roles/lab/module_utils/lab_machine.py"): "moves a directory",
}


def uses(tree) -> set[str]:
    """Return the operations of HOMES that a program uses; it has to name them in full."""
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)] if isinstance(node.value, ast.Name) else []
            names = [name for name in names if name in HOMES]
        found |= {home for home in HOMES for name in names if name == home or name.startswith(f"{home}.")}
    return found


def test_an_operation_is_found_in_every_spelling():
    for text in (
        "import subprocess",
        "from subprocess import run",
        "def f():\n    import urllib.request as r",
        "from urllib import request",
        "from http.client import HTTPConnection",
        "from os import replace",
        "os.rename(a, b)",
        "fcntl.flock(a, 1)",
        "import amqp as library",
        "from amqp import Connection",
    ):
        assert len(uses(ast.parse(text))) == 1, text
    for text in ("import http", "a.replace('x', 'y')", "import os", "from ansible.module_utils.messaging import amqp"):
        assert uses(ast.parse(text)) == set(), text


@pytest.mark.parametrize("path", PRODUCT, ids=project.short)
def test_each_operation_has_one_home(path):
    allowed = {home for home, file in [*HOMES.items(), *EXCEPTIONS] if file == project.short(path)}
    assert uses(tree_of(path)) - allowed == set(), f"use {HOMES}, or give the reason in EXCEPTIONS"


def test_homes_and_exceptions_are_in_use():
    for operation, file in [*HOMES.items(), *EXCEPTIONS]:
        if file:
            assert operation in uses(tree_of(project.ROOT / file)), f"{file} no longer uses {operation}"


# --- packages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PACKAGES, ids=project.short)
def test_a_package_says_what_it_contains(path):
    docstring = ast.get_docstring(tree_of(path / "__init__.py"))
    assert docstring and docstring.endswith(".")


def test_the_type_checker_sees_every_package():
    for path in [*PACKAGES, *project.files("module_utils/*.py", "roles/*/module_utils/*.py")]:
        link = project.ROOT / "typings/ansible/module_utils" / path.name
        assert link.is_symlink() and link.resolve() == path, f"typings/ansible/module_utils/{path.name}"


@pytest.mark.parametrize("path", project.files("module_utils/**/*.py"), ids=project.short)
def test_a_file_of_module_utils_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 360, "split it by purpose"
