#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Bring the schemas and first rows of services to what their installed packages want."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_bootstrap
short_description: Database schemas and first rows of services
description:
  - Runs the commands that a service needs once, or once per release, before it can start. Each step names its outcome,
    and runs only when that outcome is not there yet. The steps of a service run in their order, the services side by
    side.
  - The outcome of a schema is compared with the alembic scripts of the installed package, which are read, never
    imported. So a run right after an upgrade of the package migrates, and any later one asks a single row.
  - A first migration that died halfway leaves tables that no second try can pass. Before it starts one on an empty
    database, this module leaves the view C(nova_ansible_first_sync) there, and removes it afterwards. Where it is
    found with a schema that never got to its first heads, every table of that database is dropped and the step starts
    again. A database that was complete once is never emptied.
  - While a service's steps run, a lock is held that outlives this module if it is killed, so that a second run waits
    for the command that is still at work.
  - When one service fails, the others still finish; then all failures are reported.
options:
  services:
    description: The services and their steps.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service, for messages and the lock.
        type: str
        required: true
      user:
        description: Unix user that runs the commands. Run a step as root with O(services[].steps[].user).
        type: str
        default: root
      steps:
        description: Commands, in order. A step has at least one of C(schema), C(row) and C(creates).
        type: list
        elements: dict
        required: true
        suboptions:
          argv:
            description: The command, without any secret. A name of C(values) is replaced by what its query finds.
            type: list
            elements: str
            required: true
          user:
            description: Unix user of this step, where it is not the service's.
            type: str
          environment:
            description: Variables with secrets for the command. All values are masked.
            type: dict
            default: {}
          schema:
            description: Schemas that are current after the step.
            type: list
            elements: dict
            default: []
            suboptions:
              url:
                description: Database, as SQLAlchemy's URL (mysql+pymysql://user:password@host/database).
                type: str
                required: true
              versions:
                description: Folders of the alembic scripts; folders below them are read too.
                type: list
                elements: path
                required: true
          row:
            description: A query that returns a row after the step.
            type: dict
            suboptions:
              url: {description: Database., type: str, required: true}
              query: {description: "The query, with %s for each parameter.", type: str, required: true}
              params: {description: Parameters., type: list, elements: str, default: []}
          creates:
            description: Path that exists after the step.
            type: path
          values:
            description: Values that the command needs from a database. Each replaces its name in C(argv) by the first
              column of the first row of its query. In check mode, a step whose values are not there is not predicted.
            type: list
            elements: dict
            default: []
            suboptions:
              name: {description: Text to replace in an item of C(argv)., type: str, required: true}
              url: {description: Database., type: str, required: true}
              query: {description: "The query, with %s for each parameter.", type: str, required: true}
              params: {description: Parameters., type: list, elements: str, default: []}
  timeout:
    description: Seconds that one step may take, and that a service waits for the steps of an earlier run.
    type: int
    default: 900
requirements: ["PyMySQL (python3-pymysql) on the target"]
attributes:
  check_mode:
    description: Predicts which steps a run would start. Without a server, all whose outcome lies in a database. On the
      server's own machine, an account or a password that does not exist yet is no obstacle, root looks over the socket.
    support: full
  diff_mode:
    description: Shows each outcome before and after.
    support: full
