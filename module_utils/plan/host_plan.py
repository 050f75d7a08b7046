# SPDX-License-Identifier: Apache-2.0
"""The plan of a host: what its components declare, put together. Pure functions, no I/O.

A component is a dict (`<role>_component`), a service is a row of its catalog. The keys of both are in SCHEMA, with the
type of each value: an unknown key or a value of another type is an error that names component, service and key. Values
are read only where they are needed: Ansible renders a template when its value is read, and a host must not need, or
get, what belongs to the services of another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible.module_utils.cloud.urls import host_port

# Where the units of a service's stage go in the plan.
STAGES = {"base": "base_units", "identity": "identity_units", "api": "api_units", "agent": "agent_units"}
ENDPOINTS = {
    "identity": "identity_endpoints",
    "api": "api_endpoints",
    "agent": "api_endpoints",
    "base": "api_endpoints",
}
LISTS = (
    "packages", "debconf", "files", "base_units", "databases", "messaging_users", "prepare", "schema", "identity_units",
    "identity_endpoints", "api_units", "stopped_units", "api_endpoints", "queues", "agent_units", "finish",
)  # fmt: skip

text, number, array, table, either = (str,), (int,), (list, tuple), (Mapping,), (int, str, Mapping)
SCHEMA: dict = {
    "component": {
        "source": text, "services": table, "catalog": table, "drop_in": text, "package_list": text, "debconf": array,
        "layers": table, "common_layers": array, "release": table, "messaging": table, "common_files": array,
        "files": table, "extends": table, "singletons": table,
    },
    "service": {
        "packages": array, "unit": text, "sockets": array, "stage": text, "files": array, "layers": array,
        "compute_layers": array, "file_layers": table, "uwsgi": table, "port": number, "ready": table, "queue": text,
        "stops": array, "base_units": array, "requires": table, "prepare": array, "finish": array, "reload": array,
        "removed_after": text, "replaced_by": text,
    },
    "uwsgi": {
        "name": text, "user": text, "application": table, "processes": either, "ini": text, "default": text,
        "log": text, "options": table,
    },
    "ready": {"path": text, "status": array},
    "step": {"name": text, "module": text, "args": table},
    "singletons": {
        "databases": array, "messaging_users": array, "schema": array, "identity": table, "cells": table,
    },
}  # fmt: skip
NAMES = {str: "a text", int: "a number", list: "a list", Mapping: "a dict"}


def check(kind: str, value: object, where: str) -> None:
    """Raise ValueError unless a value is a dict with known keys; types are checked as each key is read."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a dict, not {value!r}")
    unknown = sorted(set(value) - set(SCHEMA[kind]))
    if unknown:
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(SCHEMA[kind]))}")


def get(kind: str, value: Mapping, key: str, where: str, default=None):
    """Return value[key], checked against SCHEMA; default where it is not there or null."""
    if key not in value or value[key] is None:
        return default
    found, types = value[key], SCHEMA[kind][key]
    if not isinstance(found, types) or isinstance(found, bool) or (types == array and isinstance(found, str)):
        raise ValueError(f"{where}: {key} must be {NAMES[types[0]]}, not {found!r}")
    return found


def unique(items) -> list:
    """Return the items without those that were there before, in their order."""
    seen: list = []
    for item in items:
        if item not in seen:
            seen.append(item)
    return seen


