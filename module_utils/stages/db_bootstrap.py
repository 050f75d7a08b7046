# SPDX-License-Identifier: Apache-2.0
"""Bring the schemas and first rows of services to what their installed packages want."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import IO, Any, NamedTuple, TypedDict

from ansible.module_utils.database import migration_guard, sql_url, step_state
from ansible.module_utils.database.step_state import Step
from ansible.module_utils.host import commands, output
from ansible.module_utils.host.lock import locked
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.plan.in_process import StageModule

LOCKS = "/run/nova-ansible"
HALF_DONE = Message(
    "The database holds half of an earlier migration. If it was never in use, drop it and create it again "
    "(service_databases); else restore the backup from before that migration."
)


class Service(TypedDict):
    """A service and its steps, as the parameters have it."""

    name: str
    user: str
    steps: list[Step]


class Ran(NamedTuple):
    """A step that ran, or would run, and why; seconds is None in check mode."""

    service: str
    argv: list[str]
    reason: str
    seconds: float | None

    @property
    def line(self) -> str:
        """Return the step for a diff."""
        return f"{self.service}: {' '.join(self.argv)}"

    def result(self) -> dict[str, Any]:
        """Return the step as the module returns it."""
        entry: dict[str, Any] = {"service": self.service, "argv": self.argv}
        return entry if self.seconds is None else {**entry, "seconds": self.seconds}


class StepFailed(OperatorError):
    """A command failed, or did not bring the outcome that its step names."""


def run_step(service: Service, step: Step, lock: IO[str], timeout: float) -> float:
    """Run a command and return its seconds; raise StepFailed unless its outcome is there, or another OperatorError.

    The command keeps the lock when this process is killed.
    """
    argv, user = step_state.command(step), step["user"] or service["user"]
    migration_guard.prepare(step["schema"])
    began = time.monotonic()
    done = commands.run(
        argv, user=user, environment=step["environment"], timeout=timeout, merge=True, keep_fds=[lock.fileno()]
    )
    seconds = round(time.monotonic() - began, 1)
    if done.code != 0:
        text = "\n".join(output.error_tail(done.out))
        failure = Message(f"'{' '.join(argv)}' as {user} {done.ending}: {text}")
        if "already exists" in done.out or "Duplicate column" in done.out:
            failure = Message("\n".join([failure, HALF_DONE]))
        raise StepFailed(failure)
    reason = step_state.missing_reason(step)
    if reason:
        text = "\n".join(output.error_tail(done.out, 4))
        raise StepFailed(
            Message(
                f"'{' '.join(argv)}' as {user} ended with 0, but {reason}. Does the service's own configuration name "
                f"the same database? Its output ends with: {text}"
            )
        )
    migration_guard.finish(step["schema"])
    return seconds


def bring_up(service: Service, check_mode: bool, timeout: float) -> tuple[list[Ran], Message | None]:
    """Return the steps of a service that ran, in check mode those that would, and the failure or None."""
    done: list[Ran] = []
    lock_path = f"{LOCKS}/{service['name']}.lock"
    try:
        with nullcontext() if check_mode else locked(lock_path, timeout) as lock:
            for step in service["steps"]:
                reason = step_state.missing_reason(step, predict=check_mode)
                # values that are missing will come from an earlier step, which writes what this one would
                if reason is None or (check_mode and not step_state.has_values(step)):
                    continue
                seconds = run_step(service, step, lock, timeout) if lock else None
                done.append(Ran(service["name"], step["argv"], reason, seconds))
    except OperatorError as error:
        return done, Message(": ".join([service["name"], error.message]))
    return done, None


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    url = {"type": "str", "required": True, "no_log": True}
    text = {"type": "str", "required": True}
    query = {"url": url, "query": text, "params": {"type": "list", "elements": "str", "default": []}}
    schema = {"url": url, "versions": {"type": "list", "elements": "path", "required": True}}
    step = {
        "argv": {"type": "list", "elements": "str", "required": True},
        "user": {"type": "str"},
        "environment": {"type": "dict", "default": {}, "no_log": True},
        "schema": {"type": "list", "elements": "dict", "default": [], "options": schema},
        "row": {"type": "dict", "options": query},
        "creates": {"type": "path"},
        "values": {"type": "list", "elements": "dict", "default": [], "options": {"name": text, **query}},
    }
    service = {
        "name": text,
        "user": {"type": "str", "default": "root"},
        "steps": {"type": "list", "elements": "dict", "required": True, "options": step},
    }
    return {
        "services": {"type": "list", "elements": "dict", "required": True, "options": service},
        "timeout": {"type": "int", "default": 900},
    }


ARGUMENT_SPEC = argument_spec()


def check_parameters(module: StageModule, services: Sequence[Service]) -> None:
    """Fail unless each step names an outcome and valid URLs; keep the passwords of the URLs out of the output."""
    for service in services:
        for step in service["steps"]:
            if not (step["schema"] or step["row"] or step["creates"]):
                argv = " ".join(step["argv"])
                module.fail_json(
                    msg=Message(f"{service['name']}: step '{argv}' names no outcome; add schema, row or creates.")
                )
            for url in step_state.urls(step):
                try:
                    sql_url.parse(url)
                except sql_url.InvalidUrl as error:
                    module.fail_json(msg=Message(": ".join([service["name"], error.message])))
                module.no_log_values.update(sql_url.secrets(url))


def run(module: StageModule) -> None:
    """Compare each outcome with what is there, run the steps whose outcome is missing, report."""
    services: list[Service] = module.params["services"]
    timeout: float = module.params["timeout"]
    check_parameters(module, services)
    need_databases = any(step_state.urls(step) for service in services for step in service["steps"])
    if need_databases and not module.check_mode and not sql_url.available():
        module.fail_json(msg=sql_url.missing_library())
    with ThreadPoolExecutor(max_workers=max(len(services), 1)) as pool:
        results = list(pool.map(lambda service: bring_up(service, module.check_mode, timeout), services))
    done = [entry for entries, _failure in results for entry in entries]
    failures = [failure for _entries, failure in results if failure]
    result = {
        "changed": bool(done),
        "ran": [entry.result() for entry in done],
        "diff": {
            "before": "".join(f"{entry.line}: {entry.reason}\n" for entry in done),
            "after": "".join(f"{entry.line}: done\n" for entry in done),
        },
    }
    if failures:
        module.fail_json(msg=Message("\n".join(failures)), **result)
    module.exit_json(**result)
