# SPDX-License-Identifier: Apache-2.0
"""Playbooks run from any directory: they need the settings of the checkout, and name them in one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import project
import pytest

PARTS = ("ansible.cfg", "Makefile", "inventory", "library", "module_utils", "playbooks", "plugins", "roles")
PLAYBOOKS = sorted(path.stem for path in (project.ROOT / "playbooks").glob("*.yml"))
INVENTORY = "inventory/example"
NEEDED = ("precedence", "inject_facts_as_vars", "allow_embedded_templates", "no_target_syslog")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """Return a copy of the checkout in a directory that everyone may write to: Ansible ignores its ansible.cfg."""
    copy = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = project.ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / part)
    copy.chmod(0o777)
    return copy


def play(playbook: Path, *arguments: str, directory: Path, **environment: str) -> tuple[int, str]:
    """Run a playbook in a directory without settings of this computer; return its status and output."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    home = str(playbook.parents[1] / "home")
    command = [str(project.ROOT / ".venv/bin/ansible-playbook"), str(playbook), "--check", *arguments]
    done = subprocess.run(
        command,
        cwd=directory,
        env={**own, "HOME": home, "ANSIBLE_NOCOLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def failures(output: str) -> list[str]:
    """Return the messages of failed tasks."""
    return re.findall(r'FAILED! => .*"msg": "([^"]*)"', output)


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_a_playbook_names_the_settings_that_it_needs_where_ansible_ignores_them(checkout, name):
    status, output = play(checkout / f"playbooks/{name}.yml", "-i", INVENTORY, directory=checkout)
    assert status != 0
    assert "ignoring it as an ansible.cfg source" in " ".join(output.split())
    assert failures(output) == [
        f"Ansible uses no ansible.cfg, but the playbooks need {', '.join(NEEDED)} as in {checkout}/ansible.cfg; run "
        f"export ANSIBLE_CONFIG={checkout}/ansible.cfg"
    ]


def test_other_settings_are_named_with_their_file(checkout, tmp_path):
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\ninject_facts_as_vars = false\nno_target_syslog = true\nallow_embedded_templates = false\n"
    )
    inventory = str(checkout / INVENTORY)
    status, output = play(checkout / "playbooks/verify.yml", "-i", inventory, directory=tmp_path)
    assert status != 0
    assert [message.split(" as in ")[0] for message in failures(output)] == [
        f"Ansible uses {tmp_path}/ansible.cfg, but the playbooks need precedence"
    ]


@pytest.mark.parametrize("own", [False, True], ids=["settings of the checkout", "own settings, no paths"])
def test_a_playbook_runs_from_any_directory_with_the_settings_that_it_needs(checkout, tmp_path, own):
    settings = {} if own else {"ANSIBLE_CONFIG": str(checkout / "ansible.cfg")}
    if own:
        needed = re.findall(rf"(?m)^(?:{'|'.join(NEEDED)}) = .*(?:\n +.*)*", (checkout / "ansible.cfg").read_text())
        (tmp_path / "ansible.cfg").write_text("\n".join(["[defaults]", *needed]))
    inventory = tmp_path / "mine"
    shutil.copytree(checkout / INVENTORY, inventory)
    arguments = ["-i", str(inventory), "-e", f"secrets_path={tmp_path}/secrets.yml"]
    status, output = play(checkout / "playbooks/secrets.yml", *arguments, directory=tmp_path, **settings)
    assert status == 0 and "changed=1" in output, output
    secrets = {name: f"{name}-0123456789" for name in project.secret_names()}
    lines = [f"{name}: {value}\n" for name, value in secrets.items()]
    (inventory / "group_vars/all/secrets.yml").write_text("".join(lines))
    arguments = ["-i", str(inventory), "-e", "option=vnc.server_listen"]
    status, output = play(checkout / "playbooks/explain.yml", *arguments, directory=tmp_path, **settings)
    assert status == 0, output
    assert "server_listen" in output and "roles/nova/vars/main/config.yml" in output


def test_make_runs_playbooks_with_the_settings_of_the_checkout(checkout):
    command = ["make", "--no-print-directory", "--eval", "settings: ; @echo $$ANSIBLE_CONFIG", "settings"]
    ours = ("ANSIBLE_CONFIG", "MAKEFLAGS", "MAKELEVEL")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == str(checkout / "ansible.cfg")


@pytest.mark.parametrize("name", [name for name in PLAYBOOKS if name != "site"])
def test_a_playbook_checks_the_settings_before_anything_else(name):
    first = project.load(project.ROOT / f"playbooks/{name}.yml")[0]
    tasks = first.get("pre_tasks") or first["tasks"]
    assert "check_settings" in tasks[0]