class Component:
    """What one component brings to one host."""

    def __init__(self, name: str, declared: Mapping, host: str, cloud: Mapping, common: Mapping) -> None:
        self.name, self.declared, self.host, self.cloud, self.common = name, declared, host, cloud, common
        check("component", declared, name)
        self.source = self.get("source", f"roles/{name}")
        self.chosen = [service for group in self.groups() for service in self.services_of(group)]
        self.chosen = unique(self.chosen)

    def get(self, key: str, default=None):
        """Return a key of the component."""
        return get("component", self.declared, key, self.name, default)

    def groups(self) -> list:
        """Return the groups of the component that the host is in, in the order of its `services`."""
        return [group for group in self.get("services", {}) if self.host in self.cloud["groups"].get(group, [])]

    def services_of(self, group: str) -> list:
        """Return the names of the services that a group runs."""
        names = self.get("services")[group]
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise ValueError(f"{self.name}: services.{group} must be a list, not {names!r}")
        return list(names)

    def row(self, service: str) -> Mapping:
        """Return the row of a service."""
        catalog = self.get("catalog", {})
        if service not in catalog:
            raise ValueError(f"{self.name} has no service {service}; its catalog has {', '.join(catalog)}")
        row = catalog[service]
        check("service", row, f"{self.name}.{service}")
        if "removed_after" in row:
            raise ValueError(f"{self.name}: {service} was removed after {row['removed_after']}: {row['replaced_by']}")
        return row

    def of(self, service: str, key: str, default=None):
        """Return a key of a service's row."""
        return get("service", self.row(service), key, f"{self.name}.{service}", default)

    def every(self, key: str) -> list:
        """Return what all chosen services list under a key, each item once."""
        return unique(item for service in self.chosen for item in self.of(service, key, []))

    # --- files ------------------------------------------------------------------------------------------------------

    def layer(self, name: str, options: Mapping, source: str | None = None) -> dict:
        """Return a named layer of options."""
        return {"name": name, "source": source or self.source, "options": options}

    def service_layers(self) -> list:
        """Return the layers of the file that all services of the component share, weakest first."""
        known = self.get("layers", {})
        names = unique([*self.get("common_layers", []), None, *self.every("layers"), *self.remote_layers()])
        found = []
        for name in names:
            if name is None:
                options = self.get("release", {}).get("options", {})
                release = self.cloud["release"]["name"]
                found.append(self.layer(f"release {release}", options, "roles/cloud/vars/main/releases.yml"))
            elif name in known:
                found.append(self.layer(f"{self.name}: {name}", known[name]))
            else:
                raise ValueError(f"{self.name}: no layer {name}; its layers are {', '.join(known)}")
        return found

    def remote_layers(self) -> list:
        """Return the names of layers that services of the controllers add on a compute."""
        if self.host not in self.cloud["groups"].get("nova_computes", []):
            return []
        catalog = self.get("catalog", {})
        running = [name for name in self.cloud.get(f"{self.name}_services", []) if name in catalog]
        return [layer for name in running for layer in catalog[name].get("compute_layers", [])]

    def file(self, name: str) -> dict:
        """Return the entry of a file, with its layers for the services of this host."""
        known = self.get("files", {})
        if name not in known:
            raise ValueError(f"{self.name}: no file {name}; its files are {', '.join(known)}")
        entry = dict(known[name])
        if entry.get("layers") == "services":
            entry["layers"] = self.service_layers()
            entry["validate"] = [*entry.get("validate", []), *self.get("release", {}).get("namespaces", [])]
        elif "layers" in entry or entry.get("optional"):
            layers = entry.get("layers", [])
            entry["layers"] = [self.layer(one["name"], one["options"], one.get("source")) for one in layers]
            for service in self.chosen:
                options = self.of(service, "file_layers", {}).get(name)
                entry["layers"] += [self.layer(f"{self.name}: {service}", options)] if options else []
        return entry

    def drop_in(self) -> list:
        """Return the drop-in of the component's units: the stop timeout of OpenStack services, and the operator's."""
        pattern = self.get("drop_in")
        if not pattern or not self.chosen:
            return []
        layers, folder = [], f"/etc/systemd/system/{pattern}.d"
        if any(self.of(service, "stage") != "base" for service in self.chosen):
            source = "roles/openstack_service/vars/main/options.yml"
            layers = [self.layer("openstack_service", self.common["drop_in"], source)]
        path = f"{folder}/nova-ansible.conf"
        return [
            {"path": folder, "state": "directory", "mode": "0755", "for": path},
            {"path": path, "mode": "0644", "format": "systemd", "layers": layers, "optional": True},
        ]

    def uwsgi(self, service: str) -> list:
        """Return the files of a service that runs in uWSGI: its options, and what its init script reads."""
        row, where = self.of(service, "uwsgi"), f"{self.name}.{service}.uwsgi"
        if row is None:
            return []
        check("uwsgi", row, where)
        name, user = get("uwsgi", row, "name", where), get("uwsgi", row, "user", where)
        ini = get("uwsgi", row, "ini", where, f"/etc/{user}/{name}-uwsgi.ini")
        default = get("uwsgi", row, "default", where, f"/etc/default/{self.of(service, 'unit')}")
        options = {
            "name": name,
            "uid": user,
            "gid": user,
            "chdir": f"/var/lib/{user}",
            "logto": get("uwsgi", row, "log", where, f"/var/log/{user}/{name}.log"),
            "processes": get("uwsgi", row, "processes", where),
            **self.socket(self.of(service, "port")),
            **get("uwsgi", row, "options", where, {}),
        }
        layers = [
            self.layer(
                "openstack_service", {"uwsgi": self.common["uwsgi"]}, "roles/openstack_service/vars/main/uwsgi.yml"
            ),
            self.layer(
                f"release {self.cloud['release']['name']}",
                {"uwsgi": get("uwsgi", row, "application", where)},
                "roles/cloud/vars/main/releases.yml",
            ),
            self.layer(f"{self.name}: {service}", {"uwsgi": options}),
        ]
        arguments = self.layer(f"{self.name}: {service}", {"DAEMON_ARGS": f"--ini {ini}"})
        return [
            {"path": ini, "mode": "0644", "layers": layers},
            {"path": default, "mode": "0644", "format": "shell", "layers": [arguments]},
        ]

    def socket(self, port: int) -> dict:
        """Return uWSGI's option for the address that a service listens on."""
        end = host_port(self.common["address"], port)
        if self.cloud["scheme"] == "https":
            certificate = self.cloud["certificate"]
            return {"https-socket": f"{end},{certificate['cert']},{certificate['key']}"}
        return {"http-socket": end}

    def files_of(self, service: str) -> list:
        """Return the entries of the files that a service runs on."""
        return [self.file(name) for name in self.of(service, "files", [])] + self.uwsgi(service)

    # --- the parts of a plan ----------------------------------------------------------------------------------------

    def unit(self, name: str, service: str, files: list) -> dict:
        """Return a unit with the files that decide whether it runs on its present configuration."""
        watched = [entry["path"] for entry in files if entry.get("state", "file") == "file"]
        listed, drop_in = self.get("package_list"), self.get("drop_in", "")
        if f"{name}.service" == drop_in or (drop_in.endswith("-.service") and name.startswith(drop_in[:-8])):
            watched.append(f"/etc/systemd/system/{drop_in}.d/nova-ansible.conf")
        unit = {"name": name, "files": [*watched, *([f"/var/lib/dpkg/info/{listed}.list"] if listed else [])]}
        reload_files = self.of(service, "reload")
        return {**unit, "reload_files": list(reload_files)} if reload_files else unit

    def plan(self) -> dict:
        """Return what the component adds to the plan of the host."""
        plan: dict = {name: [] for name in LISTS}
        plan.update(ports={}, requires={}, extends={})
        if not self.chosen:
            return plan
        plan["packages"] = self.every("packages")
        plan["debconf"] = list(self.get("debconf", []))
        plan["files"] = [self.file(name) for name in self.get("common_files", [])] + self.drop_in()
        plan["extends"] = {
            path: [self.layer(one["name"], one["options"], one.get("source")) for one in layers]
            for path, layers in self.get("extends", {}).items()
        }
        for service in self.chosen:
            self.add(service, plan)
        running = {self.of(service, "unit") for service in self.chosen}
        plan["stopped_units"] = [
            {"name": name, "state": "stopped", "enabled": False} for name in self.every("stops") if name not in running
        ]
        return plan

    def add(self, service: str, plan: dict) -> None:
        """Add a service to the parts of a plan."""
        files, stage = self.files_of(service), self.of(service, "stage")
        plan["files"] += files
        plan["base_units"] += [{"name": name} for name in self.of(service, "base_units", [])]
        unit = self.of(service, "unit")
        if unit:
            if stage not in STAGES:
                raise ValueError(f"{self.name}.{service}: stage is {stage}; choose one of {', '.join(STAGES)}")
            for name in [*self.of(service, "sockets", []), unit]:
                plan[STAGES[stage]].append(self.unit(name, service, files))
        port = self.of(service, "port")
        if port:
            plan["ports"][str(port)] = [f"{unit}.service"]
        ready = self.of(service, "ready")
        if ready:
            check("ready", ready, f"{self.name}.{service}.ready")
            url = f"{self.cloud['scheme']}://{host_port(self.common['address'], port)}{ready['path']}"
            plan[ENDPOINTS[stage]].append({"name": unit, "url": url, "status": list(ready["status"])})
        queue = self.of(service, "queue")
        if queue:
            plan["queues"].append({"queue": queue, "served_by": unit, "messaging": dict(self.get("messaging"))})
        for key in ("prepare", "finish"):
            for step in self.of(service, key, []):
                check("step", step, f"{self.name}.{service}.{key}")
                plan[key].append(dict(step))
        plan["requires"].update(self.of(service, "requires", {}))


