# SPDX-License-Identifier: Apache-2.0
"""What the control node sends to host_state: of a plan only what the asked stages need, of the secrets only its own.

Pure functions, no I/O; they run on the control node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.config import host_values, masking

# Arguments that are sent only with the stage that uses them.
OF_A_STAGE = {
    "auth": "identity",
    "region": "identity",
    "database_admin": "databases",
    "messaging_host": "messaging_users",
    "computes": "cells",
}
# Arguments that are sent only to read the host.
OF_A_LOOK = ("host", "kvm")


def sent(arguments: Mapping, stages: Iterable, look: bool) -> dict:
    """Return the arguments without what the stages do not use."""
    stages = list(stages)
    names = {stage.name for stage in stages}
    plan = arguments["plan"]
    reads = look or arguments.get("facts") is None
    kept = {
        name: value
        for name, value in arguments.items()
        if (name not in OF_A_STAGE or OF_A_STAGE[name] in names) and (name not in OF_A_LOOK or reads)
    }
    if look:
        kept.pop("facts", None)
    keys = {"host", *(key for stage in stages for key in stage.keys)}
    kept["plan"] = {key: plan[key] for key in keys if key in plan}
    return kept


def of_plan(plan: Mapping, host: Mapping) -> dict:
    """Return the arguments that a plan holds: accounts, and what the host must have."""
    found: dict = {name: plan[name] for name in ("auth", "region", "database_admin", "messaging_host") if name in plan}
    requires = plan.get("requires") or {}
    found["host"] = {
        "interface": requires.get("interface") or "",
        "tun": bool(requires.get("tun")),
        **host,
    }
    kvm = requires.get("kvm")
    if kvm:
        found["kvm"] = {"return_facts": True, "require": kvm["require"], "repair": kvm["repair"], **kvm["policy"]}
    return found


def add_to_look(result: dict, plan: Mapping) -> None:
    """Add to the result of a look what later tasks need, and what is wrong with the plan or with it on this host."""
    result["paths"] = [entry["path"] for entry in plan.get("files") or []]
    if "compute_name" in plan and result.get("facts"):
        result["compute_name"] = host_values.resolve(plan["compute_name"], result["facts"])
    result["problems"] = [*result["problems"], *(plan.get("problems") or [])]
    kvm, wanted = result.get("kvm") or {}, (plan.get("requires") or {}).get("kvm") or {}
    failed = kvm.get("result") == "fail"
    result["repairs"] = kvm.get("repairs", []) if failed and wanted.get("repair") else []
    if wanted.get("virt_type") == "kvm" and kvm.get("recommended_virt_type") not in ("kvm", None):
        result["problems"] = [
            *result["problems"],
            f"nova_hypervisor_virt_type is kvm, but this host can only run {kvm['recommended_virt_type']}: "
            f"{kvm.get('msg') or kvm.get('cause')} Take nova_hypervisor_virt_type out, or make KVM work.",
        ]


def checks(arguments: Mapping, listed: Mapping | None, now: float) -> dict:
    """Return what a look checks the host for: what the plan needs of it, and what the task asks besides.

    `listed` is the list of options of the release; versions of its packages tell who judges an option. Nothing is
    checked where the task asks for nothing.
    """
    if not arguments.get("host"):
        return {"versions": sorted(listed["packages"])} if listed else {}
    plan = arguments["plan"]
    needed = {"now": now, "packages": plan.get("packages") or [], "ports": plan.get("ports") or {}}
    versions = {"versions": sorted(listed["packages"])} if listed else {}
    return {**needed, **versions, **arguments["host"]}


def texts(content: Any) -> Iterator[str]:
    """Yield every text in a value, names of options too."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key, item in content.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from texts(item)


def occurring(secrets: Iterable, content: Any) -> list:
    """Return the secrets that occur in a value, in any spelling; a host learns only what it has to write or mask."""
    text = "\n".join(texts(content))
    known = sorted({str(secret) for secret in secrets if secret})
    return [secret for secret in known if any(spelling in text for spelling in masking.forms(secret))]


def secrets(templar: Any, paths: Iterable) -> list:
    """Return the values of the secrets at the given paths ([variable, key, ...]) of a templar's variables."""
    found, rendered = [], {}
    for name, *keys in paths:
        if name not in templar.available_variables:
            continue
        if name not in rendered:
            rendered[name] = templar.template(templar.available_variables[name])
        found.append(values_at(rendered[name], keys))
    return [secret for secret in found if isinstance(secret, str)]


def values_at(content: Any, path: Iterable) -> Any:
    """Return what stands at a path of keys, or None."""
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            return None
        content = content[key]
    return content


def earlier_paths(variables: Mapping) -> list:
    """Return the paths that earlier acting calls of this run changed.

    They are those of results registered under a name that begins with `host_state`; a look has changed nothing.
    """
    found: list = []
    for name in variables:
        if name.startswith("host_state") and isinstance(variables[name], Mapping) and variables[name].get("acted"):
            found += [path for path in variables[name].get("changed_paths") or [] if path not in found]
    return found


def nothing(arguments: Mapping) -> dict:
    """Return the result of a call that has nothing to do."""
    return {
        "changed": False,
        "pending": False,
        "stages": {},
        "acted": [],
        "changed_paths": [],
        "problems": [],
        "facts": dict(arguments.get("facts") or {}),
        "kvm": None,
        "versions": {},
    }
