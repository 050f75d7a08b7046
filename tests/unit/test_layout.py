# SPDX-License-Identifier: Apache-2.0
"""The rules of the house (docs/architecture.md): what a reader may rely on everywhere in this project."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import subprocess

import project
import pytest
import yaml

ROLES = project.role_names()
TASKS = project.every_task()
# Files that may use set_fact, each with its reason; a plan is data, so there is hardly ever one.
SET_FACT_ALLOWED: dict[str, str] = {}
# Variables that belong to the inventory as a whole; preflight checks and describes them.
OF_THE_INVENTORY = {
    "nova_release",
    "nova_controller_services",
    "cloud_region",
    "cloud_provider_network",
    "cloud_external",
    "management_address",
    "provider_interface",
    "config_overrides",
    "nova_metadata_secret",
}
# A role reads its own variables; these two kinds are there for all.
SHARED_PREFIXES = ("openstack_service_", "cloud_secrets_")
# Roles whose work it is to look at what the others declare.
READS_OTHERS = {"cloud", "preflight", "deploy", "deploy_plan", "cloud_secrets", "verify", "option_lists"}
CONDITIONS = ("when", "until", "changed_when", "failed_when")
COMMANDS = ("command", "script", "expect")


def argument(task: dict, *names: str):
    """Return the arguments of a task if it calls one of these modules, with or without ansible.builtin."""
    for name in names:
        for key in (name, f"ansible.builtin.{name}"):
            if key in task:
                return task[key]
    return None


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def in_inventory() -> set[str]:
    """Names that the example inventory sets, as groups' or hosts' variables."""
    paths = [p for p in project.files("inventory/example/group_vars/**/*.yml") if p.name != "secrets.yml"]
    names = {name for path in paths for name in project.load(path)}
    return names | {name for values in project.SPLIT["hosts"].values() for name in values}


# --- variables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_described(role):
    assert set(project.role_data(role, "defaults")) - set(project.spec(role)) == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_described_variable_comes_from_somewhere(role):
    defaults = project.role_data(role, "defaults")
    known = set(defaults) | in_inventory() | set(project.secret_names())
    for name, option in project.spec(role).items():
        assert name in known or option.get("required"), f"{name}: no default, not required, not in the inventory"
        assert not (option.get("required") and name in defaults), f"{name}: required, yet it has a default"


def options_of(options: dict, prefix: str = "") -> list[tuple[str, dict]]:
    """Every option with its path, sub-options too."""
    found = []
    for name, option in options.items():
        found += [(prefix + name, option), *options_of(option.get("options", {}), f"{prefix}{name}.")]
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_typed_and_described(role):
    for name, option in options_of(project.spec(role)):
        assert option.get("type") in {"str", "int", "float", "bool", "list", "dict", "path", "raw"}, name
        assert option.get("description"), name
        assert option["type"] != "list" or "elements" in option, f"{name}: a list of what?"
        assert "default" not in option, f"{name}: Ansible does not apply a spec's default; it belongs to defaults/"
        if re.search(r"password|secret|_url$", name) and "database_url" in name or re.search("password|secret", name):
            assert option.get("no_log") is True, f"{name}: a secret needs no_log"


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_name_of_their_role(role):
    prefix = "deploy_" if role == "deploy_plan" else f"{role}_"
    names = [*project.spec(role), *project.role_data(role, "vars"), *project.role_data(role, "defaults")]
    names = set(names) - OF_THE_INVENTORY
    assert [name for name in sorted(names) if not name.startswith(prefix)] == []


def test_no_variable_is_described_or_defined_twice():
    seen: dict[str, str] = {}
    for role in ROLES:
        for name in {*project.role_data(role, "vars"), *project.spec(role)}:
            assert name not in seen, f"{name}: {seen.get(name)} and {role}"
            seen[name] = role


def expressions(text: str) -> str:
    """What Jinja evaluates in a YAML text: what stands in braces, and conditions."""
    braces = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text, re.S)
    return " ".join(braces + re.findall(r"^\s*(?:when|that|until|- [^:{]*$).*", text, re.M))


@pytest.mark.parametrize("role", [role for role in ROLES if role not in READS_OTHERS])
def test_a_role_reads_only_its_own_variables(role):
    owners = {
        name: owner
        for owner in ROLES
        for kind in ("vars", "defaults")
        for name in [*project.role_data(owner, kind), *project.spec(owner)]
        if owner != role and not name.startswith(SHARED_PREFIXES)
    }
    for path in project.files(f"roles/{role}/*/*.yml", f"roles/{role}/*/main/*.yml"):
        if path.parent.name != "meta":
            words = set(re.findall(r"[a-z_][a-z0-9_]*", expressions(path.read_text(encoding="utf-8"))))
            own = project.spec(role)
            read = sorted(word for word in words & set(owners) if word not in own)
            assert read == [], f"{project.short(path)} reads {read}"


def test_nova_has_few_variables():
    names = [name for role in ("nova", "nova_hypervisor", "nova_client") for name in project.spec(role)]
    assert 10 < len(names) <= 45, f"{len(names)} variables; think of nova_config before adding one"


# --- tasks --------------------------------------------------------------------------------------------------------


def test_there_are_tasks_to_look_at():
    assert len(TASKS) > 20


def test_task_files_are_short():
    for path in project.files("roles/*/tasks/**/*.yml"):
        count = len(project.tasks_of(project.load(path)))
        assert count <= 15, f"{project.short(path)}: {count} tasks"


def test_playbooks_are_short():
    for path in project.files("playbooks/**/*.yml"):
        count = len(path.read_text(encoding="utf-8").splitlines())
        assert count <= 40, f"{project.short(path)}: {count} lines"


def test_playbooks_have_roles_or_tasks():
    for path in project.files("playbooks/**/*.yml"):
        for play in project.load(path):
            assert not ("roles" in play and "tasks" in play), project.short(path)


def test_every_task_says_what_it_does():
    for where, task in TASKS:
        assert re.match(r"[A-Z]", task.get("name", "")), f"{where}: {list(task)}"
        assert not task["name"].endswith("."), f"{where}: {task['name']}"


def test_facts_are_not_set():
    for where, task in TASKS:
        assert argument(task, "set_fact") is None or where in SET_FACT_ALLOWED, f"{where}: {task['name']}"


def test_failures_are_not_ignored():
    for where, task in TASKS:
        assert not task.get("ignore_errors") and not task.get("ignore_unreachable"), f"{where}: {task['name']}"


def test_no_task_uses_a_shell():
    for where, task in TASKS:
        assert argument(task, "shell", "raw") is None, f"{where}: {task['name']}"


def test_every_command_says_whether_it_changed_something():
    for where, task in TASKS:
        if argument(task, *COMMANDS) is not None:
            assert "changed_when" in task, f"{where}: {task['name']}"


def test_conditions_have_no_braces():
    for where, task in TASKS:
        conditions = [line for key in CONDITIONS if key in task for line in as_list(task[key])]
        conditions += as_list((argument(task, "assert") or {}).get("that", []))
        for line in conditions:
            assert "{{" not in str(line) and "{%" not in str(line), f"{where}: {line}"


def test_no_task_compares_a_version():
    pattern = re.compile(
        r"is\s+(not\s+)?version\b|version_compare|\b\w*(release|suite|version)\w*['\])]*\s*(==|!=|[<>]=?)"
    )
    for path in project.files("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml", "playbooks/**/*.yml"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = re.sub(r">-\s*$", "", line)
            assert not pattern.search(code), f"{project.short(path)}:{number}: differences between releases are data"


def test_roles_have_no_tags():
    for where, task in TASKS:
        assert not (where.startswith("roles/") and "tags" in task), f"{where}: {task['name']}"


# --- modules ------------------------------------------------------------------------------------------------------


def modules():
    return project.files("library/*.py", "roles/*/library/*.py")


def constants(path) -> dict:
    """The texts that a Python file assigns at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("path", modules(), ids=project.short)
