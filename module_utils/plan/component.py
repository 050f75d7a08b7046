# SPDX-License-Identifier: Apache-2.0
"""The part of one component in the plan of one host. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible.module_utils.cloud.urls import host_port
from ansible.module_utils.message import Message
from ansible.module_utils.plan.component_schema import ComponentError, check, get

# Stage of a service -> key of the plan with its units, and with the endpoints to wait for.
UNITS = {"base": "base_units", "identity": "identity_units", "api": "api_units", "agent": "agent_units"}
ENDPOINTS = {
    "base": "api_endpoints",
    "identity": "identity_endpoints",
    "api": "api_endpoints",
    "agent": "api_endpoints",
}
# Keys of the plan that are lists.
LISTS = (
    "packages", "debconf", "files", "base_units", "databases", "messaging_users", "prepare", "schema", "identity_units",
    "identity_endpoints", "api_units", "stopped_units", "api_endpoints", "queues", "agent_units", "finish",
)  # fmt: skip
RELEASES = "roles/cloud/vars/main/releases.yml"


def unique(items: Iterable[Any]) -> list[Any]:
    """Return the items in their order, each once."""
    seen: list[Any] = []
    for item in items:
        if item not in seen:
            seen.append(item)
    return seen


class Place(NamedTuple):
    """The host that a plan is for, the model of its cloud, and what all services share.

    common: `uwsgi` and `drop_in` options, `address` of the host.
    """

    host: str
    cloud: Mapping[str, Any]
    common: Mapping[str, Any]


class Component:
    """A component on one host."""

    def __init__(self, name: str, declared: Mapping[str, Any], place: Place) -> None:
        self.name, self.declared, self.place = name, declared, place
        check("component", declared, name)
        self.source = self.get("source", f"roles/{name}")
        self.services = unique(service for group in self.groups() for service in self.services_of(group))

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key of the component."""
        return get("component", self.declared, key, self.name, default)

    def in_group(self, group: str) -> bool:
        """Return whether the host is in a group."""
        return self.place.host in self.place.cloud["groups"].get(group, [])

    def groups(self) -> list[str]:
        """Return the groups of the component that the host is in, in the order of its `services`."""
        return [group for group in self.get("services", {}) if self.in_group(group)]

    def services_of(self, group: str) -> list[str]:
        """Return the names of the services that a group runs."""
        names = self.get("services")[group]
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise ComponentError(Message(f"{self.name}: services.{group} must be a list, not {names!r}"))
        return list(names)

    def row(self, service: str) -> Mapping[str, Any]:
        """Return the row of a service."""
        catalog = self.get("catalog", {})
        if service not in catalog:
            raise ComponentError(Message(f"{self.name} has no service {service}; its catalog has {', '.join(catalog)}"))
        row = catalog[service]
        check("service", row, f"{self.name}.{service}")
        if "removed_after" in row:
            raise ComponentError(
                Message(f"{self.name}: {service} was removed after {row['removed_after']}: {row['replaced_by']}")
            )
        return row

    def of(self, service: str, key: str, default: Any = None) -> Any:
        """Return a key of a service's row."""
        return get("service", self.row(service), key, f"{self.name}.{service}", default)

    def of_all(self, key: str) -> list[Any]:
        """Return the items that the services of this host list under a key, each once."""
        return unique(item for service in self.services for item in self.of(service, key, []))

    # --- files ------------------------------------------------------------------------------------------------------

    def layer(self, name: str, options: Mapping[str, Any], source: str | None = None) -> dict[str, Any]:
        """Return a named layer of options."""
        return {"name": name, "source": source or self.source, "options": options}

    def release_layer(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the layer of the release."""
        return self.layer(f"release {self.place.cloud['release']['name']}", options, RELEASES)

    def service_layers(self) -> list[dict[str, Any]]:
        """Return the layers of the file that all services of the component share, weakest first."""
        known, common = self.get("layers", {}), self.get("common_layers", [])
        names = unique([*common, None, *self.of_all("layers"), *self.remote_layers()])
        layers = []
        for name in names:
            if name is None:
                layers.append(self.release_layer(self.get("release", {}).get("options", {})))
            elif name in known:
                layers.append(self.layer(f"{self.name}: {name}", known[name]))
            else:
                raise ComponentError(Message(f"{self.name}: no layer {name}; its layers are {', '.join(known)}"))
        return layers

    def remote_layers(self) -> list[str]:
        """Return the names of layers that services of the controllers add on a compute."""
        if not self.in_group("nova_computes"):
            return []
        catalog = self.get("catalog", {})
        running = [name for name in self.place.cloud.get(f"{self.name}_services", []) if name in catalog]
        return [layer for name in running for layer in catalog[name].get("compute_layers", [])]

    def file(self, name: str) -> dict[str, Any]:
        """Return the entry of a file, with its layers for the services of this host."""
        known = self.get("files", {})
        if name not in known:
            raise ComponentError(Message(f"{self.name}: no file {name}; its files are {', '.join(known)}"))
        entry = dict(known[name])
        if entry.get("layers") == "services":
            entry["layers"] = self.service_layers()
            entry["validate"] = [*entry.get("validate", []), *self.get("release", {}).get("namespaces", [])]
        elif "layers" in entry or entry.get("optional"):
            entry["layers"] = self.with_source(entry.get("layers", []))
            for service in self.services:
                options = self.of(service, "file_layers", {}).get(name)
                entry["layers"] += [self.layer(f"{self.name}: {service}", options)] if options else []
        return entry

    def with_source(self, layers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return layers, each with a source."""
        return [self.layer(layer["name"], layer["options"], layer.get("source")) for layer in layers]

    def drop_in(self) -> list[dict[str, Any]]:
        """Return the drop-in of the component's units, with the stop timeout of OpenStack services.

        It is optional: one without options is written only if the operator sets some.
        """
        pattern = self.get("drop_in")
        if not pattern or not self.services:
            return []
        layers = []
        if any(self.of(service, "stage") != "base" for service in self.services):
            source = "roles/openstack_service/vars/main/options.yml"
            layers = [self.layer("openstack_service", self.place.common["drop_in"], source)]
        path = drop_in_path(pattern)
        return [
            {"path": path.rpartition("/")[0], "state": "directory", "mode": "0755", "for": path},
            {"path": path, "mode": "0644", "format": "systemd", "layers": layers, "optional": True},
        ]

    def uwsgi(self, service: str) -> list[dict[str, Any]]:
        """Return the files of a service that runs in uWSGI: its options, and its init script's arguments."""
        row, where = self.of(service, "uwsgi"), f"{self.name}.{service}.uwsgi"
        if row is None:
            return []
        check("uwsgi", row, where)

        def value(key: str, default: Any = None) -> Any:
            return get("uwsgi", row, key, where, default)

        name, user, layer_name = value("name"), value("user"), f"{self.name}: {service}"
        ini = value("ini", f"/etc/{user}/{name}-uwsgi.ini")
        options = {
            "name": name,
            "uid": user,
            "gid": user,
            "chdir": f"/var/lib/{user}",
            "logto": value("log", f"/var/log/{user}/{name}.log"),
            "processes": value("processes"),
            **self.socket(self.of(service, "port")),
            **value("options", {}),
        }
        shared = {"uwsgi": self.place.common["uwsgi"]}
        layers = [
            self.layer("openstack_service", shared, "roles/openstack_service/vars/main/uwsgi.yml"),
            self.release_layer({"uwsgi": value("application")}),
            self.layer(layer_name, {"uwsgi": options}),
        ]
        default = value("default", f"/etc/default/{self.of(service, 'unit')}")
        arguments = self.layer(layer_name, {"DAEMON_ARGS": f"--ini {ini}"})
        return [
            {"path": ini, "mode": "0644", "layers": layers},
            {"path": default, "mode": "0644", "format": "shell", "layers": [arguments]},
        ]

    def socket(self, port: int) -> dict[str, str]:
        """Return uWSGI's option for the address that a service listens on."""
        address, cloud = host_port(self.place.common["address"], port), self.place.cloud
        if cloud["scheme"] == "https":
            certificate = cloud["certificate"]
            return {"https-socket": f"{address},{certificate['cert']},{certificate['key']}"}
        return {"http-socket": address}

    def files_of(self, service: str) -> list[dict[str, Any]]:
        """Return the entries of the files that a service uses."""
        return [self.file(name) for name in self.of(service, "files", [])] + self.uwsgi(service)

    # --- the parts of a plan ----------------------------------------------------------------------------------------

    def unit(self, name: str, service: str, files: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return a unit with the files whose change restarts it."""
        watched = [entry["path"] for entry in files if entry.get("state", "file") == "file"]
        package, pattern = self.get("package_list"), self.get("drop_in", "")
        if f"{name}.service" == pattern or (pattern.endswith("-.service") and name.startswith(pattern[:-8])):
            watched.append(drop_in_path(pattern))
        unit = {"name": name, "files": [*watched, *([f"/var/lib/dpkg/info/{package}.list"] if package else [])]}
        reload_files = self.of(service, "reload")
        return {**unit, "reload_files": list(reload_files)} if reload_files else unit

    def plan(self) -> dict[str, Any]:
        """Return what the component adds to the plan of the host."""
        plan: dict[str, Any] = {name: [] for name in LISTS}
        plan.update(ports={}, requires={}, extends={})
        if not self.services:
            return plan
        plan["packages"] = self.of_all("packages")
        plan["debconf"] = list(self.get("debconf", []))
        plan["files"] = [self.file(name) for name in self.get("common_files", [])] + self.drop_in()
        plan["extends"] = {path: self.with_source(layers) for path, layers in self.get("extends", {}).items()}
        for service in self.services:
            self.add(service, plan)
        running = {self.of(service, "unit") for service in self.services}
        stopped = [name for name in self.of_all("stops") if name not in running]
        plan["stopped_units"] = [{"name": name, "state": "stopped", "enabled": False} for name in stopped]
        return plan

    def add(self, service: str, plan: dict[str, Any]) -> None:
        """Add a service to the parts of a plan."""
        files, unit, port = self.files_of(service), self.of(service, "unit"), self.of(service, "port")
        plan["files"] += files
        plan["base_units"] += [{"name": name} for name in self.of(service, "base_units", [])]
        if unit:
            names = [*self.of(service, "sockets", []), unit]
            plan[UNITS[self.stage(service)]] += [self.unit(name, service, files) for name in names]
        if port:
            plan["ports"][str(port)] = [f"{unit}.service"]
        ready = self.of(service, "ready")
        if ready:
            plan[ENDPOINTS[self.stage(service)]].append(self.endpoint(service, unit, port, ready))
        queue = self.of(service, "queue")
        if queue:
            plan["queues"].append({"queue": queue, "served_by": unit, "messaging": dict(self.get("messaging"))})
        for key in ("prepare", "finish"):
            for step in self.of(service, key, []):
                check("step", step, f"{self.name}.{service}.{key}")
                plan[key].append(dict(step))
        plan["requires"].update(self.of(service, "requires", {}))

    def stage(self, service: str) -> str:
        """Return the stage in which the unit of a service starts."""
        stage = self.of(service, "stage")
        if stage not in UNITS:
            raise ComponentError(Message(f"{self.name}.{service}: stage is {stage}; choose one of {', '.join(UNITS)}"))
        return stage

    def endpoint(self, service: str, unit: str, port: int, ready: Mapping[str, Any]) -> dict[str, Any]:
        """Return the URL of a service and the statuses that show that it is ready."""
        check("ready", ready, f"{self.name}.{service}.ready")
        url = f"{self.place.cloud['scheme']}://{host_port(self.place.common['address'], port)}{ready['path']}"
        return {"name": unit, "url": url, "status": list(ready["status"])}


def drop_in_path(pattern: str) -> str:
    """Return the path of the drop-in of units with a name or a prefix, such as nova-.service."""
    return f"/etc/systemd/system/{pattern}.d/nova-ansible.conf"