author: [nova-ansible]
"""

EXAMPLES = r"""
- name: Bring the schemas of the control plane up to date
  db_bootstrap:
    services:
      - name: keystone
        user: keystone
        steps:
          - argv: [keystone-manage, db_sync]
            schema:
              - url: "{{ keystone_database_url }}"
                versions: [/usr/lib/python3/dist-packages/keystone/common/sql/migrations/versions]
          - argv: [keystone-manage, fernet_setup, --keystone-user, keystone, --keystone-group, keystone]
            user: root
            creates: /etc/keystone/fernet-keys/0
          - argv: [keystone-manage, credential_setup, --keystone-user, keystone, --keystone-group, keystone]
            user: root
            creates: /etc/keystone/credential-keys/0
          - argv:
              - keystone-manage
              - bootstrap
              - --bootstrap-region-id=RegionOne
              - --bootstrap-public-url=http://10.77.0.11:5000/v3/
              - --bootstrap-internal-url=http://10.77.0.11:5000/v3/
              - --bootstrap-admin-url=http://10.77.0.11:5000/v3/
            environment: {OS_BOOTSTRAP_PASSWORD: "{{ keystone_admin_password }}"}
            row:
              url: "{{ keystone_database_url }}"
              query: >-
                SELECT 1 FROM local_user, endpoint JOIN service ON service.id = endpoint.service_id
                WHERE local_user.name = 'admin' AND service.type = 'identity' AND endpoint.interface = 'public'
                AND endpoint.url = %s
              params: ["http://10.77.0.11:5000/v3/"]
      - name: glance
        user: glance
        steps:
          - argv: [glance-manage, db_sync]
            schema:
              - url: "{{ glance_database_url }}"
                versions: [/usr/lib/python3/dist-packages/glance/db/sqlalchemy/alembic_migrations/versions]
      - name: placement
        user: placement
        steps:
          - argv: [placement-manage, db, sync]
            schema:
              - url: "{{ placement_database_url }}"
                versions: [/usr/lib/python3/dist-packages/placement/db/sqlalchemy/alembic/versions]
      - name: neutron
        user: neutron
        steps:
          - argv:
              - neutron-db-manage
              - --config-file=/etc/neutron/neutron.conf
              - --config-file=/etc/neutron/plugins/ml2/ml2_conf.ini
              - upgrade
              - head
            schema:
              - url: "{{ neutron_database_url }}"
                versions: [/usr/lib/python3/dist-packages/neutron/db/migration/alembic_migrations/versions]
      - name: nova
        user: nova
        steps:
          - argv: [nova-manage, api_db, sync]
            schema:
              - url: "{{ nova_api_database_url }}"
                versions: [/usr/lib/python3/dist-packages/nova/db/api/migrations/versions]
          # Nova fills {username} and the others from its own configuration, so a new password changes no row.
          # [database] connection must name its port for {port}. /nova_cell0 is fixed: it names the other cell.
          - argv:
              - nova-manage
              - cell_v2
              - map_cell0
              - "--database_connection={scheme}://{username}:{password}@{hostname}:{port}/nova_cell0?{query}"
            row:
              url: "{{ nova_api_database_url }}"
              query: SELECT 1 FROM cell_mappings WHERE uuid = '00000000-0000-0000-0000-000000000000'
          # For a row of an earlier life with other contents. Without --transport-url, cell0 would get the real queue.
          - argv:
              - nova-manage
              - cell_v2
              - update_cell
              - --cell_uuid=CELL0
              - --transport-url=none:///
              - "--database_connection={scheme}://{username}:{password}@{hostname}:{port}/nova_cell0?{query}"
            values:
              - name: CELL0
                url: "{{ nova_api_database_url }}"
                query: SELECT uuid FROM cell_mappings WHERE uuid = '00000000-0000-0000-0000-000000000000'
            row:
              url: "{{ nova_api_database_url }}"
              query: >-
                SELECT 1 FROM cell_mappings WHERE uuid = '00000000-0000-0000-0000-000000000000'
                AND transport_url = 'none:///' AND database_connection = %s
              params: ["{scheme}://{username}:{password}@{hostname}:{port}/nova_cell0?{query}"]
          - argv:
              - nova-manage
              - cell_v2
              - create_cell
              - --name=cell1
              - "--database_connection={scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
              - "--transport-url={scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
            row:
              url: "{{ nova_api_database_url }}"
              query: SELECT 1 FROM cell_mappings WHERE name = 'cell1'
          - argv:
              - nova-manage
              - cell_v2
              - update_cell
              - --cell_uuid=CELL1
              - "--database_connection={scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
              - "--transport-url={scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
            values:
              - name: CELL1
                url: "{{ nova_api_database_url }}"
                query: SELECT uuid FROM cell_mappings WHERE name = 'cell1'
            row:
              url: "{{ nova_api_database_url }}"
              query: >-
                SELECT 1 FROM cell_mappings WHERE name = 'cell1' AND database_connection = %s AND transport_url = %s
              params:
                - "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
                - "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
          - argv: [nova-manage, db, sync]
            schema:
              - url: "{{ nova_cell0_database_url }}"
                versions: [/usr/lib/python3/dist-packages/nova/db/main/migrations/versions]
              - url: "{{ nova_database_url }}"
                versions: [/usr/lib/python3/dist-packages/nova/db/main/migrations/versions]