def merge_files(entries: list, extends: dict, overrides: list, add_overrides) -> list:
    """Return the files of a host, each once, and what is wrong with the operator's options for them.

    Services that share a file add their layers to it.
    """
    files: dict = {}
    for entry in entries:
        known = files.setdefault(entry["path"], entry)
        if known is not entry and known != entry:
            if "layers" not in known or "layers" not in entry:
                raise ValueError(f"{entry['path']} is declared twice, in different ways")
            known["layers"] = unique([*known["layers"], *entry["layers"]])
    for path, layers in extends.items():
        if path in files:
            files[path]["layers"] = [*files[path]["layers"], *layers]
    found, problems = overridden(list(files.values()), overrides, add_overrides)
    wanted = {entry["path"] for entry in found if not entry.get("optional") or any(map(options_of, entry["layers"]))}
    kept = [
        {key: value for key, value in entry.items() if key != "for"}
        for entry in found
        if entry.get("for", entry["path"]) in wanted or entry.get("optional")
    ]
    return kept, problems


def overridden(files: list, overrides: list, add_overrides) -> tuple[list, list]:
    """Return the files with the operator's layers, and a sentence for each layer that a file cannot have."""
    problems = []
    for override in overrides:
        for path, options in (override["files"] or {}).items():
            try:
                files, _unknown = add_overrides(files, [{**override, "files": {path: options}}])
            except ValueError as error:
                problems.append(f"{error}; correct config_overrides of {override['name']} ({override['source']}).")
    return files, problems


