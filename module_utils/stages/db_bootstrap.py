# SPDX-License-Identifier: Apache-2.0
"""Bring the schemas and first rows of services to what their installed packages want."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.database import migration_guard, sql_url, step_state
from ansible.module_utils.host import commands, output

HALF_DONE = (
    "\nThe database holds half of an earlier migration. If it was never in use, drop it and create it anew "
    "(service_databases); else restore the backup from before that migration."
)


class StepFailed(Exception):
    """A step that did not come to its step_state, told for a person."""


def run_step(service, step, lock, timeout):
    """Run one command; raise StepFailed unless its outcome is there afterwards."""
    argv = step_state.filled(step)
    migration_guard.prepare(step["schema"])
    started = time.monotonic()
    user = step["user"] or service["user"]
    done = commands.run(
        argv, user=user, environment=step["environment"], timeout=timeout, merge=True, keep_fds=[lock.fileno()]
    )
    seconds = round(time.monotonic() - started, 1)
    if done.code != 0:
        advice = HALF_DONE if "already exists" in done.out or "Duplicate column" in done.out else ""
        said = "\n".join(output.error_tail(done.out))
        raise StepFailed(f"'{' '.join(argv)}' as {user} {done.ending}: {said}{advice}")
    reason = step_state.lacking(step)
    if reason:
        said = "\n".join(output.error_tail(done.out, 4))
        raise StepFailed(
            f"'{' '.join(argv)}' as {user} ended with 0, but {reason}. Does the service's own configuration name the "
            f"same database? It said: {said}"
        )
    migration_guard.finish(step["schema"])
    return seconds


def bring_up(service, check_mode, timeout):
    """(steps that ran or would run with the reason each, failure or None) of one service."""
    done = []
    try:
        with step_state.nothing_held() if check_mode else migration_guard.locked(service["name"], timeout) as lock:
            for step in service["steps"]:
                reason = step_state.lacking(step, predict=check_mode)
                # values that are not there yet will come from an earlier step, which writes what this one would
                if reason is None or (check_mode and not step_state.has_values(step)):
                    continue
                entry = {"service": service["name"], "argv": step["argv"], "reason": reason}
                if not check_mode:
                    entry["seconds"] = run_step(service, step, lock, timeout)
                done.append(entry)
    except (StepFailed, step_state.Unknown, migration_guard.Busy) as error:
        return done, f"{service['name']}: {error}"
    return done, None


def argument_spec() -> dict:
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


def run(module) -> None:
    """Look at every step_state, run what lacks one, report."""
    services, timeout = module.params["services"], module.params["timeout"]
    steps = [(service, step) for service in services for step in service["steps"]]
    for service, step in steps:
        if not (step["schema"] or step["row"] or step["creates"]):
            module.fail_json(
                msg=f"{service['name']}: step '{' '.join(step['argv'])}' names no outcome; add schema, row or creates."
            )
        for url in step_state.urls(step):
            try:
                sql_url.parse(url)
            except ValueError as error:
                module.fail_json(msg=f"{service['name']}: {error}")
            module.no_log_values.update(sql_url.secrets(url))
    if not module.check_mode and not sql_url.available() and any(step_state.urls(step) for _service, step in steps):
        module.fail_json(msg=missing_required_lib("PyMySQL") + " (Debian: python3-pymysql)")
    with ThreadPoolExecutor(max_workers=max(len(services), 1)) as pool:
        results = list(pool.map(lambda service: bring_up(service, module.check_mode, timeout), services))
    done = [entry for entries, _failure in results for entry in entries]
    failures = [failure for _entries, failure in results if failure]
    lines = [f"{entry['service']}: {' '.join(entry['argv'])}" for entry in done]
    result = {
        "changed": bool(done),
        "ran": [{key: value for key, value in entry.items() if key != "reason"} for entry in done],
        "diff": {
            "before": "".join(f"{line}: {entry['reason']}\n" for line, entry in zip(lines, done)),
            "after": "".join(f"{line}: done\n" for line in lines),
        },
    }
    if failures:
        module.fail_json(msg="\n".join(failures), **result)
    module.exit_json(**result)
