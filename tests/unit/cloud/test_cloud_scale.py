# SPDX-License-Identifier: Apache-2.0
"""What the model of a cloud costs: nothing of it may grow faster than the number of hosts."""

from __future__ import annotations

import collections
from collections.abc import Callable
from types import SimpleNamespace

import project
import pytest
import yaml
from ansible._internal._templating._engine import TemplateEngine
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.plugins.loader import action_loader, init_plugin_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

SECRETS = project.load(project.ROOT / "roles/cloud_secrets/vars/main.yml")["cloud_secrets_names"]
CHECKS = project.load(project.ROOT / "roles/cloud/vars/main/checks.yml")
SIZES = (5, 10, 20)


def write_inventory(directory, computes: int) -> str:
    """Write an inventory whose hosts have variables of their own, some of them templates; return its path."""
    groups = {name: {"hosts": {"controller1": None}} for name in project.PLATFORM}
    groups["nova_controllers"] = {"hosts": {"controller1": None}}
    groups["nova_computes"] = {"hosts": {f"compute{number}": None for number in range(computes)}}
    names = ["controller1", *groups["nova_computes"]["hosts"]]
    hosts = {name: {"octet": number} for number, name in enumerate(names)}
    variables = {
        **project.load(project.ROOT / "inventory/example/group_vars/all/cloud.yml"),
        **{name: f"{name}-0123456789" for name in SECRETS},
        "management_address": "10.0.0.{{ octet }}",
        "provider_interface": "eth1",
        "config_overrides": {"/etc/x": {"A": {"b": "{{ management_address }}"}}},
    }
    variables.pop("nova_config", None)
    directory.mkdir()
    path = directory / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts, "children": groups, "vars": variables}}))
    return str(path)


def counted(function: Callable, calls: collections.Counter) -> Callable:
    """Return a function that also counts its calls."""

    def call(*args, **kwargs):
        calls[function.__name__] += 1
        return function(*args, **kwargs)

    return call


def count(directory, computes: int, monkeypatch) -> collections.Counter:
    """Return how often the action reads variables and renders values, for a number of computes."""
    loader = DataLoader()
    inventory = InventoryManager(loader, [write_inventory(directory, computes)])
    manager = VariableManager(loader, inventory)
    HostVars(inventory, manager, loader)  # makes itself known to the manager
    arguments = {
        "roles": CHECKS["cloud_specified_roles"],
        "releases": {"epoxy": {}},
        "services": ["api", "metadata", "conductor", "scheduler", "novncproxy"],
        "services_gone": {},
        "secrets": SECRETS,
        "secret_min_length": 16,
        "renamed": {},
        "removed": dict.fromkeys(
            project.load(project.ROOT / "roles/cloud/vars/main/names.yml")["cloud_removed_variables"]
        ),
    }
    play = Play.load({"hosts": "all", "tasks": [{"cloud_model": arguments}]}, variable_manager=manager, loader=loader)
    task = play.compile()[1].block[0]
    variables = manager.get_vars(play=play, host=inventory.get_host("controller1"), task=task)
    action = action_loader.get(
        "cloud_model",
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=None,
        loader=loader,
        templar=Templar(loader, variables),
        shared_loader_obj=None,
    )
    calls: collections.Counter = collections.Counter()
    for owner, name in ((VariableManager, "get_vars"), (HostVars, "raw_get"), (TemplateEngine, "template")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name), calls))
    result = action.run(task_vars=variables)
    assert not result.get("failed"), result
    assert len(result["overrides"]["hosts"]) == computes + 1
    monkeypatch.undo()
    return calls


@pytest.fixture
def counts(tmp_path, monkeypatch) -> list[collections.Counter]:
    """Return the counts for each size."""
    init_plugin_loader()
    action_loader.add_directory(str(project.ROOT / "plugins/action"))
    return [count(tmp_path / str(size), size, monkeypatch) for size in SIZES]


def test_the_variables_of_each_host_are_read_once_and_no_call_grows_faster_than_the_hosts(counts):
    assert [calls["raw_get"] for calls in counts] == [size + 1 for size in SIZES]
    assert [calls["get_vars"] for calls in counts] == [2 * (size + 1) for size in SIZES]
    small, middle, large = (calls["template"] for calls in counts)
    assert 0 < (large - middle) / (SIZES[2] - SIZES[1]) <= (middle - small) / (SIZES[1] - SIZES[0])
    assert (middle - small) / (SIZES[1] - SIZES[0]) < 10
