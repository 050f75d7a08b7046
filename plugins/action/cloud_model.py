# SPDX-License-Identifier: Apache-2.0
"""Check the inventory and make the model of the cloud, once in a run.

Everything happens on the control node, in check mode too. Each host's variables are read once; what is wrong with any
of them is said in one message. The result is the model of module_utils/cloud/model.py, its keys at top level.
"""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
import ansible.plugins
import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
for package, folder in ((ansible.module_utils, ROOT / "module_utils"), (ansible.plugins, ROOT / "plugins")):
    if str(folder) not in package.__path__:  # Ansible offers the first to modules only, the second to nobody
        package.__path__.append(str(folder))

from ansible.module_utils.cloud.inventory import Catalogs, Inventory, inventory_problems  # noqa: E402
from ansible.module_utils.cloud.model import GROUPS, cloud_model  # noqa: E402
from ansible.module_utils.cloud.specs import secret_paths  # noqa: E402
from ansible.plugins.plugin_utils.host_templates import templar_of  # noqa: E402
from ansible.plugins.plugin_utils.inventory_levels import Levels, file_of  # noqa: E402

OVERRIDES = "config_overrides"
WIRING = "wiring.yml"


def read_specs(roles: list) -> dict:
    """Return the options of every entry point of the roles' argument specs, by the name of the variable."""
    options: dict = {}
    for role in roles:
        path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        for entry in entries.values():
            options.update(entry.get("options", {}))
    return options


class HostReader:
    """The variables of one host: read once, rendered only where they hold a template."""

    def __init__(self, action: ActionModule, hostvars, host: str) -> None:
        self.action = action
        self.hostvars = hostvars
        self.host = host
        self.raw = hostvars.raw_get(host)
        self._templar = None

    def render(self, value):
        """Return a value as the tasks of this host see it; one without a template is the same object."""
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

    def run(self, tmp=None, task_vars=None) -> dict:
        """Return the model, or fail with everything that is wrong with the inventory."""
        result = super().run(tmp, task_vars)
        self._templates: dict[int, tuple] = {}
        args = self._task.args
        catalogs = make_catalogs(args)
        hostvars = task_vars["hostvars"]
        groups = {name: list(task_vars["groups"].get(name, [])) for name in GROUPS}
        members = {host for hosts in groups.values() for host in hosts}
        hosts = [host for host in task_vars["groups"]["all"] if host in members] or task_vars["ansible_play_hosts_all"]
        readers = [HostReader(self, hostvars, host) for host in hosts]
        inventory, overrides = self.read(readers, groups, catalogs, Levels(hostvars, OVERRIDES))
        problems = inventory_problems(inventory, catalogs)
        if problems:
            count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
            text = "\n".join(f"  - {problem}" for problem in problems)
            return {**result, "failed": True, "msg": f"The inventory has {count}:\n{text}"}
        # The overrides can hold secrets of the operator; the model itself has none.
        return {
            **result,
            "changed": False,
            **self.model(inventory, catalogs, args["releases"], overrides),
            "_ansible_no_log": True,
        }

    def model(self, inventory: Inventory, catalogs: Catalogs, releases: dict, overrides: dict) -> dict:
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

    def read(self, readers: list, groups: dict, catalogs: Catalogs, levels: Levels) -> tuple:
        """Return the inventory as it is checked, and the layers of config_overrides."""
        variables: dict = {}
        errors: dict = {}
        wiring: dict = {}
        checked = {*catalogs.specs, *catalogs.renamed, *catalogs.removed, *catalogs.secrets} - {OVERRIDES}
        for reader in readers:
            variables[reader.host], failed = self.read_host(reader, checked, catalogs, wiring)
            if failed:
                errors[reader.host] = failed
        collected = Overrides(self, levels, readers, errors)
        inventory = Inventory(groups, variables, errors, wiring, collected.layers())
        return inventory, collected.as_dict()

    def read_host(self, reader: HostReader, checked: set, catalogs: Catalogs, wiring: dict) -> tuple[dict, dict]:
        """Return what a host's variables are, and why some could not be rendered."""
        values, failed = {}, {}
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

    def holds_template(self, value) -> bool:
        """Return whether anything in a value is a template. The answer is kept by the object, not by its text."""
        if isinstance(value, str):
            return self._templar.is_possibly_template(value)
        if not isinstance(value, (dict, list)):
            return value is not None and not isinstance(value, (int, float))  # such as a value of a vault
        if id(value) not in self._templates:
            items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            self._templates[id(value)] = (value, any(self.holds_template(item) for item in items))
        return self._templates[id(value)][1]


class Overrides:
    """The layers of config_overrides: of the group all, of each group, of each host, of the run.

    A layer of a group is the same for all of its hosts, unless it holds a template: then it, and every layer after it,
    is rendered for each host and counted among the layers of that host.
    """

    def __init__(self, action: ActionModule, levels: Levels, readers: list, errors: dict) -> None:
        self.action = action
        self.levels = levels
        self.errors = errors
        self.all = self._named(levels.of_group("all"), "cloud (group all)")
        self.groups: dict = {}
        self.hosts: dict = {}
        self.order: dict = {}
        self._extra = self._named(levels.of_run(), "extra variables")
        for reader in readers:
            self._read(reader)
        if any(self.action.holds_template(layer["files"]) for layer in self.all):
            self.all = []

    def layers(self) -> list:
        """Return every layer once."""
        groups = [layer for layers in self.groups.values() for layer in layers]
        seen = {id(layer): layer for layer in [*self.all, *groups]}
        for layers in self.hosts.values():
            seen.update({(layer["name"], layer["source"], str(layer["files"])): layer for layer in layers})
        return list(seen.values())

    def as_dict(self) -> dict:
        """Return the layers as the model has them."""
        used = {name for names in self.order.values() for name in names}
        groups = {name: layers for name, layers in self.groups.items() if name in used}
        return {"all": self.all, "groups": groups, "hosts": self.hosts, "order": self.order}

    def _named(self, found: list, name: str) -> list:
        return [{"name": name, "source": source, "files": value} for value, source in found if value]

    def _read(self, reader: HostReader) -> None:
        host, steps = reader.host, [(None, self.all)]
        for group in self.levels.groups(host):
            if group not in self.groups:
                self.groups[group] = self._named(self.levels.of_group(group), f"group {group}")
            if self.groups[group]:
                steps.append((group, self.groups[group]))
        common = []
        while steps and not any(self.action.holds_template(layer["files"]) for layer in steps[0][1]):
            common.append(steps.pop(0)[0])
        own = [*(layer for _, layers in steps for layer in layers)]
        own += self._named(self.levels.of_host(host), f"host {host}") + self._extra
        self.order[host] = [group for group in common if group]
        if own:
            self.hosts[host] = [self._rendered(reader, layer) for layer in own]

    def _rendered(self, reader: HostReader, layer: dict) -> dict:
        if not self.action.holds_template(layer["files"]):
            return layer
        try:
            return {**layer, "files": reader.render(layer["files"])}
        except AnsibleError as error:
            problem = f"{error} ({layer['name']}, {layer['source']})"
            self.errors.setdefault(reader.host, {})[OVERRIDES] = problem
            return {**layer, "files": {}}


def running(inventory: Inventory) -> list:
    """Return the services of Nova that any controller runs."""
    controllers = [inventory.variables[host] for host in inventory.groups["nova_controllers"]]
    return list(dict.fromkeys(name for given in controllers for name in given["nova_controller_services"]))


def make_catalogs(args: dict) -> Catalogs:
    """Return what the inventory is compared with, from the parameters of the task."""
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
