# SPDX-License-Identifier: Apache-2.0
"""Wait for computes to register, and map them into their cell."""

from __future__ import annotations

import time

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.database import sql_url, step_state
from ansible.module_utils.host import commands, output

SERVICES = (
    "SELECT host, disabled, forced_down, TIMESTAMPDIFF(SECOND, COALESCE(last_seen_up, updated_at, created_at), "
    "UTC_TIMESTAMP()) FROM services WHERE `binary` = 'nova-compute' AND deleted = 0"
)
NODES = "SELECT DISTINCT host FROM compute_nodes WHERE deleted = 0"
MAPPINGS = "SELECT host FROM host_mappings"


def judge(computes, services, nodes, down_after):
    """{host: why it is not ready} from the rows of SERVICES and NODES; without nodes they are not looked at."""
    seen = {row[0]: row[1:] for row in services}
    with_node = {row[0] for row in nodes or []}
    reasons = {}
    for host in computes:
        if host not in seen:
            reasons[host] = "never registered"
        elif seen[host][1]:
            reasons[host] = "is forced down (openstack compute service set --up HOST nova-compute)"
        elif seen[host][2] is not None and seen[host][2] > down_after:
            reasons[host] = f"registered, but last reported {seen[host][2]} s ago"
        elif nodes is not None and host not in with_node:
            reasons[host] = "registered, but shows no hypervisor yet"
    return reasons


def wait(module, limit, mapped=None):
    """Poll until every compute is ready, or fail at the limit; the hypervisors count once the hosts are mapped."""
    params = module.params
    while True:
        services = step_state.query(params["cell_database_url"], SERVICES)
        nodes = None if mapped is None else step_state.query(params["cell_database_url"], NODES)
        reasons = judge(params["computes"], services, nodes, params["down_after"])
        if not reasons:
            return
        if time.monotonic() > limit:
            refuse(module, reasons, services, mapped or [])
        time.sleep(params["interval"])


def unmapped(params, predict=False):
    """The named hosts without a mapping, in their order."""
    mapped = {row[0] for row in step_state.query(params["api_database_url"], MAPPINGS, predict=predict)}
    return [host for host in params["computes"] if host not in mapped]


def predict(params):
    """The hosts that a run would map; all of them when no database answers."""
    try:
        return unmapped(params, predict=True)
    except step_state.Unknown:
        return params["computes"]


def discover(module):
    """Map the hosts that are not, and return them, or fail.

    By service: a compute registers as a service seconds before it shows its hypervisor, so that nova-manage starts
    meanwhile; and a host whose mapping was lost, but whose hypervisor says "mapped", is found as well.
    """
    hosts = unmapped(module.params)
    if not hosts:
        return []
    argv = ["nova-manage", "cell_v2", "discover_hosts", "--by-service"]
    done = commands.run(argv, user=module.params["user"], timeout=300, merge=True)
    left = unmapped(module.params)
    if left:  # a code of 2 alone is no failure: the scheduler's own discovery may have been quicker
        said = "\n".join(output.error_tail(done.out))
        module.fail_json(msg=f"'{' '.join(argv)}' {done.ending} and left {', '.join(left)} without a cell: {said}")
    return hosts


def refuse(module, reasons, services, mapped):
    """Fail, with the reason of each host."""
    registered = ", ".join(sorted(row[0] for row in services)) or "none"
    module.fail_json(
        msg="\n".join(
            [f"{host}: nova-compute {reason}." for host, reason in reasons.items()]
            + [
                f"Waited {module.params['timeout']} s; registered are: {registered}.",
                "Read /var/log/nova/nova-compute.log and 'systemctl status nova-compute' on the named hosts.",
            ]
        ),
        mapped=mapped,
    )


def argument_spec() -> dict:
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


def run(module) -> None:
    """Wait, compare, map."""
    params = module.params
    for option in ("api_database_url", "cell_database_url"):
        try:
            sql_url.parse(params[option])
        except ValueError as error:
            module.fail_json(msg=f"{option}: {error}")
        module.no_log_values.update(sql_url.secrets(params[option]))
    if module.check_mode:
        finish(module, predict(params), 0.0)
    if not sql_url.available():
        module.fail_json(msg=missing_required_lib("PyMySQL") + " (Debian: python3-pymysql)")
    started = time.monotonic()
    try:
        wait(module, started + params["timeout"])
        hosts = discover(module)
        wait(module, started + params["timeout"], hosts)
    except step_state.Unknown as error:
        module.fail_json(msg=str(error))
    finish(module, hosts, time.monotonic() - started)


def finish(module, hosts, waited):
    """Report."""
    module.exit_json(
        changed=bool(hosts),
        mapped=hosts,
        waited=round(waited, 1),
        diff={
            "before": "".join(f"{host}: in no cell\n" for host in hosts),
            "after": "".join(f"{host}: mapped\n" for host in hosts),
        },
    )
