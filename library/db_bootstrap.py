#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: db_bootstrap
short_description: Database schemas and first rows of services
description:
  - Runs the commands that a service needs once, or once per release, before it can start. Each step names its outcome,
    and runs only when that outcome is not there yet. The steps of a service run in their order, the services in
    parallel.
  - The revision of a database is compared with the alembic migrations of the installed package, which are read, never
    imported. So the run after an upgrade of the package migrates, and each later run only queries one row.
  - B(Can drop all tables of a database.) An interrupted first migration leaves tables that a second attempt cannot
    pass. So before the first migration of a database without tables, this module creates the view
    C(nova_ansible_first_sync) in it, and removes the view when the migration is complete. When a later run finds the
    view, and the database has not recorded all revisions that this first migration was to reach, it drops every table
    and migrates again. A database without the view, or one that was complete once, is never emptied.
  - The steps of a service hold a lock that a running command keeps even if this module is killed, so that a second run
    waits for the command.
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
        description: Unix user that runs the commands; O(services[].steps[].user) overrides it.
        type: str
        default: root
      steps:
        description: Commands, in order. A step needs at least one of C(schema), C(row) and C(creates).
        type: list
        elements: dict
        required: true
        suboptions:
          argv:
            description: The command, without secrets. A name of C(values) is replaced by the result of its query.
            type: list
            elements: str
            required: true
          user:
            description: Unix user of this step, if it is not that of the service.
            type: str
          environment:
            description: Environment variables of the command, for secrets. All values are masked.
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
                description: Directories of the alembic migrations, with their subdirectories.
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
            description: Values that the command needs from a database. Each replaces its name in C(argv) with the first
              column of the first row of its query. In check mode, a step whose values are missing is not predicted.
            type: list
            elements: dict
            default: []
            suboptions:
              name: {description: Text to replace in an item of C(argv)., type: str, required: true}
              url: {description: Database., type: str, required: true}
              query: {description: "The query, with %s for each parameter.", type: str, required: true}
              params: {description: Parameters., type: list, elements: str, default: []}
  timeout:
    description: Seconds that one step may take, and to wait for the steps of an earlier run.
    type: int
    default: 900
requirements: ["PyMySQL (python3-pymysql) on the managed host"]
attributes:
  check_mode:
    description: Predicts which steps a run would start; without a server, all whose outcome is in a database. On the
      host of the server, databases are read as root over its socket when an account or password does not exist yet.
    support: full
  diff_mode:
    description: Shows each step with the reason why it runs.
    support: full
author:
  - nova-ansible contributors
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
          # Nova replaces {username} and the others from its configuration, so a new password changes no row.
          # [database] connection must name its port for {port}. /nova_cell0 is fixed: it names the other cell.
          - argv:
              - nova-manage
              - cell_v2
              - map_cell0
              - "--database_connection={scheme}://{username}:{password}@{hostname}:{port}/nova_cell0?{query}"
            row:
              url: "{{ nova_api_database_url }}"
              query: SELECT 1 FROM cell_mappings WHERE uuid = '00000000-0000-0000-0000-000000000000'
          # For a row of an earlier deployment. Without --transport-url, cell0 would get the real transport URL.
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
  description: The steps that ran with their duration in seconds, in check mode those that would run without it.
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
