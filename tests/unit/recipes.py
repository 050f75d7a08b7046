# SPDX-License-Identifier: Apache-2.0
"""The recipes of CONTRIBUTING.md for fictional services, variables and releases, as edits of files.

An edit is (text before which something is put, what is put there); a file that does not exist is its text.
"""

from __future__ import annotations

SERVICE = {
    "module_utils/cloud/model.py": [('    "database": 3306,\n', '    "serialproxy": 6083,\n')],
    "roles/nova/vars/main/services.yml": [
        (
            "  compute:\n    packages: [nova-compute]\n",
            """\
  serialproxy:
    packages: [nova-consoleproxy, python3-pymysql]
    unit: nova-serialproxy
    stage: api
    layers: [controller, serialproxy]
    compute_layers: [compute_serial]
    files: [nova_conf, consoleproxy_default]
    file_layers: {consoleproxy_default: {NOVA_SERIAL_PROXY_START: "true"}}
    stops: [nova-spicehtml5proxy, nova-novncproxy]
    port: "{{ cloud.ports.serialproxy }}"
    ready: {path: /, status: [405]}
""",
        )
    ],
    "roles/nova/vars/main/config.yml": [
        (
            "  compute: {vnc: {enabled: false}}\n",
            """\
  serialproxy:
    DEFAULT: "{{ {'ssl_only': true} | combine(cloud.certificate) if cloud.certificate else {} }}"
    serial_console:
      serialproxy_host: "{{ management_address }}"
      serialproxy_port: "{{ cloud.ports.serialproxy }}"
  compute_serial:
    serial_console:
      enabled: true
      base_url: "{{ nova_serial_scheme }}://{{ cloud.api_address | host_port(cloud.ports.serialproxy) }}/"
      proxyclient_address: "{{ management_address }}"
""",
        ),
        ("nova_files:\n", "nova_serial_scheme: \"{{ 'wss' if cloud.scheme == 'https' else 'ws' }}\"\n\n"),
    ],
    "roles/nova/README.md": [("`compute`:", "`serialproxy`,\n")],
}

VARIABLE = {
    "roles/nova/meta/argument_specs.yml": [
        (
            "      nova_discover_hosts_interval:\n",
            """\
      nova_image_cache_interval:
        description: Seconds between two looks for unused base images. A null leaves it to Nova.
        type: int
""",
        )
    ],
    "roles/nova/defaults/main.yml": [
        ("nova_discover_hosts_interval:", "nova_image_cache_interval: null      # s; null = Nova's default\n")
    ],
    "roles/nova/vars/main/config.yml": [
        ("    upgrade_levels:", '    image_cache: {manager_interval: "{{ nova_image_cache_interval }}"}\n')
    ],
}

RELEASE = {
    "roles/cloud/vars/main/releases.yml": [
        (
            None,  # at the end
            """\
  flamingo:
    suite: forky
    mariadb: {options: {innodb_snapshot_isolation: "OFF"}}
    keystone:
      application: {module: keystone.wsgi.api}
      migrations: /usr/lib/python3/dist-packages/keystone/common/sql/migrations/versions
    placement:
      application: {module: placement.wsgi.api}
      migrations: /usr/lib/python3/dist-packages/placement/db/sqlalchemy/alembic/versions
    glance:
      migrations: /usr/lib/python3/dist-packages/glance/db/sqlalchemy/alembic_migrations/versions
    neutron:
      application: {module: neutron.wsgi.api}
      migrations: /usr/lib/python3/dist-packages/neutron/db/migration/alembic_migrations/versions
      options: {oslo_messaging_rabbit: {rabbit_transient_quorum_queue: true}}
      namespaces: []
    nova:
      version: 32
      applications:
        api: {module: nova.wsgi.osapi_compute}
        metadata: {module: nova.wsgi.metadata}
      migrations: /usr/lib/python3/dist-packages/nova/db
      options:
        oslo_messaging_rabbit: {rabbit_quorum_queue: true, rabbit_transient_quorum_queue: true}
      namespaces: []
""",
        )
    ],
}

COMPONENT = {
    "module_utils/cloud/model.py": [
        ("# Endpoint -> the group", 'GROUPS = (*GROUPS, "dashboard")\nPORTS["dashboard"] = 8080\n'),
        ('    "compute": ("nova_controllers"', '    "dashboard": ("dashboard", "/dashboard"),\n'),
    ],
    "roles/dashboard/vars/main/component.yml": """\
---
dashboard_component:
  source: roles/dashboard/vars/main/component.yml
  services: {dashboard: [web]}
  catalog:
    web:
      packages: [openstack-dashboard-apache]
      unit: apache2
      stage: api
      files: [settings, site]
      port: "{{ cloud.ports.dashboard }}"
      ready: {path: /dashboard/, status: [200]}
      prepare:
        - name: Collect the static files of the dashboard
          module: db_bootstrap
          args:
            services:
              - name: dashboard
                user: horizon
                steps: [{argv: [collect-static], creates: /var/lib/openstack-dashboard/static/dashboard}]
      finish:
        - name: Wait for the login page
          module: http_ready
          args: {endpoints: [{name: dashboard, url: "{{ cloud.endpoints.dashboard.public }}"}]}
  drop_in: apache2.service
  package_list: openstack-dashboard-apache
  files:
    settings:
      path: /etc/openstack-dashboard/local_settings.d/nova-ansible.conf
      mode: "0644"
      layers: [{name: dashboard, options: {DEFAULT: {auth_url: "{{ cloud.endpoints.identity.public }}"}}}]
    site: {path: /etc/apache2/sites-enabled/dashboard.conf, state: link, target: ../sites-available/dashboard.conf}
  singletons:
    identity:
      users: []
      services: [{name: dashboard, type: dashboard, endpoints: "{{ cloud.endpoints.dashboard }}"}]
""",
    "roles/dashboard/README.md": """\
# dashboard: a web interface

## What it declares

One service, `web`: packages, settings, a link to its site, steps, a unit with its readiness check.
""",
    "roles/dashboard/meta/main.yml": """\
---
galaxy_info:
  author: nova-ansible contributors
  description: A web interface
  license: Apache-2.0
  min_ansible_version: "2.19"
  platforms:
    - name: Debian
      versions: [trixie]
  galaxy_tags: [openstack]
""",
    "roles/deploy_plan/vars/main.yml": [
        ("# The group whose first host", '  dashboard: "{{ dashboard_component }}"\n'),
        ("  nova: nova_controllers\n", "  dashboard: dashboard\n"),
    ],
    "roles/deploy_plan/meta/main.yml": [("  - nova_client\n", "  - dashboard\n")],
    "docs/layout.md": [("`neutron`, `nova`, `nova_client` |", "`dashboard`, ")],
}

RECIPES = {
    "Add a Nova service": SERVICE,
    "Add a variable": VARIABLE,
    "Add a release": RELEASE,
    "Add a platform component": COMPONENT,
}
