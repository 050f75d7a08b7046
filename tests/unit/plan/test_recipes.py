# SPDX-License-Identifier: Apache-2.0
"""The recipes of CONTRIBUTING.md, walked on a copy of the tree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import project
import pytest
from recipes import RECIPES

LEFT_OUT = shutil.ignore_patterns(".*_cache", ".git", ".venv", ".lab", ".cache", ".ansible", "__pycache__")
SERVICES = ["api", "metadata", "conductor", "scheduler", "novncproxy", "serialproxy"]
NOVA_CONF, DEFAULT = "/etc/nova/nova.conf", "/etc/default/nova-consoleproxy"
# What is asked of the copy: each expression is evaluated there.
QUESTIONS = {
    "controller": f"Plan('split-controller', 'epoxy', nova_controller_services={SERVICES}).parts",
    "controller without it": "Plan('split-controller', 'epoxy').parts",
    "default": f"Plan('split-controller', 'epoxy', nova_controller_services={SERVICES}).text('{DEFAULT}')",
    "split-compute": f"Plan('split-compute', 'epoxy', nova_controller_services={SERVICES}).options('{NOVA_CONF}')",
    "all-in-one": f"Plan('all-in-one', 'epoxy', nova_controller_services={SERVICES}).options('{NOVA_CONF}')",
    "compute without it": f"Plan('split-compute', 'epoxy').options('{NOVA_CONF}')",
    "variable": f"Plan('split-compute', 'epoxy', nova_image_cache_interval=600).options('{NOVA_CONF}')",
    "release": "Plan('split-controller', 'flamingo').options('/etc/nova/nova-api-uwsgi.ini')",
    "suite": "Plan('split-controller', 'flamingo').cloud['release']['suite']",
    "no dashboard": "Plan('split-controller', 'epoxy').cloud['endpoints']['dashboard']",
    "dashboard": "Plan('dashboard', 'epoxy').parts",
}
ASK = """
import json, sys
sys.path.insert(0, "tests/unit")
import project
from project import Plan
project.SHAPES["dashboard"] = project.Shape("controller1", {**project.SPLIT, "dashboard": ["controller1"]})
print(json.dumps({name: eval(question) for name, question in json.loads(sys.argv[1]).items()}))
"""


def steps_of(recipe: str) -> list[str]:
    """Return the files that the steps of a recipe name, in their order."""
    text = (project.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = re.search(rf"^### {re.escape(recipe)}\n(.*?)(?=^##)", text, re.M | re.S)
    assert section, f"CONTRIBUTING.md has no recipe {recipe}"
    return re.findall(r"^\d+\. `([^`]+)`:", section.group(1), re.M)


def edit(path: Path, edits: list | str) -> None:
    """Make the edits of a file, or a file."""
    if isinstance(edits, str):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(edits, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    for before, put in edits:
        if before is None:
            text += put
        else:
            assert text.count(before) == 1, f"{path.name}: {before!r} is there {text.count(before)} times"
            text = text.replace(before, put + before)
    path.write_text(text, encoding="utf-8")


def run(tree: Path, *command: str) -> str:
    """Return what a Python program of the copy prints."""
    done = subprocess.run([sys.executable, *command], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Return a copy of the project in which every recipe was followed."""
    copy = tmp_path_factory.mktemp("recipes") / "tree"
    shutil.copytree(project.ROOT, copy, ignore=LEFT_OUT, symlinks=True)
    for recipe, files in RECIPES.items():
        for name in steps_of(recipe):
            edit(copy / name, files[name])
    # The list of the new release, which `make option-lists` writes from its packages.
    shutil.copy(copy / "roles/option_lists/files/epoxy.json", copy / "roles/option_lists/files/flamingo.json")
    run(copy, "docs/generate.py")
    run(copy, "tests/unit/golden.py", "--write")
    return copy


@pytest.fixture(scope="module")
def made(tree) -> dict:
    """Return the answers of the copy to QUESTIONS."""
    return json.loads(run(tree, "-c", ASK, json.dumps(QUESTIONS)).splitlines()[-1])


def names(units: list) -> list[str]:
    return [unit["name"] for unit in units]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_steps_of_a_recipe_are_those_that_are_walked_here(recipe):
    assert steps_of(recipe) == list(RECIPES[recipe])
    no_need = ("roles/deploy/", "roles/preflight/", "playbooks/")
    assert not [name for name in RECIPES[recipe] if name.startswith(no_need)]


def test_a_release_is_one_edit():
    assert len(RECIPES["Add a release"]) == 1


def test_a_further_service_of_nova_runs_once_and_is_not_stopped(made):
    plan = made["controller"]
    assert names(plan["api_units"]).count("nova-serialproxy") == 1
    assert names(plan["stopped_units"]) == ["nova-spicehtml5proxy"]
    assert plan["ports"]["6083"] == ["nova-serialproxy.service"]
    assert names(made["controller without it"]["stopped_units"]) == ["nova-spicehtml5proxy", "nova-serialproxy"]


def test_the_file_of_its_package_starts_both_proxies(made):
    assert 'NOVA_SERIAL_PROXY_START="true"\n' in made["default"]
    assert 'NOVA_CONSOLE_PROXY_TYPE="novnc"\n' in made["default"]


@pytest.mark.parametrize(("shape", "address"), [("split-compute", "192.0.2.21"), ("all-in-one", "192.0.2.11")])
def test_a_compute_knows_the_further_service(made, shape, address):
    section = made[shape]["serial_console"]
    assert section["enabled"] == ["true"]
    assert section["base_url"] == ["ws://192.0.2.11:6083/"]
    assert section["proxyclient_address"] == [address]
    assert "serial_console" not in made["compute without it"]


def test_a_further_variable_reaches_its_file_and_the_documents(tree, made):
    assert "image_cache" not in made["compute without it"]
    assert made["variable"]["image_cache"] == {"manager_interval": ["600"]}
    assert "| `nova_image_cache_interval` | int |" in (tree / "docs/variables.md").read_text(encoding="utf-8")


def test_a_further_release_is_deployed_like_the_others(tree, made):
    assert made["release"]["uwsgi"]["module"] == ["nova.wsgi.osapi_compute"]
    assert made["suite"] == "forky"
    assert "| `flamingo` | 32 | forky |" in (tree / "docs/releases.md").read_text(encoding="utf-8")
    assert (tree / "tests/unit/golden/flamingo/split-controller/plan.yml").exists()


def test_a_further_component_has_all_its_stages(made):
    plan = made["dashboard"]
    assert plan["components"][-1] == "dashboard"
    assert "apache2" in names(plan["api_units"])
    assert [step["module"] for step in plan["prepare"]] == ["ovs_host", "db_bootstrap"]
    assert [step["module"] for step in plan["finish"]] == ["http_ready"]
    link = next(entry for entry in plan["files"] if entry["path"].startswith("/etc/apache2/"))
    assert (link["state"], link["target"]) == ("link", "../sites-available/dashboard.conf")
    service = next(row for row in plan["identity"]["services"] if row["name"] == "dashboard")
    assert service["endpoints"]["public"] == "http://192.0.2.11:8080/dashboard"
    assert "dashboard" not in made["controller without it"]["components"]
    assert set(made["no dashboard"].values()) == {None}


def test_the_rules_hold_after_every_recipe(tree):
    names = (
        "plan/test_catalog",
        "repository/test_layout",
        "repository/test_documents",
        "plan/test_golden",
        "plan/test_host_plan",
        "lab/test_lab_plan",
    )
    tests = [f"tests/unit/{name}.py" for name in names]
    run(tree, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
