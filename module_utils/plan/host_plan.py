# SPDX-License-Identifier: Apache-2.0
"""Make the plan of a host from its components. Pure functions, no I/O.

Components, with their keys, are in component_schema.py; component.py makes the part of one component.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.config import layers
from ansible.module_utils.config.types import FileEntry, Override
from ansible.module_utils.message import Message
from ansible.module_utils.plan.component import LISTS, Component, Place, unique
from ansible.module_utils.plan.component_schema import ComponentError, check, get

NOVA_CONF = "/etc/nova/nova.conf"


def host_plan(
    components: Mapping[str, Any],
    host: str,
    cloud: Mapping[str, Any],
    owners: Mapping[str, str],
    common: Mapping[str, Any],
    access: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the plan of a host.

    components: every component by name; only those with services for this host are read further.
    cloud: the cloud model (module_utils/cloud/model.py).
    owners: component -> the group whose first host makes what exists once in the cloud.
    common: shared by all services: `uwsgi` and `drop_in` options, `address` of the host.
    access: the administrator's accounts, read only for the host that needs one: `identity`, `database`.

    Raise ComponentError where a component is not as its schema wants it. Wrong options of the operator are listed under
    `problems`.
    """
    plan: dict[str, Any] = {"host": host, "components": [], **{name: [] for name in LISTS}}
    plan.update(ports={}, requires={}, cells={}, identity={})
    extends: dict[str, list[dict[str, Any]]] = {}
    for name, declared in components.items():
        part = Component(name, declared, Place(host, cloud, common))
        if part.services:
            plan["components"].append(name)
        for key, value in part.plan().items():
            if key == "extends":
                extends.update({path: [*extends.get(path, []), *added] for path, added in value.items()})
            elif isinstance(value, dict):
                plan[key].update(value)
            else:
                plan[key] += value
    plan["packages"], plan["debconf"] = unique(plan["packages"]), unique(plan["debconf"])
    plan["files"], problems = merge_files(plan["files"], extends, overrides_of(host, cloud))
    if problems:
        plan["problems"] = problems
    add_singletons(plan, components, host, cloud, owners)
    add_access(plan, cloud, common, access)
    if any(unit["name"] == "nova-compute" for unit in plan["agent_units"]):
        plan["compute_name"] = compute_name(plan["files"])
    return plan


# --- files --------------------------------------------------------------------------------------------------------


def merge_files(
    entries: Iterable[dict[str, Any]],
    extends: Mapping[str, list[dict[str, Any]]],
    overrides: Iterable[Override],
) -> tuple[list[dict[str, Any]], list[Message]]:
    """Return the files of a host, each once, and the problems of the operator's options for them.

    Services that share a file add their layers to it. A directory that exists for the sake of a file is left out with
    that file.
    """
    files: dict[str, Any] = {}
    for entry in entries:
        known = files.setdefault(entry["path"], entry)
        if known is not entry and known != entry:
            if "layers" not in known or "layers" not in entry:
                raise ComponentError(Message(f"{entry['path']} is declared twice, in different ways"))
            known["layers"] = unique([*known["layers"], *entry["layers"]])
    for path, added in extends.items():
        if path in files:
            files[path]["layers"] = [*files[path]["layers"], *added]
    found: list[Any]
    found, problems = with_overrides(list(files.values()), overrides)
    needed = {entry["path"] for entry in found if not entry.get("optional") or has_options(entry)}
    kept = [
        {key: value for key, value in entry.items() if key != "for"}
        for entry in found
        if entry.get("for", entry["path"]) in needed or entry.get("optional")
    ]
    return kept, problems


def has_options(entry: Mapping[str, Any]) -> bool:
    """Return whether any layer of a file has options."""
    return any(layer["options"] for layer in entry["layers"])


def with_overrides(files: list[FileEntry], overrides: Iterable[Override]) -> tuple[list[FileEntry], list[Message]]:
    """Return the files with the operator's layers, and a problem for each layer that a file cannot have."""
    problems: list[Message] = []
    for override in overrides:
        for path, options in (override["files"] or {}).items():
            try:
                one_file: Override = {**override, "files": {path: options}}
                files, _unknown = layers.add_overrides(files, [one_file])
            except ValueError as error:
                problems.append(
                    Message(f"{error}; correct config_overrides of {override['name']} ({override['source']}).")
                )
    return files, problems


def overrides_of(host: str, cloud: Mapping[str, Any]) -> list[Override]:
    """Return the operator's layers for a host, weakest first: cloud, groups, host, extra variables."""
    known = cloud.get("overrides") or {}
    found = list(known.get("all", []))
    for group in known.get("order", {}).get(host, []):
        found += known.get("groups", {}).get(group, [])
    return [*found, *known.get("hosts", {}).get(host, []), *known.get("extra", [])]


def compute_name(files: Iterable[Mapping[str, Any]]) -> object:
    """Return the name under which nova-compute registers: its option `host`, else the host's own name."""
    for entry in files:
        if entry["path"] == NOVA_CONF:
            for layer in reversed(entry["layers"]):
                default = layer["options"].get("DEFAULT") or {}
                if "host" in default:
                    return default["host"] or {"from_host": "hostname"}
    return {"from_host": "hostname"}


# --- singletons ---------------------------------------------------------------------------------------------------


def is_owner(name: str, host: str, cloud: Mapping[str, Any], owners: Mapping[str, str]) -> bool:
    """Return whether a host is the first of the group that owns a component."""
    return host in list(cloud["groups"].get(owners.get(name, ""), []))[:1]


def add_singletons(
    plan: dict[str, Any],
    components: Mapping[str, Any],
    host: str,
    cloud: Mapping[str, Any],
    owners: Mapping[str, str],
) -> None:
    """Add what exists once in a cloud.

    The first host of the group that owns a component makes its schemas, identity objects and cells. The first host of
    `mariadb` makes databases, the owner where the server is external; the first host of `rabbitmq` makes its accounts.
    """
    groups = cloud["groups"]
    for name in components:
        if not groups.get(owners.get(name, "")):
            continue
        singletons = get("component", components[name], "singletons", name, {})
        owner = is_owner(name, host, cloud, owners)
        made_here = {
            "databases": host in groups["mariadb"][:1] or (not groups["mariadb"] and owner),
            "messaging_users": host in groups["rabbitmq"][:1],
            "schema": owner,
            "identity": owner,
            "cells": owner,
        }
        keys = [key for key, here in made_here.items() if here and key in singletons]
        if keys:
            check("singletons", singletons, f"{name}.singletons")
        for key in keys:
            value = get("singletons", singletons, key, f"{name}.singletons")
            if key == "cells":
                plan[key] = dict(value)
            elif key == "identity":
                plan[key] = {part: [*plan[key].get(part, []), *value[part]] for part in ("users", "services")}
            else:
                plan[key] += list(value)


def add_access(
    plan: dict[str, Any], cloud: Mapping[str, Any], common: Mapping[str, Any], access: Mapping[str, Any]
) -> None:
    """Add the accounts and addresses that the host needs to make what exists once in a cloud."""
    if plan["identity"]:
        plan.update(auth=dict(access["identity"]), region=cloud["region"])
    if plan["databases"] and cloud["database"]["external"]:
        plan["database_admin"] = dict(access["database"])
    if plan["messaging_users"]:
        plan["messaging_host"] = common["address"]
