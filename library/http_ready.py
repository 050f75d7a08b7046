#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: http_ready
short_description: Wait until HTTP endpoints are ready
description:
  - Sends requests to all endpoints in parallel, and repeats them until each has returned a wanted status once.
  - An open port is not enough; uWSGI listens long before its application is loaded.
  - Redirections are not followed and proxies of the environment are not used.
author:
  - nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Tries each endpoint once and never fails; see RV(not_ready)."}
  diff_mode: {support: none, description: "Changes nothing."}
options:
  endpoints:
    description: Endpoints to wait for.
    type: list
    elements: dict
    required: true
    suboptions:
      url: {description: URL to request with GET., type: str, required: true}
      status: {description: Statuses of an endpoint that is ready., type: list, elements: int, default: [200]}
      name: {description: Name of the service, for messages; by default the URL., type: str}
  timeout: {description: Seconds after which an endpoint that is not ready is an error., type: float, default: 120}
  interval: {description: Seconds between two tries., type: float, default: 0.5}
  validate_certs: {description: Whether the certificate of an https URL is checked., type: bool, default: true}
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
  description: >-
    The last answer of each endpoint, in the order of the parameter. V(status) is null when there was none; V(text) is
    the status line, or why there was no answer; V(seconds) and V(tries) say how long it took.
  returned: always
  type: list
  elements: dict
  sample: [{name: keystone, url: "http://10.77.0.11:5000/v3", status: 200, text: "200 OK", seconds: 1.52, tries: 3}]
not_ready:
  description: Names of the endpoints that did not return a wanted status.
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
