# SPDX-License-Identifier: Apache-2.0
"""The rules of the house (docs/architecture.md): what a reader may rely on everywhere in this project."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re

import project
import pytest
import yaml
from ansible.module_utils.cloud.model import PORTS

ROLES = project.role_names()
TASKS = project.every_task()
# Files that may use set_fact, each with its reason; a plan is data, so there is hardly ever one.
SET_FACT_ALLOWED: dict[str, str] = {}
# Variables that the whole cloud shares: the role `cloud` describes them and checks the inventory.
OF_THE_CLOUD = set(project.spec("cloud"))
# What one role hands to others; each is documented in the README of its role.
RESULTS = {"cloud": "cloud", "host_state": "preflight", "deploy_plan": "deploy_plan"}
RESULTS_OF = {role: name for name, role in RESULTS.items()}
# Variables of another role that a role reads, each with its reason.
READS_OTHERS = {
    "deploy_plan": {
        r"\w+_component": "puts all of them together",
        "keystone_admin_password": "the account that makes identity objects",
    },
    "cloud": {"nova_service_catalog": "names of services", r"cloud_secrets_\w+": "names of secrets"},
    "nova_hypervisor": {r"kvm_preflight_\w+": "the policy of KVM and its result, by the role's defaults"},
    "preflight": {"kvm_preflight_report_dir": "one report of both"},
    "nova_client": {"keystone_admin_password": "the account of the clients"},
    "verify": {"keystone_admin_password": "the account of the verification"},
}
SHARED_PREFIX = "openstack_service_"
CONDITIONS = ("when", "until", "changed_when", "failed_when")
ROLE_CALLS = ("include_role", "import_role")
FILE_CALLS = ("include_tasks", "import_tasks")


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
    hosts = project.load(project.ROOT / "inventory/example/hosts.yml")["all"]["hosts"]
    return names | {name for values in hosts.values() for name in values}


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
    names = {*project.spec(role), *project.role_data(role, "vars"), *project.role_data(role, "defaults")}
    names -= OF_THE_CLOUD if role == "cloud" else set()
    own = f"{role}_", RESULTS_OF.get(role, f"{role}_")
    assert [name for name in sorted(names) if not name.startswith(own)] == []


def test_no_variable_is_described_or_defined_twice():
    seen: dict[str, str] = {}
    for role in ROLES:
        for name in {*project.role_data(role, "vars"), *project.spec(role)}:
            assert name not in seen, f"{name}: {seen.get(name)} and {role}"
            seen[name] = role


def test_every_variable_that_an_operator_may_set_is_read():
    paths = project.files(
        "roles/*/vars/**/*.yml", "roles/*/tasks/**/*.yml", "playbooks/*.yml", "module_utils/cloud/*.py"
    )
    paths += project.files("plugins/action/*.py")
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in paths)))
    described = {name for role in ROLES for name in project.spec(role)}
    assert described - words == set(), "nothing reads them; what an operator sets would be ignored"


def test_what_a_role_declares_hides_nothing_that_an_operator_sets():
    """Variables of a role win over an inventory's: one of the same name would ignore the operator without a word."""
    inputs = {name for role in ROLES for name in [*project.spec(role), *project.role_data(role, "defaults")]}
    inputs |= in_inventory() | set(project.secret_names())
    for role in ROLES:
        assert set(project.role_data(role, "vars")) & inputs == set(), role


def expressions(path) -> str:
    """Return the Jinja of a YAML file: the text in braces, and conditions."""
    found = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", path.read_text(encoding="utf-8"), re.S)
    if "tasks" in path.parts:
        found += [str(line) for task in project.tasks_of(project.load(path)) for line in conditions_of(task)]
    return " ".join(found)


def registered(role: str) -> set[str]:
    """Names that tasks of a role register."""
    paths = project.files(f"roles/{role}/tasks/**/*.yml")
    return {task["register"] for path in paths for task in project.tasks_of(project.load(path)) if "register" in task}