def options_of(layer: Mapping) -> object:
    """Return the options of a layer: nothing where it is empty."""
    return layer["options"]


def overrides_of(host: str, cloud: Mapping) -> list:
    """Return the layers of the operator for a host, weakest first: cloud, groups, host, extra variables."""
    known = cloud.get("overrides") or {}
    found = list(known.get("all", []))
    for group in known.get("order", {}).get(host, []):
        found += known.get("groups", {}).get(group, [])
    return [*found, *known.get("hosts", {}).get(host, []), *known.get("extra", [])]


def once_here(name: str, host: str, cloud: Mapping, owners: Mapping) -> bool:
    """Return whether a host makes what exists once in a cloud: it is the first of the group that owns the component."""
    return host in list(cloud["groups"].get(owners.get(name, ""), []))[:1]


def host_plan(
    components: Mapping, host: str, cloud: Mapping, owners: Mapping, common: Mapping, access: Mapping, add_overrides
) -> dict:
    """Return the plan of a host.

    components: every component by name; only those with services for this host are read further.
    cloud: the cloud model (module_utils/cloud/model.py).
    owners: component to the group whose first host makes what exists once in the cloud.
    common: what all services share: `uwsgi` and `drop_in` options, `address` of the host.
    access: the administrator's accounts, read only for the host that needs one: `identity`, `database`.
    add_overrides: layers.add_overrides; a parameter, so that this file needs no import.
    """
    plan: dict = {"host": host, "components": [], **{name: [] for name in LISTS}}
    plan.update(ports={}, requires={}, cells={}, identity={})
    extends: dict = {}
    for name in components:
        part = Component(name, components[name], host, cloud, common)
        if part.chosen:
            plan["components"].append(name)
        for key, value in part.plan().items():
            if key == "extends":
                extends.update({path: [*extends.get(path, []), *layers] for path, layers in value.items()})
            elif isinstance(value, dict):
                plan[key].update(value)
            else:
                plan[key] += value
    plan["packages"], plan["debconf"] = unique(plan["packages"]), unique(plan["debconf"])
    plan["files"], problems = merge_files(plan["files"], extends, overrides_of(host, cloud), add_overrides)
    if problems:
        plan["problems"] = problems
    add_singletons(plan, components, host, cloud, owners)
    add_access(plan, cloud, common, access)
    if any(unit["name"] == "nova-compute" for unit in plan["agent_units"]):
        plan["compute_name"] = compute_name(plan["files"])
    return plan


