# SPDX-License-Identifier: Apache-2.0
"""Wait for compute hosts to register, and map them into their cell."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from ansible.module_utils.database import sql_url
from ansible.module_utils.database.sql_url import DatabaseError
from ansible.module_utils.host import commands, output
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.plan.in_process import StageModule

SERVICES = (
    "SELECT host, disabled, forced_down, TIMESTAMPDIFF(SECOND, COALESCE(last_seen_up, updated_at, created_at), "
    "UTC_TIMESTAMP()) FROM services WHERE `binary` = 'nova-compute' AND deleted = 0"
)
NODES = "SELECT DISTINCT host FROM compute_nodes WHERE deleted = 0"
MAPPINGS = "SELECT host FROM host_mappings"
DISCOVER = ["nova-manage", "cell_v2", "discover_hosts", "--by-service"]
DISCOVER_TIMEOUT = 300  # seconds


class NotReady(OperatorError):
    """Compute hosts are not ready or not mapped; mapped: those that this run mapped."""

    def __init__(self, message: Message, mapped: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.mapped = list(mapped)


def reasons_not_ready(
    computes: Iterable[str],
    services: Iterable[tuple[Any, ...]],
    nodes: Iterable[tuple[Any, ...]] | None,
    down_after: int,
) -> dict[str, str]:
    """Return why compute hosts are not ready, from the rows of SERVICES and NODES; None skips the check of nodes.

    down_after: seconds since its last report after which a service counts as down.
    """
    registered = {row[0]: row[1:] for row in services}
    with_node = None if nodes is None else {row[0] for row in nodes}
    reasons = {}
    for host in computes:
        if host not in registered:
            reasons[host] = "never registered"
            continue
        _disabled, forced_down, age = registered[host]
        if forced_down:
            reasons[host] = "is forced down (openstack compute service set --up HOST nova-compute)"
        elif age is not None and age > down_after:
            reasons[host] = f"registered, but last reported {age} s ago"
        elif with_node is not None and host not in with_node:
            reasons[host] = "registered, but shows no hypervisor yet"
    return reasons


def wait(params: Mapping[str, Any], deadline: float, mapped: Sequence[str] | None = None) -> None:
    """Wait until every compute host is ready; raise NotReady after the deadline, or DatabaseError.

    mapped: the hosts that this run mapped. Before, None: the hypervisors are not checked.
    """
    url = params["cell_database_url"]
    while True:
        services = sql_url.query(url, SERVICES)
        nodes = None if mapped is None else sql_url.query(url, NODES)
        reasons = reasons_not_ready(params["computes"], services, nodes, params["down_after"])
        if not reasons:
            return
        if time.monotonic() > deadline:
            raise NotReady(failure(reasons, services, params["timeout"]), mapped or ())
        time.sleep(params["interval"])


def failure(reasons: Mapping[str, str], services: Iterable[tuple[Any, ...]], timeout: float) -> Message:
    """Return the message about compute hosts that are not ready."""
    registered = ", ".join(sorted(row[0] for row in services)) or "none"
    hosts = [Message(f"{host}: nova-compute {reason}.") for host, reason in reasons.items()]
    advice = Message(
        f"Waited {timeout} s; registered are: {registered}. "
        "Read /var/log/nova/nova-compute.log and 'systemctl status nova-compute' on the named hosts."
    )
    return Message("\n".join([*hosts, advice]))


def unmapped(params: Mapping[str, Any], predict: bool = False) -> list[str]:
    """Return the compute hosts without a mapping, in their order; raise DatabaseError."""
    mapped = {row[0] for row in sql_url.query(params["api_database_url"], MAPPINGS, as_root=predict)}
    return [host for host in params["computes"] if host not in mapped]


def predict(params: Mapping[str, Any]) -> list[str]:
    """Return the hosts that a run would map: all of them when the database cannot be read."""
    try:
        return unmapped(params, predict=True)
    except DatabaseError:
        return list(params["computes"])


def discover(params: Mapping[str, Any]) -> list[str]:
    """Map the hosts that have no mapping, and return them; raise NotReady or DatabaseError.

    By service: a compute host registers its service seconds before its hypervisor, and nova-manage can start in the
    meantime. It also finds a host that lost its mapping, but whose hypervisor is marked as mapped.
    """
    hosts = unmapped(params)
    if not hosts:
        return []
    done = commands.run(DISCOVER, user=params["user"], timeout=DISCOVER_TIMEOUT, merge=True)
    left = unmapped(params)
    if left:  # an exit code of 2 alone is no failure: the scheduler's own discovery may have been faster
        text = "\n".join(output.error_tail(done.out))
        raise NotReady(
            Message(f"'{' '.join(DISCOVER)}' {done.ending} and left {', '.join(left)} without a cell: {text}")
        )
    return hosts


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    url = {"type": "str", "required": True, "no_log": True}
    return {
        "computes": {"type": "list", "elements": "str", "required": True},
        "api_database_url": url,
        "cell_database_url": url,
        "timeout": {"type": "int", "default": 120},
        "interval": {"type": "float", "default": 0.3},
        "down_after": {"type": "int", "default": 60},
        "user": {"type": "str", "default": "nova"},
    }


ARGUMENT_SPEC = argument_spec()


def run(module: StageModule) -> None:
    """Wait, compare, map."""
    params = module.params
    for option in ("api_database_url", "cell_database_url"):
        try:
            sql_url.parse(params[option])
        except sql_url.InvalidUrl as error:
            module.fail_json(msg=Message(": ".join([option, error.message])))
        module.no_log_values.update(sql_url.secrets(params[option]))
    if module.check_mode:
        finish(module, predict(params), 0.0)
    if not sql_url.available():
        module.fail_json(msg=sql_url.missing_library())
    began = time.monotonic()
    try:
        wait(params, began + params["timeout"])
        hosts = discover(params)
        wait(params, began + params["timeout"], hosts)
    except NotReady as error:
        module.fail_json(msg=error.message, mapped=error.mapped)
    except DatabaseError as error:
        module.fail_json(msg=error.message, mapped=[])
    finish(module, hosts, time.monotonic() - began)


def finish(module: StageModule, hosts: list[str], waited: float) -> NoReturn:
    """End with the result."""
    module.exit_json(
        changed=bool(hosts),
        mapped=hosts,
        waited=round(waited, 1),
        diff={
            "before": "".join(f"{host}: in no cell\n" for host in hosts),
            "after": "".join(f"{host}: mapped\n" for host in hosts),
        },
    )
