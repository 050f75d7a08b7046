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

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import db_bootstrap as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
