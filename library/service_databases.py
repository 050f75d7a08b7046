#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: service_databases
short_description: Databases of services, their accounts and rights
description:
  - Creates each database with an account that owns it, and sets the password of an account where it differs.
  - Three queries on one connection find what is missing; when nothing is, nothing else is sent to the server.
  - Never removes a database, an account or a right.
  - In check mode on a host without a server, everything counts as missing.
options:
  login_user:
    description: Account that may create databases and accounts.
    type: str
    default: root
  login_password:
    description: Password of the account; not needed for root over the socket.
    type: str
  login_host:
    description: Address of the server. Without it, O(login_socket) is used.
    type: str
  login_port:
    description: Port of the server, with O(login_host).
    type: int
    default: 3306
  login_socket:
    description: Socket of a server on this host.
    type: path
    default: /run/mysqld/mysqld.sock
  databases:
    description: The wanted databases.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      user:
        description: Account that gets all rights on the database. Databases may share one.
        type: str
        required: true
      password:
        description: Password of the account.
        type: str
        required: true
      hosts:
        description: Hosts that the account may connect from, as the server writes them.
        type: list
        elements: str
        default: ["%", localhost]
  charset:
    description: Character set of a new database.
    type: str
    default: utf8mb3
  collation:
    description: Collation of a new database.
    type: str
    default: utf8mb3_general_ci
requirements: ["PyMySQL (python3-pymysql) on the managed host"]
attributes:
  check_mode:
    description: Predicts what a run would do.
    support: full
  diff_mode:
    description: Lists what is created or updated, without passwords.
    support: full
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Create the databases of Nova
  service_databases:
    databases:
      - {name: nova_api, user: nova, password: "{{ nova_database_password }}"}
      - {name: nova_cell0, user: nova, password: "{{ nova_database_password }}"}
      - {name: nova, user: nova, password: "{{ nova_database_password }}"}
"""

RETURN = r"""
created:
  description: Databases, accounts and rights that were missing.
  returned: success
  type: list
  elements: str
  sample: ["database glance", "account glance@%", "rights of glance@% on glance"]
updated:
  description: Accounts that got another password.
  returned: success
  type: list
  elements: str
  sample: ["account glance@%"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import service_databases as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