def add_access(plan: dict, cloud: Mapping, common: Mapping, access: Mapping) -> None:
    """Add the accounts and addresses with which the host makes what exists once in a cloud."""
    if plan["identity"]:
        plan.update(auth=dict(access["identity"]), region=cloud["region"])
    if plan["databases"] and cloud["database"]["external"]:
        plan["database_admin"] = dict(access["database"])
    if plan["messaging_users"]:
        plan["messaging_host"] = common["address"]


def compute_name(files: list) -> object:
    """Return the name under which nova-compute registers: option `host`, else the name that the host gives itself."""
    for entry in files:
        if entry["path"] == "/etc/nova/nova.conf":
            for layer in reversed(entry["layers"]):
                default = layer["options"].get("DEFAULT") or {}
                if "host" in default:
                    return default["host"] or {"from_host": "hostname"}
    return {"from_host": "hostname"}


def add_singletons(plan: dict, components: Mapping, host: str, cloud: Mapping, owners: Mapping) -> None:
    """Add what exists once in a cloud.

    Schemas, identity objects and cells are made by the first host of the group that owns the component; databases and
    accounts of RabbitMQ by the server that holds them, or, where that is external, databases by the owner.
    """
    groups = cloud["groups"]
    for name in components:
        if not groups.get(owners.get(name, "")):
            continue
        singletons = get("component", components[name], "singletons", name, {})
        owner = once_here(name, host, cloud, owners)
        places = {
            "databases": host in groups["mariadb"][:1] or (not groups["mariadb"] and owner),
            "messaging_users": host in groups["rabbitmq"][:1],
            "schema": owner,
            "identity": owner,
            "cells": owner,
        }
        wanted = [key for key, here in places.items() if here and key in singletons]
        if wanted:
            check("singletons", singletons, f"{name}.singletons")
        for key in wanted:
            value = get("singletons", singletons, key, f"{name}.singletons")
            if key == "cells":
                plan[key] = dict(value)
            elif key == "identity":
                plan[key] = {part: [*plan[key].get(part, []), *value[part]] for part in ("users", "services")}
            else:
                plan[key] += list(value)
