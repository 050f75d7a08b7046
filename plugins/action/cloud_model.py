# SPDX-License-Identifier: Apache-2.0
"""Check the inventory and make the model of the cloud, once in a run.

Everything happens on the control node, in check mode too. The variables of each host are read once, and all problems
are reported in one message. The result is the model of module_utils/cloud/model.py, its keys at top level.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.cloud.inventory import Catalogs, Inventory, inventory_problems
from ansible.module_utils.cloud.model import GROUPS, cloud_model
from ansible.module_utils.cloud.specs import secret_paths
from ansible.module_utils.message import Message
from ansible.plugins.action import ActionBase
from ansible.plugins.plugin_utils.host_templates import templar_of
from ansible.plugins.plugin_utils.inventory_levels import Levels, Value, file_of
from ansible.template import Templar
from ansible.vars.hostvars import HostVars

ROLES = Path(__file__).resolve().parents[2] / "roles"
OVERRIDES = "config_overrides"
WIRING = "wiring.yml"


def read_specs(roles: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the options of every entry point of the roles' argument specs, by the name of the variable."""
    options: dict[str, dict[str, Any]] = {}
    for role in roles:
        path = ROLES / role / "meta" / "argument_specs.yml"
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        for entry in entries.values():
            options.update(entry.get("options", {}))
    return options


class HostReader:
    """The variables of one host: read once, rendered only where they hold a template."""

    def __init__(self, action: ActionModule, hostvars: HostVars, host: str) -> None:
        self.action = action
        self.hostvars = hostvars
        self.host = host
        self.raw: dict[str, Any] = hostvars.raw_get(host)
        self._templar: Templar | None = None

    def render(self, value: Any) -> Any:
        """Return a value as the tasks of this host get it; one without a template is the same object."""
        if not self.action.holds_template(value):
            return value
        if self._templar is None:
            self._templar = templar_of(self.action, self.hostvars, self.host)
        return self._templar.template(value)


