# SPDX-License-Identifier: Apache-2.0
"""What the tests of layout and catalog read: files, specs, and the plan of a host as Ansible makes it."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import ansible.module_utils
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
# Directories that are not the project's: what a run leaves behind, and dependencies.
FOREIGN = {".git", ".venv", ".lab", ".cache", ".ansible", ".pytest_cache", ".ruff_cache", "__pycache__"}
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:  # golden.py runs without pytest
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.cloud.model import PLATFORM, cloud_model  # noqa: E402
from ansible.module_utils.config import formats, host_values, layers  # noqa: E402
from ansible.module_utils.plan.component import Component, Place  # noqa: E402, F401  for docs/generate.py


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML with Ansible's own tags, whose values are taken as they stand."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_scalar(node))


@functools.cache
def load(path: Path) -> Any:
    """Return the data of a YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506


@functools.cache
def everything() -> tuple[Path, ...]:
    """Return every file of the project, without descending into directories that are not its own."""
    found: list[Path] = []
    for directory, names, leaves in os.walk(ROOT):
        names[:] = [name for name in names if name not in FOREIGN]
        found += [Path(directory, leaf) for leaf in leaves]
    return tuple(sorted(found))


@functools.cache
def pattern(glob: str) -> re.Pattern:
    """Return a glob as a regular expression: **/ is any directory or none, * stays within one."""
    known = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", glob)))


@functools.cache
def files(*globs: str) -> tuple[Path, ...]:
    """Return the project's files that match one of the glob patterns."""
    patterns = [pattern(glob) for glob in globs]
    return tuple(path for path in everything() if any(p.fullmatch(short(path)) for p in patterns))


def short(path: Path) -> str:
    """Return a path as a person names it."""
    return str(path.relative_to(ROOT))


def role_data(role: str, kind: str) -> dict:
    """Return the variables of a role's `vars` or `defaults`: one file or the union of a directory's."""
    paths = files(f"roles/{role}/{kind}/main.yml", f"roles/{role}/{kind}/main/*.yml")
    # A link gives a role the defaults of another one, whose variables they are.
    return {key: value for path in paths if not path.is_symlink() for key, value in (load(path) or {}).items()}


@functools.cache
def role_names() -> list[str]:
    """Return the names of all roles."""
    return sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir() and any(path.iterdir()))


def spec(role: str) -> dict:
    """Return the options of a role's argument spec: a role has one entry point."""
    path = ROOT / "roles" / role / "meta/argument_specs.yml"
    entries = load(path)["argument_specs"] if path.exists() else {}
    return {name: option for entry in entries.values() for name, option in entry.get("options", {}).items()}


def tasks_of(items: list) -> list[dict]:
    """Return the tasks of a task file or of a play's list, those in blocks too."""
    found = []
    for item in items or []:
        found.append(item)
        for part in ("block", "rescue", "always"):
            found += tasks_of(item.get(part))
    return found


def every_task() -> list[tuple[str, dict]]:
    """Return every task of the project with its file: roles, playbooks, molecule."""
    found = []
    for path in files("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml"):
        found += [(short(path), task) for task in tasks_of(load(path))]
    for path in files("playbooks/**/*.yml", "molecule/**/*.yml"):
        content = load(path)
        for play in content if isinstance(content, list) else []:
            for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                found += [(short(path), task) for task in tasks_of(play.get(part))]
    return found


def secret_names() -> list[str]:
    """Return the names of the secrets that a cloud has."""
    return role_data("cloud_secrets", "vars")["cloud_secrets_names"]


SECRETS = {name: f"placeholder-{name}" for name in secret_names()}
RELEASES = role_data("cloud", "vars")["cloud_releases"]
SERVICES = role_data("nova", "vars")["nova_service_catalog"]
# What a host with four processors on which KVM does not work says of itself.
FACTS = {
    "cpus": 4,
    "memory_mb": 8000,
    "hostname": "name-of-the-host",
    "distribution": "debian",
    "architecture": "x86_64",
    "ovs_datapath": "netdev",
    "kvm": {"virt_type": "qemu", "cpu_mode": None, "cpu_models": []},
}


# --- shapes of clouds -------------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """A host, and the cloud that it is in."""

    host: str
    groups: dict
    external: dict = {}
    api_address: str | None = None
    tls: dict | None = None


def groups(controllers: list, computes: list, platform: list | None = None) -> dict:
    """Return the groups of an inventory; the platform services run on the controllers unless others are named."""
    theirs = controllers if platform is None else platform
    return {"nova_controllers": controllers, "nova_computes": computes, **{name: theirs for name in PLATFORM}}


