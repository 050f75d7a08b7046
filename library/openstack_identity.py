#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: openstack_identity
short_description: Projects, users, services and endpoints of OpenStack
description:
  - Creates missing projects, roles, users with their roles on a project, services and endpoints, and updates those
    that differ. Removes only duplicate endpoints.
  - Logs in as each user with the wanted password and project, all in parallel. Keystone's answer shows whether the
    user, its password, its project and its roles are as wanted; only a user whose login fails needs more requests.
    Projects, roles, services and endpoints are listed once each.
  - Two services of one type are an error, because other services choose by type.
  - In check mode, where Keystone does not answer, everything counts as missing.
options:
  auth:
    description: Credentials of an administrator.
    type: dict
    required: true
    suboptions:
      auth_url: {description: "Keystone's URL, with or without /v3.", type: str, required: true}
      username: {description: Name of the administrator., type: str, required: true}
      password: {description: The administrator's password., type: str, required: true}
      previous_password:
        description: The password before a rotation. If Keystone accepts only this one, O(auth.password) is set.
        type: str
      project_name: {description: Project of the administrator., type: str, required: true}
      user_domain_name: {description: Domain of the administrator., type: str, default: Default}
      project_domain_name: {description: Domain of the project., type: str, default: Default}
      ca_file: {description: File of certificate authorities to trust instead of the system's., type: path}
      verify: {description: Whether to check the certificate., type: bool, default: true}
  region:
    description: Region of the endpoints. It is created with the first endpoint.
    type: str
    default: RegionOne
  projects:
    description: The wanted projects.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the project., type: str, required: true}
      domain: {description: Name of the domain., type: str, default: Default}
      description: {description: Description., type: str}
  roles:
    description: The wanted roles.
    type: list
    elements: str
    default: []
  users:
    description: The wanted users.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the user., type: str, required: true}
      password: {description: Password of the user., type: str, required: true}
      domain: {description: Name of the domain., type: str, default: Default}
      project: {description: Project on which the user has its roles., type: str}
      project_domain: {description: Domain of that project., type: str, default: Default}
      roles: {description: Roles of the user on the project., type: list, elements: str, default: []}
  services:
    description: The wanted services.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the service., type: str, required: true}
      type: {description: "Type of the service, by which clients find it.", type: str, required: true}
      description: {description: Description., type: str}
      endpoints:
        description: URLs of its endpoints.
        type: dict
        default: {}
        suboptions:
          public: {description: URL for users., type: str}
          internal: {description: URL for other services., type: str}
          admin: {description: URL for administrators., type: str}
attributes:
  check_mode:
    description: Predicts what a run would do.
    support: full
  diff_mode:
    description: Lists what changes, without passwords.
    support: full
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Register Nova
  openstack_identity:
    auth:
      auth_url: http://10.77.0.11:5000
      username: admin
      password: "{{ keystone_admin_password }}"
      project_name: admin
    projects:
      - {name: service, description: Service users}
    roles: [service]
    users:
      - {name: nova, password: "{{ nova_password }}", project: service, roles: [admin, service]}
    services:
      - name: nova
        type: compute
        description: Compute
        endpoints:
          public: http://10.77.0.11:8774/v2.1
          internal: http://10.77.0.11:8774/v2.1
          admin: http://10.77.0.11:8774/v2.1
"""

RETURN = r"""
created:
  description: Objects that were missing.
  returned: success
  type: list
  elements: str
  sample: ["user nova", "role admin of nova on service", "service nova", "public endpoint of nova"]
updated:
  description: Objects that differed, with the names of what differed.
  returned: success
  type: list
  elements: str
  sample: ["user nova: password", "public endpoint of nova: url"]
removed:
  description: Duplicate endpoints.
  returned: success
  type: list
  elements: str
  sample: ["duplicate of public endpoint of nova: http://10.77.0.12:8774/v2.1"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import openstack_identity as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