def names_of(role: str) -> set[str]:
    """Every variable of a role: described, defined or registered."""
    found = {name for kind in ("vars", "defaults") for name in project.role_data(role, kind)}
    return found | set(project.spec(role)) | registered(role)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_only_its_own_variables(role):
    mine = names_of(role) | OF_THE_CLOUD | set(RESULTS)
    foreign = {name for other in ROLES if other != role for name in names_of(other)} | set(project.secret_names())
    foreign = {name for name in foreign - mine if not name.startswith((SHARED_PREFIX, "__"))}
    allowed = READS_OTHERS.get(role, {})
    used = set()
    for path in project.files(f"roles/{role}/*/*.yml", f"roles/{role}/*/main/*.yml"):
        if path.parent.name == "meta" or path.is_symlink():
            continue
        words = set(re.findall(r"[a-z_][a-z0-9_]*", expressions(path)))
        for word in sorted(words & foreign):
            reason = [name for name in allowed if re.fullmatch(name, word)]
            used |= set(reason)
            assert reason, f"{project.short(path)} reads {word}"
    assert used == set(allowed), f"no longer needed in READS_OTHERS: {set(allowed) - used}"


def test_results_that_roles_hand_on_are_registered_once():
    for name, owner in RESULTS.items():
        makers = [role for role in ROLES if name in registered(role) | set(project.role_data(role, "vars"))]
        assert makers == [owner], name


def data_files() -> tuple:
    """Return the files that hold what roles declare."""
    return project.files("roles/*/vars/*.yml", "roles/*/vars/main/*.yml", "roles/*/defaults/**/*.yml")


def test_no_role_makes_a_url_or_names_the_port_of_another_one():
    ports = "|".join(str(port) for port in PORTS.values())
    for path in data_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = re.search(rf"\bhttps?://|(?<![\w.-])({ports})(?![\w.-])", line.split(" #")[0])
            assert not found, f"{project.short(path)}:{number}: the model has it (cloud.endpoints, cloud.ports)"


def test_nova_has_few_variables():
    names = [name for role in ("nova", "nova_hypervisor", "nova_client") for name in project.spec(role)]
    assert 10 < len(names) <= 45, f"{len(names)} variables; think of config_overrides before adding one"


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


def test_conditions_have_no_braces():
    for where, task in TASKS:
        for line in conditions_of(task):
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


# --- figures: what was reached is kept -----------------------------------------------------------------------------


def yaml_texts() -> list[tuple[str, str]]:
    """Every YAML text in which Jinja is evaluated: file and text without comments."""
    paths = project.files("roles/**/*.yml", "playbooks/**/*.yml", "inventory/**/*.yml", "molecule/**/*.yml")
    return [
        (project.short(path), re.sub(r"(?m)^\s*#.*$|\s#\s.*$", "", path.read_text(encoding="utf-8")))
        for path in paths
        if not path.is_symlink()
    ]


def every_expression() -> list[tuple[str, str]]:
    """Every expression of Jinja: file and text on one line; conditions too."""
    found = []
    for where, text in yaml_texts():
        found += [(where, " ".join(part.split())) for part in re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text, re.S)]
    for where, task in TASKS:
        found += [(where, " ".join(str(line).split())) for line in conditions_of(task)]
    return found


def conditions_of(task: dict) -> list:
    """Return the conditions of a task, those that an assertion asks for too."""
    found = [line for key in CONDITIONS if key in task for line in as_list(task[key])]
    return found + as_list((argument(task, "assert") or {}).get("that", []))


def filters_of(expression: str) -> int:
    """Return how many filters an expression goes through."""
    return len(re.findall(r"(?<!\|)\|(?!\|)", re.sub(r"'[^']*'|\"[^\"]*\"", "''", expression)))


def test_there_are_expressions_to_look_at():
    assert len(every_expression()) > 250
    assert filters_of("{{ a | b | c('|') | d }}") == 3


def test_no_expression_is_a_program():
    dense = [(where, text) for where, text in every_expression() if filters_of(text) >= 3 or len(text) > 120]
    assert len(dense) <= 10, dense
    assert [(where, text) for where, text in dense if len(text) > 160] == []