def test_a_module_is_documented_and_has_a_check_mode(path):
    texts = constants(path)
    for name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        assert yaml.safe_load(texts[name]), name
    documentation = yaml.safe_load(texts["DOCUMENTATION"])
    assert documentation["module"] == path.stem
    assert documentation["short_description"] and documentation["description"]
    code = path.read_text(encoding="utf-8")
    assert re.search(r"supports_check_mode\s*=\s*True", code)
    for name, option in documentation.get("options", {}).items():
        assert option.get("description") and option.get("type"), name
    assert [example for example in yaml.safe_load(texts["EXAMPLES"]) if path.stem in example]


def test_every_module_of_ours_is_known_to_the_linter():
    known = set(project.load(project.ROOT / ".ansible-lint")["only_builtins_allow_modules"])
    used = {key for _, task in TASKS for key in task}
    ours = {path.stem for path in modules()}
    assert (used & ours) - known == set()


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_readme(role):
    text = (project.ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# ")


@pytest.mark.parametrize("path", project.files("molecule/*/molecule.yml"), ids=project.short)
def test_every_scenario_has_a_test(path):
    """Molecule passes a scenario without tests. One that only makes and removes machines says so in its sequence."""
    sequence = (project.load(path).get("scenario") or {}).get("test_sequence") or ["verify"]
    if {"verify", "converge"} & {str(step).split()[0] for step in sequence}:
        tests = [
            test
            for file in path.parent.rglob("test_*.py")
            for test in re.findall(r"^def test_", file.read_text(), re.M)
        ]
        assert tests, f"{path.parent.name} proves nothing"


def test_python_files_name_their_licence():
    for path in project.files("**/*.py"):
        head = path.read_text(encoding="utf-8").splitlines()[:2]
        assert "# SPDX-License-Identifier: Apache-2.0" in head or not head, project.short(path)


def test_every_inventory_has_the_wiring_of_this_checkout_and_so_has_a_copy(tmp_path):
    for name in ("example", "lab"):
        link = project.ROOT / f"inventory/{name}/group_vars/all/wiring.yml"
        assert link.resolve() == project.ROOT / "inventory/wiring.yml"
        assert str(link.readlink()) == "../../../wiring.yml", "a copy beside it has to lead to the same file"
    subprocess.run(["cp", "-r", project.ROOT / "inventory/example", tmp_path / "mine"], check=True)
    assert (tmp_path / "mine/group_vars/all/wiring.yml").is_symlink()


def test_lines_are_at_most_120_characters_long():
    long = []
    for path in project.files("**/*.py", "**/*.yml", "**/*.md", "**/*.cfg", "**/*.toml", "Makefile", ".ci/*"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            table_or_link = path.suffix == ".md" and (line.startswith("|") or "](http" in line)
            if len(line) > 120 and not table_or_link:
                long.append(f"{project.short(path)}:{number}")
    assert long == []


def test_no_file_repeats_another():
    seen: dict[str, str] = {}
    for path in project.files("roles/*/**/*.yml", "playbooks/**/*.yml", "molecule/**/*.yml", "**/*.py"):
        lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
        text = "\n".join(line for line in lines if line and line != "---")
        if text and not path.is_symlink():
            digest = hashlib.sha256(text.encode()).hexdigest()
            assert digest not in seen, f"{project.short(path)} repeats {seen.get(digest)}"
            seen[digest] = project.short(path)


def test_locked_requirements_name_no_index():
    for path in project.files("requirements/*.txt"):
        assert not re.search(r"^(-i|--\S*(index|find-links)\S*)\s|@ (https?|file):", path.read_text(), re.M)


def test_documents_made_from_data_are_current():
    path = project.ROOT / "docs/generate.py"
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("generate", path))
    spec.loader.exec_module(module)
    old = [project.short(path) for path in module.stale()]
    assert old == [], "run .venv/bin/python docs/generate.py"


def test_links_between_documents_lead_somewhere():
    for path in project.files("*.md", "docs/**/*.md", "roles/*/README.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{project.short(path)}: {target}"
