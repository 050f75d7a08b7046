# SPDX-License-Identifier: Apache-2.0
"""The stages of a plan in their order: the code of each, the keys of the plan that it takes, and its arguments."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.message import Message, OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    # Makes the arguments of a module from the keys of its stage, the context, and the paths that changed so far.
    Arguments = Callable[[dict, "Context", list], dict]

LOCK_TIMEOUT = 1800  # seconds; a transaction that a killed run left behind may still be working
PROJECTS = [{"name": "service", "domain": "Default"}]
ROLES = ["admin", "service"]


class StageError(OperatorError, ValueError):
    """A stage, or the module of one, that does not exist."""


class Context(NamedTuple):
    """The arguments of the stages that are not in the plan."""

    auth: dict[str, Any] = {}
    region: str = "RegionOne"
    database_admin: dict[str, Any] = {}
    messaging_host: str = "localhost"
    computes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class Stage(NamedTuple):
    """A stage: its name, its module (none: a list of steps), the keys of the plan that it takes, its arguments."""

    name: str
    module: str
    keys: tuple[str, ...]
    arguments: Arguments | None = None


def units_of(*keys: str) -> Arguments:
    """Return the function that makes the arguments of systemd_units from keys of the plan."""

    def arguments(part: dict, context: Context, changed_paths: list) -> dict:
        units = [unit for key in keys for unit in part.get(key) or []]
        return {"units": units, "changed_files": changed_paths, "secrets": list(context.secrets)}

    return arguments


def endpoints_of(key: str) -> Arguments:
    """Return the function that makes the arguments of http_ready from a key of the plan."""
    return lambda part, _context, _paths: {"endpoints": part[key]}


def package_arguments(part: dict, _context: Context, _changed_paths: list) -> dict:
    """Return the arguments of apt_transaction."""
    return {"packages": part["packages"], "debconf": part.get("debconf") or [], "lock_timeout": LOCK_TIMEOUT}


def file_arguments(part: dict, context: Context, _changed_paths: list) -> dict:
    """Return the arguments of config_files; only the control node reads the mark of the operator's layers."""
    files = [
        {**file, "layers": [{key: layer[key] for key in layer if key != "operator"} for layer in file["layers"]]}
        if file.get("layers")
        else file
        for file in part["files"]
    ]
    return {"files": files, "secrets": list(context.secrets)}


def database_arguments(part: dict, context: Context, _changed_paths: list) -> dict:
    """Return the arguments of service_databases: our own server over its socket, or an external one."""
    admin = context.database_admin
    login = {"login_host": "address", "login_port": "port", "login_user": "admin_user"}
    login["login_password"] = "admin_password"
    return {
        "databases": part["databases"],
        **{name: admin[key] for name, key in login.items() if admin.get(key) is not None},
    }


def identity_arguments(part: dict, context: Context, _changed_paths: list) -> dict:
    """Return the arguments of openstack_identity."""
    return {
        "auth": context.auth,
        "region": context.region,
        "projects": PROJECTS,
        "roles": ROLES,
        "users": part["identity"].get("users") or [],
        "services": part["identity"].get("services") or [],
    }


STAGES = (
    Stage("packages", "apt_transaction", ("packages", "debconf"), package_arguments),
    Stage("files", "config_files", ("files",), file_arguments),
    Stage("base_units", "systemd_units", ("base_units",), units_of("base_units")),
    Stage("databases", "service_databases", ("databases",), database_arguments),
    Stage(
        "messaging_users",
        "rabbitmq_users",
        ("messaging_users",),
        lambda part, context, _paths: {"users": part["messaging_users"], "host": context.messaging_host},
    ),
    Stage("prepare", "", ("prepare",)),
    Stage("schema", "db_bootstrap", ("schema",), lambda part, _context, _paths: {"services": part["schema"]}),
    Stage("identity_units", "systemd_units", ("identity_units",), units_of("identity_units")),
    Stage("identity_endpoints", "http_ready", ("identity_endpoints",), endpoints_of("identity_endpoints")),
    Stage("identity", "openstack_identity", ("identity",), identity_arguments),
    Stage("api_units", "systemd_units", ("api_units", "stopped_units"), units_of("api_units", "stopped_units")),
    Stage("api_endpoints", "http_ready", ("api_endpoints",), endpoints_of("api_endpoints")),
    Stage("queues", "queue_consumers", ("queues",), lambda part, _context, _paths: {"queues": part["queues"]}),
    Stage("agent_units", "systemd_units", ("agent_units",), units_of("agent_units")),
    Stage("finish", "", ("finish",)),
    Stage(
        "cells",
        "nova_compute_hosts",
        ("cells",),
        lambda part, context, _paths: {**part["cells"], "computes": list(context.computes)},
    ),
)
NAMES = tuple(stage.name for stage in STAGES)


def select_stages(plan: Mapping[str, Any], names: list[str] | None = None, computes: Iterable[str] = ()) -> list[Stage]:
    """Return the stages that a plan has, of the named ones, in their order. Raise StageError for an unknown name."""
    unknown = [name for name in names or [] if name not in NAMES]
    if unknown:
        raise StageError(Message(f"stages: {', '.join(unknown)} unknown; choose from {', '.join(NAMES)}."))
    return [stage for stage in STAGES if (not names or stage.name in names) and in_plan(stage, plan, computes)]


def in_plan(stage: Stage, plan: Mapping[str, Any], computes: Iterable[str] = ()) -> bool:
    """Return whether a plan has a stage: debconf alone is no transaction, cells need computes to map."""
    if stage.name == "packages":
        return has_content(plan.get("packages"))
    return any(has_content(plan.get(key)) for key in stage.keys) and (stage.name != "cells" or bool(computes))


def has_content(value: object) -> bool:
    """Return whether a key of the plan has something to do; a dict of empty lists has not."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def code_of(name: str) -> ModuleType:
    """Return the code of a stage module. Raise StageError for an unknown one.

    It is imported only now, so that a compute does not compile the code of controllers, and because an earlier stage
    may have installed what it imports.
    """
    importlib.invalidate_caches()
    package = "ansible.module_utils.stages"
    try:
        if name.isidentifier():
            return importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{name}":
            raise
    raise StageError(Message(f"there is no stage module '{name}'; see module_utils/stages."))


def _packed() -> None:  # never called
    """Name the code of the stages for Ansible, which packs what a module imports."""
    from ansible.module_utils.stages import (  # noqa: F401  packed, and imported by name
        apt_transaction,
        config_files,
        db_bootstrap,
        host_check,
        http_ready,
        kvm_verify,
        nova_compute_hosts,
        openstack_identity,
        ovs_host,
        queue_consumers,
        rabbitmq_users,
        service_databases,
        systemd_units,
    )
