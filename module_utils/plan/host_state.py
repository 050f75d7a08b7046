# SPDX-License-Identifier: Apache-2.0
"""Carry out, or predict, the stages of a host's plan one after another in this process.

`STAGES` says in which order, with which code and from which keys of the plan. Looking and acting are the same code:
a look runs each stage in check mode. The stages themselves are imported when they are first needed, so that a compute
does not compile what only controllers run.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Callable, NamedTuple

from ansible.module_utils.config import host_values
from ansible.module_utils.plan import in_process

LOCK_TIMEOUT = 1800  # a transaction that a killed run left behind goes on; that does not mean it hangs
PROJECTS = [{"name": "service", "domain": "Default"}]
ROLES = ["admin", "service"]
# Stages that judge the plan itself: what they refuse is wrong whatever else is still to be done.
OF_THE_PLAN = ("packages", "files")
# What waits for others instead of changing something: the field of its result that names what it waits for.
WAITS = {"not_ready": "does not answer yet", "unserved": "not consumed yet"}
NOT_KEPT = {"changed", "diff", "invocation", "ansible_facts", "failed", "msg", "seconds", "notes", "traceback"}


class Given(NamedTuple):
    """What the stages are given besides the plan."""

    auth: dict = {}
    region: str = "RegionOne"
    database_admin: dict = {}
    messaging_host: str = "localhost"
    computes: tuple = ()
    secrets: tuple = ()


class Stage(NamedTuple):
    """A stage: its name, its code (none: a list of steps), the keys of the plan that it takes, its arguments."""

    name: str
    module: str
    keys: tuple
    arguments: Callable[[dict, Given, list], dict] | None = None


def units_of(*keys: str) -> Callable[[dict, Given, list], dict]:
    """Return what makes the arguments of systemd_units from keys of the plan."""

    def arguments(part: dict, given: Given, changed_paths: list) -> dict:
        units = [unit for key in keys for unit in part.get(key) or []]
        return {"units": units, "changed_files": changed_paths, "secrets": list(given.secrets)}

    return arguments


def plain(files: list) -> list:
    """Return files without the mark of the operator's layers, which only the control node reads."""
    return [
        {**file, "layers": [{key: layer[key] for key in layer if key != "operator"} for layer in file["layers"]]}
        if file.get("layers")
        else file
        for file in files
    ]


def database_arguments(part: dict, given: Given, _changed_paths: list) -> dict:
    """Return the arguments of service_databases: our own server over its socket, or an external one."""
    admin = given.database_admin
    login = {"login_host": "address", "login_port": "port", "login_user": "admin_user"}
    login["login_password"] = "admin_password"
    return {
        "databases": part["databases"],
        **{name: admin[key] for name, key in login.items() if admin.get(key) is not None},
    }


def identity_arguments(part: dict, given: Given, _changed_paths: list) -> dict:
    """Return the arguments of openstack_identity."""
    users, services = part["identity"].get("users") or [], part["identity"].get("services") or []
    return {
        "auth": given.auth,
        "region": given.region,
        "projects": PROJECTS,
        "roles": ROLES,
        "users": users,
        "services": services,
    }


STAGES = (
    Stage(
        "packages",
        "apt_transaction",
        ("packages", "debconf"),
        lambda part, given, _paths: {
            "packages": part["packages"],
            "debconf": part.get("debconf") or [],
            "lock_timeout": LOCK_TIMEOUT,
        },
    ),
    Stage(
        "files",
        "config_files",
        ("files",),
        lambda part, given, _paths: {"files": plain(part["files"]), "secrets": list(given.secrets)},
    ),
    Stage("base_units", "systemd_units", ("base_units",), units_of("base_units")),
    Stage("databases", "service_databases", ("databases",), database_arguments),
    Stage(
        "messaging_users",
        "rabbitmq_users",
        ("messaging_users",),
        lambda part, given, _paths: {"users": part["messaging_users"], "host": given.messaging_host},
    ),
    Stage("prepare", "", ("prepare",)),
    Stage("schema", "db_bootstrap", ("schema",), lambda part, given, _paths: {"services": part["schema"]}),
    Stage("identity_units", "systemd_units", ("identity_units",), units_of("identity_units")),
    Stage(
        "identity_endpoints",
        "http_ready",
        ("identity_endpoints",),
        lambda part, given, _paths: {"endpoints": part["identity_endpoints"]},
    ),
    Stage("identity", "openstack_identity", ("identity",), identity_arguments),
    Stage("api_units", "systemd_units", ("api_units", "stopped_units"), units_of("api_units", "stopped_units")),
    Stage(
        "api_endpoints",
        "http_ready",
        ("api_endpoints",),
        lambda part, given, _paths: {"endpoints": part["api_endpoints"]},
    ),
    Stage("queues", "queue_consumers", ("queues",), lambda part, given, _paths: {"queues": part["queues"]}),
    Stage("agent_units", "systemd_units", ("agent_units",), units_of("agent_units")),
    Stage("finish", "", ("finish",)),
    Stage(
        "cells",
        "nova_compute_hosts",
        ("cells",),
        lambda part, given, _paths: {**part["cells"], "computes": list(given.computes)},
    ),
)
NAMES = tuple(stage.name for stage in STAGES)