class Walk:
    """The tasks that a playbook runs: files in the order of the run, how deep they include each other, conditions."""

    def __init__(self, playbook: str) -> None:
        self.files: list[str] = []
        self.tasks: list[dict] = []
        self.depth = 0
        self.playbook(project.ROOT / "playbooks" / playbook)

    def playbook(self, path) -> None:
        self.files.append(project.short(path))
        for play in project.load(path):
            imported = argument(play, "import_playbook")
            if imported:
                self.playbook(path.parent / imported)
                continue
            for role in play.get("roles", []):
                self.role(role if isinstance(role, str) else role["role"], "main", 0)
            for part in ("pre_tasks", "tasks", "post_tasks"):
                self.walk(project.tasks_of(play.get(part)), path.parent, 0)

    def role(self, name: str, entry: str, depth: int) -> None:
        directory = project.ROOT / "roles" / name / "tasks"
        if (directory / f"{entry}.yml").exists():
            self.file(directory / f"{entry}.yml", depth + 1)

    def file(self, path, depth: int) -> None:
        self.depth = max(self.depth, depth)
        if project.short(path) not in self.files:  # a role that is entered twice is read once
            self.files.append(project.short(path))
            self.walk(project.tasks_of(project.load(path)), path.parent, depth)

    def walk(self, tasks: list, directory, depth: int) -> None:
        for task in tasks:
            self.tasks.append(task)
            called, included = argument(task, *ROLE_CALLS), argument(task, *FILE_CALLS)
            if called:
                self.role(called["name"], called.get("tasks_from", "main"), depth)
            if included:
                self.file(directory / (included if isinstance(included, str) else included["file"]), depth + 1)


def test_a_deployment_is_few_files_few_conditions_and_flat():
    walk = Walk("site.yml")
    tasks = [task for task in walk.tasks if "block" not in task]
    conditions = sum(len(conditions_of(task)) for task in walk.tasks)
    assert "roles/deploy/tasks/main.yml" in walk.files and len(tasks) >= 20
    assert len(walk.files) <= 15, walk.files
    assert walk.depth <= 3
    assert conditions / len(tasks) <= 0.25, f"{conditions} conditions in {len(tasks)} tasks"


# --- modules ------------------------------------------------------------------------------------------------------


def modules():
    return project.files("library/*.py", "roles/*/library/*.py")


def constants(path) -> dict:
    """Return the texts that a Python file assigns at its top level."""
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
    assert text.startswith(f"# {role}")
    assert "| Variable |" not in text, "docs/variables.md has them"
    own = [name for name in project.spec(role) if name not in project.SECRETS]
    assert bool(own) == (f"docs/variables.md#{role}" in text)


@pytest.mark.parametrize("role", [role for role in ROLES if f"{role}_component" in project.role_data(role, "vars")])
def test_the_readme_of_a_component_names_its_services(role):
    text = (project.ROOT / "roles" / role / "README.md").read_text(encoding="utf-8").split("## What it declares")[1]
    data = project.role_data(role, "vars")
    catalog = data[f"{role}_component"]["catalog"]
    rows = catalog if isinstance(catalog, dict) else data[f"{role}_service_catalog"]
    assert [name for name, row in rows.items() if "removed_after" not in row and f"`{name}`" not in text] == []


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
        assert tests, f"{path.parent.name} tests nothing"


def test_python_files_name_their_licence():
    for path in project.files("**/*.py"):
        head = path.read_text(encoding="utf-8").splitlines()[:2]
        assert "# SPDX-License-Identifier: Apache-2.0" in head or not head, project.short(path)


def test_lines_are_at_most_120_characters_long():
    long = []
    for path in project.files("**/*.py", "**/*.yml", "**/*.md", "**/*.cfg", "**/*.toml", "Makefile", ".ci/*"):
        if project.ROOT / "tests/unit/golden" in path.parents:
            continue  # it is written as the roles make it
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