ADDRESSES = {
    "controller1": "192.0.2.11",
    "controller2": "192.0.2.12",
    "controller3": "192.0.2.13",
    "compute1": "192.0.2.21",
}
EXTERNAL = {
    "mariadb": {
        "address": "198.51.100.5",
        "port": 3306,
        "admin_user": "root",
        "admin_password": "placeholder-external-1",
    },
    "rabbitmq": {
        "address": "198.51.100.5",
        "port": 5672,
        "user": "nova",
        "password": "placeholder-external-2",
        "vhost": "/",
    },
    "memcached": {"addresses": ["198.51.100.5:11211"]},
    "keystone": {"url": "http://198.51.100.5:5000", "admin_user": "admin", "admin_password": "placeholder-external-3"},
    "placement": {"url": "http://198.51.100.5:8778"},
    "glance": {"url": "http://198.51.100.5:9292"},
    "neutron": {"url": "http://198.51.100.5:9696", "metadata_secret": "placeholder-external-4"},
}
THEIR_MESSAGING = {
    "address": "198.51.100.6",
    "port": 5672,
    "user": "neutron",
    "password": "placeholder-external-5",
    "vhost": "/",
}
# An external Neutron whose agents run on our computes.
AGENTS = EXTERNAL | {"neutron": EXTERNAL["neutron"] | {"messaging": THEIR_MESSAGING}}
CONTROLLERS = ["controller1", "controller2", "controller3"]
SPLIT, NOVA_ONLY = groups(["controller1"], ["compute1"]), groups(["controller1"], ["compute1"], [])
HYPERCONVERGED, THREE = groups(CONTROLLERS, CONTROLLERS[1:]), groups(CONTROLLERS, ["compute1"])
TLS = {
    "ca_file": "/etc/ssl/certs/cloud-ca.pem",
    "cert": "/etc/ssl/certs/cloud.pem",
    "key": "/etc/ssl/private/cloud.key",
}
SHAPES = {
    "split-controller": Shape("controller1", SPLIT),
    "split-compute": Shape("compute1", SPLIT),
    "all-in-one": Shape("controller1", groups(["controller1"], ["controller1"])),
    "external-controller": Shape("controller1", NOVA_ONLY, EXTERNAL),
    "external-compute": Shape("compute1", NOVA_ONLY, EXTERNAL),
    "external-compute-agent": Shape("compute1", NOVA_ONLY, AGENTS),
    "hyperconverged-1": Shape("controller1", HYPERCONVERGED),
    "hyperconverged-2": Shape("controller2", HYPERCONVERGED),
    "hyperconverged-3": Shape("controller3", HYPERCONVERGED),
}
# Shapes that the model and the components know, and that cannot be deployed yet.
TLS_SHAPES = {
    "tls-controller": Shape("controller1", THREE, {}, "192.0.2.10", TLS),
    "tls-compute": Shape("compute1", THREE, {}, "192.0.2.10", TLS),
}


# --- the plan of a host -----------------------------------------------------------------------------------------------


@functools.cache
def load_plugins() -> None:
    """Make the project's filters known to templates."""
    init_plugin_loader()
    filter_loader.add_directory(str(ROOT / "plugins/filter"))


@functools.cache
def variables_of(*globs: str) -> dict:
    """Return the variables of YAML files, templates unrendered."""
    loader, found = DataLoader(), {}
    for path in files(*globs):
        found |= loader.load_from_file(str(path), trusted_as_template=True) or {}
    return found


def defaults() -> dict:
    """Return the defaults of the roles, and over them what the example inventory sets."""
    return variables_of("roles/*/defaults/main.yml", "roles/*/defaults/main/*.yml") | variables_of(
        "inventory/example/group_vars/all/cloud.yml"
    )


def role_variables() -> dict:
    """Return the variables of the roles, which no inventory can set: test_layout says that none is in `defaults`."""
    return variables_of("roles/*/vars/main.yml", "roles/*/vars/main/*.yml")


class Plan:
    """The plan of a host: `plan[key]`, its files by path, and the text of each.

    overrides are layers of config_overrides for the whole cloud, each {path: options}, the strongest last; variables
    are what an operator sets.
    """

    def __init__(self, shape: str, release: str, overrides: tuple = (), **variables: Any) -> None:
        self.shape = {**SHAPES, **TLS_SHAPES}[shape]
        self.release = release
        host, external = self.shape.host, self.shape.external
        given = {**defaults(), **SECRETS, **variables}
        named = [{"name": f"override {n}", "source": "test", "files": files} for n, files in enumerate(overrides)]
        self.cloud = cloud_model(
            release={**RELEASES[release], "name": release},
            region=given["cloud_region"],
            groups=self.shape.groups,
            addresses=ADDRESSES,
            external=external,
            overrides={"all": named, "groups": {}, "hosts": {}, "order": {}},
            api_address=self.shape.api_address,
            tls=self.shape.tls,
            nova_services=given["nova_controller_services"],
        )
        self.variables = {
            **given,
            **role_variables(),
            "cloud": self.cloud,
            "cloud_external": external,
            "inventory_hostname": host,
            "kvm_preflight_result": {
                "recommended_virt_type": FACTS["kvm"]["virt_type"],
                "recommended": {key: FACTS["kvm"][key] for key in ("cpu_mode", "cpu_models")},
            },
            "playbook_dir": str(ROOT / "playbooks"),
            "management_address": ADDRESSES[host],
            "provider_interface": "eth1",
            "nova_release": release,
        }

    def value(self, name: str) -> Any:
        """Return a variable as a task of this host sees it."""
        load_plugins()
        templar = Templar(loader=DataLoader(), variables=self.variables)
        return templar.template(trust_as_template("{{ " + name + " }}"))

    @functools.cached_property
    def parts(self) -> dict:
        """Return the plan."""
        return self.value("deploy_plan")

    def __getitem__(self, key: str) -> Any:
        return self.parts[key]

    @property
    def files(self) -> dict:
        """Return the entries of files by path."""
        return {entry["path"]: entry for entry in self["files"]}

    def options(self, path: str) -> dict:
        """Return the options of a file as the host writes them, {section: {option: [value, ...]}}."""
        entry = self.files[path]
        resolved = host_values.resolve(entry["layers"], {**FACTS, "suite": RELEASES[self.release]["suite"]})
        return layers.merge(resolved, entry.get("format", "ini"), path)

    def text(self, path: str) -> str:
        """Return a file as the host writes it."""
        return formats.render(self.options(path), self.files[path].get("format", "ini"))


@functools.cache
def plan_of(shape: str, release: str) -> Plan:
    """Return the plan of a shape with the variables of the example inventory."""
    return Plan(shape, release)