class ActionModule(ActionBase):
    """Check the inventory and return the model of the cloud."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("roles", "releases", "services", "services_gone", "secrets", "secret_min_length", "renamed", "removed")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the model, or fail with every problem of the inventory."""
        result = super().run(tmp, task_vars)
        self._templates: dict[int, tuple[Any, bool]] = {}
        args, variables = self._task.args, task_vars or {}
        catalogs = make_catalogs(args)
        hostvars = variables["hostvars"]
        groups = {name: list(variables["groups"].get(name, [])) for name in GROUPS}
        members = {host for hosts in groups.values() for host in hosts}
        hosts = [host for host in variables["groups"]["all"] if host in members] or variables["ansible_play_hosts_all"]
        readers = [HostReader(self, hostvars, host) for host in hosts]
        inventory, overrides = self.read(readers, groups, catalogs, Levels(hostvars, OVERRIDES))
        problems = inventory_problems(inventory, catalogs)
        if problems:
            count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
            lines = "\n".join(f"  - {problem}" for problem in problems)
            return {**result, "failed": True, "msg": Message(f"The inventory has {count}:\n{lines}")}
        # The overrides can hold secrets of the operator; the rest of the model has none.
        return {
            **result,
            "changed": False,
            **self.model(inventory, catalogs, args["releases"], overrides),
            "_ansible_no_log": True,
        }

    def model(
        self, inventory: Inventory, catalogs: Catalogs, releases: dict[str, Any], overrides: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the model of a cloud whose inventory has no problem."""
        cloud = inventory.cloud
        name = str(cloud["nova_release"])
        return cloud_model(
            release={**releases[name], "name": name},
            region=cloud["cloud_region"],
            groups=inventory.groups,
            addresses={host: given["management_address"] for host, given in inventory.variables.items()},
            external=cloud.get("cloud_external"),
            nova_services=running(inventory),
            overrides=overrides,
            secret_paths=secret_paths({**dict.fromkeys(catalogs.secrets, {"no_log": True}), **catalogs.specs}),
        )

    def read(
        self, readers: list[HostReader], groups: dict[str, list[str]], catalogs: Catalogs, levels: Levels
    ) -> tuple[Inventory, dict[str, Any]]:
        """Return the inventory to check, and the layers of config_overrides."""
        variables: dict[str, dict[str, Any]] = {}
        errors: dict[str, dict[str, str]] = {}
        wiring: dict[str, set[str]] = {}
        checked = {*catalogs.specs, *catalogs.renamed, *catalogs.removed, *catalogs.secrets} - {OVERRIDES}
        for reader in readers:
            variables[reader.host], failed = self.read_host(reader, checked, catalogs, wiring)
            if failed:
                errors[reader.host] = failed
        collected = Overrides(self, levels, readers, errors)
        inventory = Inventory(groups, variables, errors, wiring, collected.layers())
        return inventory, collected.as_dict()

    def read_host(
        self, reader: HostReader, checked: set[str], catalogs: Catalogs, wiring: dict[str, set[str]]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a host's variables, and the errors of those that could not be rendered; add to `wiring`."""
        values: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for name in reader.raw:
            if name not in checked:
                continue
            path = file_of(reader.raw[name])
            if path and Path(path).name == WIRING:
                wiring.setdefault(path, set()).add(name)
            elif name in catalogs.renamed or name in catalogs.removed:
                values[name] = None
            else:
                try:
                    values[name] = reader.render(reader.raw[name])
                except AnsibleError as error:
                    failed[name] = str(error)
        return values, failed

    def holds_template(self, value: Any) -> bool:
        """Return whether a value has a template in it. The result is kept by the object, not by its text."""
        if isinstance(value, str):
            return self._templar.is_possibly_template(value)
        if not isinstance(value, (dict, list)):
            return value is not None and not isinstance(value, (int, float))  # a vaulted value, for one
        if id(value) not in self._templates:
            items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            self._templates[id(value)] = (value, any(self.holds_template(item) for item in items))
        return self._templates[id(value)][1]


class Overrides:
    """The layers of config_overrides: of the group all, of each group, of each host, of the run.

    A layer of a group is the same for all of its hosts, unless it has a template in it: then that layer, and every
    later one, is rendered for each host and kept among the layers of that host.
    """

    def __init__(
        self, action: ActionModule, levels: Levels, readers: list[HostReader], errors: dict[str, dict[str, str]]
    ) -> None:
        self.action = action
        self.levels = levels
        self.errors = errors
        self.all = self._named(levels.of_group("all"), "cloud (group all)")
        self.groups: dict[str, list[dict[str, Any]]] = {}
        self.hosts: dict[str, list[dict[str, Any]]] = {}
        self.order: dict[str, list[str]] = {}
        self._extra = self._named(levels.of_run(), "extra variables")
        for reader in readers:
            self._read(reader)
        if any(self.action.holds_template(layer["files"]) for layer in self.all):
            self.all = []

    def layers(self) -> list[dict[str, Any]]:
        """Return every layer once."""
        groups = [layer for layers in self.groups.values() for layer in layers]
        seen: dict[object, dict[str, Any]] = {id(layer): layer for layer in [*self.all, *groups]}
        for layers in self.hosts.values():
            seen.update({(layer["name"], layer["source"], str(layer["files"])): layer for layer in layers})
        return list(seen.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the layers in the form of the model."""
        used = {name for names in self.order.values() for name in names}
        groups = {name: layers for name, layers in self.groups.items() if name in used}
        return {"all": self.all, "groups": groups, "hosts": self.hosts, "order": self.order}

    def _named(self, found: list[Value], name: str) -> list[dict[str, Any]]:
        return [{"name": name, "source": source, "files": value} for value, source in found if value]

    def _read(self, reader: HostReader) -> None:
        host = reader.host
        steps: list[tuple[str | None, list[dict[str, Any]]]] = [(None, self.all)]
        for group in self.levels.groups(host):
            if group not in self.groups:
                self.groups[group] = self._named(self.levels.of_group(group), f"group {group}")
            if self.groups[group]:
                steps.append((group, self.groups[group]))
        common: list[str | None] = []
        while steps and not any(self.action.holds_template(layer["files"]) for layer in steps[0][1]):
            common.append(steps.pop(0)[0])
        own = [*(layer for _, layers in steps for layer in layers)]
        own += self._named(self.levels.of_host(host), f"host {host}") + self._extra
        self.order[host] = [group for group in common if group]
        if own:
            self.hosts[host] = [self._rendered(reader, layer) for layer in own]

    def _rendered(self, reader: HostReader, layer: dict[str, Any]) -> dict[str, Any]:
        if not self.action.holds_template(layer["files"]):
            return layer
        try:
            return {**layer, "files": reader.render(layer["files"])}
        except AnsibleError as error:
            problem = f"{error} ({layer['name']}, {layer['source']})"
            self.errors.setdefault(reader.host, {})[OVERRIDES] = problem
            return {**layer, "files": {}}


def running(inventory: Inventory) -> list[str]:
    """Return the services of Nova that at least one controller runs."""
    controllers = [inventory.variables[host] for host in inventory.groups["nova_controllers"]]
    return list(dict.fromkeys(name for given in controllers for name in given["nova_controller_services"]))


def make_catalogs(args: dict[str, Any]) -> Catalogs:
    """Return the catalogs to compare the inventory with, from the parameters of the task."""
    specs = read_specs(args["roles"])
    return Catalogs(
        specs={name: option for name, option in specs.items() if name not in {**args["removed"], **args["renamed"]}},
        releases=list(args["releases"]),
        services=list(args["services"]),
        services_gone=dict(args["services_gone"]),
        secrets=list(args["secrets"]),
        secret_min_length=int(args["secret_min_length"]),
        renamed=dict(args["renamed"]),
        removed=dict(args["removed"]),
    )
