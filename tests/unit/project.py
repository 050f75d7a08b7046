# SPDX-License-Identifier: Apache-2.0
"""What the tests of layout and catalogue read: files, specs, and the plan of a host as Ansible makes it."""

from __future__ import annotations

import functools
import itertools
import os
import re
from pathlib import Path

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
# Folders that are not the project's: what a run leaves behind, and dependencies.
FOREIGN = {".git", ".venv", ".lab", ".cache", ".ansible", ".pytest_cache", ".ruff_cache", "__pycache__"}
PLATFORM = ["mariadb", "rabbitmq", "memcached", "keystone", "placement", "glance", "neutron"]


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML with Ansible's own tags, whose values are taken as they stand."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_scalar(node))


@functools.cache
def load(path: Path):
    """Return what a YAML file holds."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506


@functools.cache
def everything() -> tuple[Path, ...]:
    """Return every file of the project, without descending into folders that are not its own."""
    found: list[Path] = []
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [name for name in names if name not in FOREIGN]
        found += [Path(folder, leaf) for leaf in leaves]
    return tuple(sorted(found))


@functools.cache
def pattern(glob: str) -> re.Pattern:
    """Return a glob as a regular expression: **/ is any folder or none, * stays within one."""
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
    """Return the variables of a role's `vars` or `defaults`: one file or the union of a folder's."""
    paths = files(f"roles/{role}/{kind}/main.yml", f"roles/{role}/{kind}/main/*.yml")
    return {key: value for path in paths for key, value in (load(path) or {}).items()}


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
    """Return every task of the project with the file it stands in: roles, playbooks, molecule."""
    found = []
    for path in files("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml"):
        found += [(short(path), task) for task in tasks_of(load(path))]
    for path in files("playbooks/**/*.yml", "molecule/**/*.yml"):
        content = load(path)
        for play in content if isinstance(content, list) else []:
            for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                found += [(short(path), task) for task in tasks_of(play.get(part))]
    return found


def example_inventory() -> dict:
    """Return groups and host variables of the example inventory."""
    content = load(ROOT / "inventory/example/hosts.yml")["all"]
    groups = {name: list(group.get("hosts") or {}) for name, group in content["children"].items()}
    return {"groups": groups | {"all": list(content["hosts"])}, "hosts": content["hosts"]}


def secret_names() -> list[str]:
    """Return the names of the secrets that a cloud has."""
    return role_data("cloud_secrets", "vars")["cloud_secrets_names"]


@functools.cache
def project_variables() -> dict:
    """Return what roles and the example inventory define, templates unrendered, by Ansible's precedence."""
    loader = DataLoader()
    layers = [
        files("roles/*/defaults/main.yml", "roles/*/defaults/main/*.yml"),
        [path for path in files("inventory/example/group_vars/all/*.yml") if path.name != "secrets.yml"],
        files("roles/*/vars/main.yml", "roles/*/vars/main/*.yml"),
    ]
    variables: dict = {}
    for path in itertools.chain(*layers):
        variables |= loader.load_from_file(str(path), trusted_as_template=True) or {}
    return variables


class Plan:
    """The variables of one host as a play over all roles sees them; `plan[name]` is a variable, rendered."""

    def __init__(self, host: str, inventory: dict, **overrides) -> None:
        self.rendered: dict = {}
        groups = inventory["groups"]
        self.secrets = {name: f"{name}-Vn3kq8ZtR1" for name in secret_names()}
        self.variables = {
            **project_variables(),
            **self.secrets,
            **inventory["hosts"][host],
            "ansible_facts": {
                "machine": {"cpus": 4, "hostname": host, "suite": "trixie", "ovs_datapath": "netdev", "memory_mb": 8000}
            },
            "ansible_check_mode": False,
            "kvm_preflight_verdict": {
                "recommended_virt_type": "qemu",
                "recommended": {"cpu_mode": None, "cpu_models": []},
            },
            "groups": groups,
            "group_names": [name for name, hosts in groups.items() if host in hosts and name != "all"],
            "hostvars": {
                name: {**known, "cloud_host_name": f"{name}-itself"} for name, known in inventory["hosts"].items()
            },
            "ansible_play_hosts_all": list(inventory["hosts"]),
            "inventory_hostname": host,
            **overrides,
        }

    def __getitem__(self, name: str):
        if name not in self.rendered:
            template = trust_as_template("{{ " + name + " }}")
            self.rendered[name] = Templar(loader=DataLoader(), variables=self.variables).template(template)
        return self.rendered[name]


SPLIT = example_inventory()
ALL_IN_ONE = {
    "groups": {name: hosts[:1] and ["controller1"] for name, hosts in SPLIT["groups"].items()},
    "hosts": {"controller1": SPLIT["hosts"]["controller1"]},
}
OWN_PLATFORM = {
    "groups": SPLIT["groups"] | {name: [] for name in PLATFORM},
    "hosts": SPLIT["hosts"],
}
THEIR_BROKER = {
    "address": "198.51.100.6",
    "port": 5672,
    "user": "neutron",
    "password": "agents-of-theirs-1",
    "vhost": "/",
}
EXTERNAL = {
    "mariadb": {"address": "198.51.100.5", "port": 3306, "admin_user": "root", "admin_password": "admin-of-theirs-1"},
    "rabbitmq": {
        "address": "198.51.100.5",
        "port": 5672,
        "user": "nova",
        "password": "queue-of-theirs-1",
        "vhost": "/",
    },
    "memcached": {"addresses": ["198.51.100.5:11211"]},
    "keystone": {"url": "http://198.51.100.5:5000", "admin_user": "admin", "admin_password": "admin-of-theirs-2"},
    "placement": {"url": "http://198.51.100.5:8778"},
    "glance": {"url": "http://198.51.100.5:9292"},
    "neutron": {"url": "http://198.51.100.5:9696", "metadata_secret": "shared-of-theirs-1"},
}