def _packed() -> None:  # never called
    """Name the code of the stages for Ansible, which packs what a module imports."""
    from ansible.module_utils.stages import (  # noqa: F401
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


def code_of(name: str) -> ModuleType:
    """Return the code of a stage module; an earlier stage may just have installed what it imports."""
    importlib.invalidate_caches()
    if not name.isidentifier():
        raise ValueError(f"'{name}' is not a stage module")
    try:
        return importlib.import_module(f"ansible.module_utils.stages.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"ansible.module_utils.stages.{name}":
            raise
        raise ValueError(f"there is no stage module '{name}'; see module_utils/stages") from None


def filled(content: Any) -> bool:
    """Tell whether a key of the plan asks for something; a dict of empty lists does not."""
    return any(content.values()) if isinstance(content, dict) else bool(content)


def is_there(stage: Stage, plan: dict, computes: Iterable = ()) -> bool:
    """Tell whether a plan has a stage: debconf alone is no transaction, cells need computes to map."""
    if stage.name == "packages":
        return filled(plan.get("packages"))
    return any(filled(plan.get(key)) for key in stage.keys) and (stage.name != "cells" or bool(computes))


def chosen(plan: dict, names: list | None = None, computes: Iterable = ()) -> list:
    """Return the stages that a plan has, of the named ones, in their order; raise ValueError for an unknown name."""
    unknown = [name for name in names or [] if name not in NAMES]
    if unknown:
        raise ValueError(f"stages: {', '.join(unknown)} unknown; choose of {', '.join(NAMES)}")
    return [stage for stage in STAGES if (not names or stage.name in names) and is_there(stage, plan, computes)]


class Host:
    """A plan on its way through the stages, and what has become of it so far."""

    def __init__(self, outer: Any, plan: dict, facts: dict, given: Given, changed_paths: Iterable = ()) -> None:
        self.outer = outer
        self.plan = plan
        self.facts = facts
        self.given = given
        self.changed_paths = list(changed_paths)
        self.own_paths: list = []
        self.stages: dict = {}
        self.diff: list = []
        self.problems: list = []

    def call(self, module: str, arguments: dict, check_mode: bool) -> dict:
        """Return the result of one stage module."""
        try:
            code = code_of(module)
        except ValueError as error:
            return {"failed": True, "msg": f"{error}.", "of_the_plan": True}
        return in_process.call(self.outer, code, arguments, check_mode)

    def run(self, stage: Stage, check_mode: bool) -> dict:
        """Run a stage and record it; return its result."""
        begun = time.monotonic()
        try:
            part = host_values.resolve({key: self.plan.get(key) for key in stage.keys}, self.facts)
        except ValueError as error:
            result = {"failed": True, "msg": f"{stage.name}: {error}", "of_the_plan": True}
        else:
            if stage.arguments:
                arguments = stage.arguments(part, self.given, self.changed_paths)
                result = self.call(stage.module, arguments, check_mode)
            else:
                result = self.run_steps(part[stage.keys[0]], check_mode)
        self.diff += diff_entries(stage.name, result.get("diff"))
        paths = result.get("changed_paths") or []
        self.own_paths += [path for path in paths if path not in self.own_paths]
        self.changed_paths += [path for path in paths if path not in self.changed_paths]
        self.stages[stage.name] = entry = summary(result)
        entry["seconds"] = round(time.monotonic() - begun, 2)
        return result

    def run_steps(self, steps: list, check_mode: bool) -> dict:
        """Return one result for a list of steps; the first that fails ends it."""
        total: dict = {"changed": False, "steps": [], "diff": []}
        for step in steps:
            result = self.call(step["module"], step.get("args") or {}, check_mode)
            total["diff"] += diff_entries(step["name"], result.get("diff"))
            total["changed"] = total["changed"] or bool(result.get("changed"))
            for key in ("changed_paths", "notes"):
                total.setdefault(key, []).extend(result.get(key) or [])
            if result.get("changed"):
                total["steps"].append(step["name"])
            if result.get("failed"):
                return {**total, **kept_of_failure(result), "msg": f"{step['name']}: {result['msg']}"}
        return total

    def look(self, stages: list) -> None:
        """Predict every stage. What cannot be known before earlier stages are done is pending, not a problem."""
        pending = False
        for stage in stages:
            result = self.run(stage, check_mode=True)
            entry = self.stages[stage.name]
            if result.get("failed"):
                if result.get("of_the_plan") or stage.name in OF_THE_PLAN or not pending:
                    self.problems.append(result["msg"])
                else:
                    entry.update(changed=True, note=f"cannot be predicted yet: {result['msg']}")
            pending = pending or entry["changed"]

    def act(self, stages: list) -> dict | None:
        """Carry out the stages; return the result of the one that failed, or None."""
        for stage in stages:
            result = self.run(stage, check_mode=False)
            if result.get("failed"):
                return {**result, "stage": stage.name}
        return None

    @property
    def changed(self) -> bool:
        """Tell whether any stage changed something, or in a look would."""
        return any(entry["changed"] for entry in self.stages.values())

    @property
    def pending(self) -> bool:
        """Tell whether there is something to do or to wait for."""
        return any(entry["changed"] or "note" in entry for entry in self.stages.values())


def kept_of_failure(result: dict) -> dict:
    """Return what a list of steps passes on of the step that failed."""
    return {key: value for key, value in result.items() if key not in ("changed", "diff", "changed_paths", "notes")}


def summary(result: dict) -> dict:
    """Return what is told of a stage: whether it changed something, and the fields that say something."""
    kept = {key: value for key, value in result.items() if key not in NOT_KEPT and value not in ({}, [], "", None)}
    kept.pop("of_the_plan", None)
    notes = list(result.get("notes") or [])
    for field, words in WAITS.items():
        if kept.get(field):
            notes.append(f"{words}: {', '.join(kept[field])}")
    if "not_ready" not in kept:
        kept.pop("endpoints", None)
    if notes:
        kept["note"] = "; ".join(notes)
    return {"changed": bool(result.get("changed")), **kept}


def diff_entries(name: str, diff: Any) -> list:
    """Return the entries of a stage's diff, each with headers that name the stage."""
    found = []
    for entry in diff if isinstance(diff, list) else [diff or {}]:
        if entry.get("before") != entry.get("after"):
            headers = {
                key: f"{name}: {entry[key]}" if entry.get(key) else name for key in ("before_header", "after_header")
            }
            found.append({**entry, **headers})
    return found


# --- the host itself ----------------------------------------------------------------------------------------------


def read_host(outer: Any, wanted: dict) -> dict:
    """Return facts, problems and versions of packages, as host_check has them."""
    result = in_process.call(outer, code_of("host_check"), wanted, True)
    if result.get("failed"):
        return {"facts": {}, "problems": [result["msg"]], "versions": {}}
    return {
        "facts": result["ansible_facts"]["nova_ansible_host"],
        "problems": result["problems"],
        "versions": result["versions"],
    }


def read_kvm(outer: Any, policy: dict, name: str) -> dict:
    """Return the evaluation of KVM, its facts for the plan, and a problem where the policy is not met.

    `repair` of the policy tells whether a run may repair what it can.
    """
    policy = dict(policy)
    repair = policy.pop("repair", False)
    found = in_process.call(outer, code_of("kvm_verify"), {**policy, "on_failure": "report"}, True)
    if found.get("failed"):
        facts: dict = {"virt_type": None, "cpu_mode": None, "cpu_models": []}
        return {"kvm": None, "facts": facts, "problems": [found["msg"]], "pending": False}
    found.pop("changed")
    facts = {"virt_type": found["recommended_virt_type"], **found["recommended"]}
    failed = found["result"] == "fail"
    repairable = failed and bool(repair) and bool(found["repairable"])
    problems = []
    if failed and not repairable:
        require = policy.get("require", "hardware")
        problems = [
            f"KVM on {name} does not meet the policy (kvm_preflight_require is {require}). {found['msg']}".strip()
        ]
    return {"kvm": found, "facts": facts, "problems": problems, "pending": repairable}
