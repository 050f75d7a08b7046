# SPDX-License-Identifier: Apache-2.0
"""Decide what the control node sends to host_state: the keys of the plan that its stages need, and only their secrets.

Pure functions, no I/O; they run on the control node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ansible.module_utils.config import host_values, masking
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    from ansible.module_utils.plan.stage_table import Stage
    from ansible.template import Templar

# Arguments that are sent only with the stage that uses them.
FOR_STAGE = {
    "auth": "identity",
    "region": "identity",
    "database_admin": "databases",
    "messaging_host": "messaging_users",
    "computes": "cells",
}
# Arguments that are sent only to read the host.
FOR_READING = ("host", "kvm")


def sent(arguments: Mapping[str, Any], stages: Iterable[Stage], look: bool) -> dict[str, Any]:
    """Return the arguments without those that the stages do not use."""
    stages = list(stages)
    names = {stage.name for stage in stages}
    plan = arguments["plan"]
    reads = look or arguments.get("facts") is None
    kept = {
        name: value
        for name, value in arguments.items()
        if (name not in FOR_STAGE or FOR_STAGE[name] in names) and (name not in FOR_READING or reads)
    }
    if look:
        kept.pop("facts", None)
    keys = {"host", *(key for stage in stages for key in stage.keys)}
    kept["plan"] = {key: plan[key] for key in keys if key in plan}
    return kept


def of_plan(plan: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a plan contains: accounts, and the requirements of its services on the host."""
    found: dict[str, Any] = {
        name: plan[name] for name in ("auth", "region", "database_admin", "messaging_host") if name in plan
    }
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


def add_to_look(result: dict[str, Any], plan: Mapping[str, Any]) -> None:
    """Add to the result of a look the values for later tasks, and the problems of the plan on this host."""
    result["paths"] = [entry["path"] for entry in plan.get("files") or []]
    if "compute_name" in plan and result.get("facts"):
        result["compute_name"] = host_values.resolve(plan["compute_name"], result["facts"])
    result["problems"] = [*result["problems"], *(plan.get("problems") or [])]
    kvm, required = result.get("kvm") or {}, (plan.get("requires") or {}).get("kvm") or {}
    failed = kvm.get("result") == "fail"
    result["repairs"] = kvm.get("repairs", []) if failed and required.get("repair") else []
    if required.get("virt_type") == "kvm" and kvm.get("recommended_virt_type") not in ("kvm", None):
        result["problems"] = [
            *result["problems"],
            Message(
                f"nova_hypervisor_virt_type is kvm, but this host can only run {kvm['recommended_virt_type']}: "
                f"{kvm.get('msg') or kvm.get('cause')} Remove nova_hypervisor_virt_type, or make KVM work."
            ),
        ]


def checks(
    host: Mapping[str, Any], plan: Mapping[str, Any], listed: Mapping[str, Any] | None, now: float
) -> dict[str, Any]:
    """Return the options of host_check for a look: the requirements of the plan, and those of the task (`host`).

    listed: the list of options of the release; the versions of its packages decide where an option is checked.
    now: the time on the control node, seconds since 1970.

    Nothing is checked where the task has no requirements.
    """
    versions = {"versions": sorted(listed["packages"])} if listed else {}
    if not host:
        return versions
    return {"now": now, "packages": plan.get("packages") or [], "ports": plan.get("ports") or {}, **versions, **host}


def texts(content: Any) -> Iterator[str]:
    """Yield every text in a value, keys too."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key, item in content.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from texts(item)


def occurring(secrets: Iterable[Any], content: Any) -> list[str]:
    """Return the secrets that occur in a value, in any spelling: a host gets only those that it writes or masks."""
    text = "\n".join(texts(content))
    known = sorted({str(secret) for secret in secrets if secret})
    return [secret for secret in known if any(spelling in text for spelling in masking.forms(secret))]


def secrets(templar: Templar, paths: Iterable[list[str]]) -> list[str]:
    """Return the secrets at the given paths ([variable, key, ...]) of a templar's variables."""
    found: list[Any] = []
    rendered: dict[str, Any] = {}
    for name, *keys in paths:
        if name not in templar.available_variables:
            continue
        if name not in rendered:
            rendered[name] = templar.template(templar.available_variables[name])
        found.append(value_at(rendered[name], keys))
    return [secret for secret in found if isinstance(secret, str)]


def value_at(content: Any, path: Iterable[str]) -> Any:
    """Return the value at a path of keys, or None."""
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            return None
        content = content[key]
    return content


def earlier_paths(variables: Mapping[str, Any]) -> list[str]:
    """Return the paths that earlier acting calls of this run changed.

    They are in results registered under a name that begins with `host_state`; a look changes nothing.
    """
    found: list[str] = []
    for name in variables:
        if name.startswith("host_state") and isinstance(variables[name], Mapping) and variables[name].get("acted"):
            found += [path for path in variables[name].get("changed_paths") or [] if path not in found]
    return found


def unchanged(arguments: Mapping[str, Any]) -> dict[str, Any]:
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