"""

RETURN = r"""
ran:
  description: The steps that ran, in check mode those that would.
  returned: always
  type: list
  elements: dict
  sample: [{service: glance, argv: [glance-manage, db_sync], seconds: 2.1}]
"""

import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils import first_sync, outcome, sql_url, user_command
from ansible.module_utils.basic import AnsibleModule, missing_required_lib

HALF_DONE = (
    "\nThe database holds half of an earlier migration. If it was never in use, drop it and create it anew "
    "(service_databases); else restore the backup from before that migration."
)


class StepFailed(Exception):
    """A step that did not come to its outcome, told for a person."""


def run_step(service, step, lock, timeout):
    """Run one command; raise StepFailed unless its outcome is there afterwards."""
    argv = outcome.filled(step)
    first_sync.prepare(step["schema"])
    started = time.monotonic()
    user = step["user"] or service["user"]
    code, output = user_command.run(argv, user, step["environment"], timeout, keep_fds=[lock.fileno()])
    seconds = round(time.monotonic() - started, 1)
    if code != 0:
        advice = HALF_DONE if "already exists" in output or "Duplicate column" in output else ""
        said = user_command.telling(output)
        raise StepFailed(f"'{' '.join(argv)}' as {user} {user_command.ended(code)}: {said}{advice}")
    reason = outcome.lacking(step)
    if reason:
        raise StepFailed(
            f"'{' '.join(argv)}' as {user} ended with 0, but {reason}. Does the service's own configuration name the "
            f"same database? It said: {user_command.telling(output, 4)}"
        )
    first_sync.finish(step["schema"])
    return seconds


def bring_up(service, check_mode, timeout):
    """(steps that ran or would run with the reason each, failure or None) of one service."""
    done = []
    try:
        with outcome.nothing_held() if check_mode else first_sync.locked(service["name"], timeout) as lock:
            for step in service["steps"]:
                reason = outcome.lacking(step, predict=check_mode)
                # values that are not there yet will come from an earlier step, which writes what this one would
                if reason is None or (check_mode and not outcome.has_values(step)):
                    continue
                entry = {"service": service["name"], "argv": step["argv"], "reason": reason}
                if not check_mode:
                    entry["seconds"] = run_step(service, step, lock, timeout)
                done.append(entry)
    except (StepFailed, outcome.Unknown, first_sync.Busy) as error:
        return done, f"{service['name']}: {error}"
    return done, None


def argument_spec():
    """The options, as DOCUMENTATION has them."""
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


def main():
    """Look at every outcome, run what lacks one, report."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    services, timeout = module.params["services"], module.params["timeout"]
    steps = [(service, step) for service in services for step in service["steps"]]
    for service, step in steps:
        if not (step["schema"] or step["row"] or step["creates"]):
            module.fail_json(
                msg=f"{service['name']}: step '{' '.join(step['argv'])}' names no outcome; add schema, row or creates."
            )
        for url in outcome.urls(step):
            try:
                sql_url.parse(url)
            except ValueError as error:
                module.fail_json(msg=f"{service['name']}: {error}")
            module.no_log_values.update(sql_url.secrets(url))
    if not module.check_mode and not sql_url.available() and any(outcome.urls(step) for _service, step in steps):
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


if __name__ == "__main__":
    main()
