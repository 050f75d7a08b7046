# SPDX-License-Identifier: Apache-2.0
"""Wait until HTTP services answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: http_ready
short_description: Wait until HTTP services answer
description:
  - Asks all addresses side by side, again and again, until each has given one of the wanted statuses once.
  - An open port is not enough; uWSGI listens long before its application is loaded.
  - Redirections are not followed and proxies of the environment are not used.
author: nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Asks each address once and never fails; see RV(not_ready)."}
  diff_mode: {support: none, description: "Changes nothing."}
options:
  endpoints:
    description: What shall answer.
    type: list
    elements: dict
    required: true
    suboptions:
      url: {description: Address to ask with GET., type: str, required: true}
      status: {description: Any of these statuses ends the wait., type: list, elements: int, default: [200]}
      name: {description: What answers there, for messages. By default the address., type: str}
  timeout: {description: Seconds after which an address that has not answered is an error., type: float, default: 120}
  interval: {description: Seconds between two tries., type: float, default: 0.5}
  validate_certs: {description: Whether the certificate of an https address is checked., type: bool, default: true}
  ca_path: {description: File of certificate authorities to trust instead of the system's., type: path}
"""

EXAMPLES = r"""
- name: Wait for the APIs
  http_ready:
    endpoints:
      - {name: keystone, url: "http://10.77.0.11:5000/v3"}
      - {name: glance, url: "http://10.77.0.11:9292/versions", status: [200, 300]}
    timeout: 180
"""

RETURN = r"""
endpoints:
  description: What each address gave in the end and how long it took; V(status) is null when there was no answer.
  returned: always
  type: list
  elements: dict
  sample: [{name: keystone, url: "http://10.77.0.11:5000/v3", status: 200, said: "200 OK", seconds: 1.52, tries: 3}]
not_ready:
  description: Names of what has not given a wanted status.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import http_ready as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
