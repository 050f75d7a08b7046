#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: nova_compute_hosts
short_description: Wait for compute hosts and map them into their cell
description:
  - Waits until the nova-compute of each host has registered in the cell's database and reports, maps the hosts that are
    in no cell, and waits until each shows its hypervisor. Runs on a controller, once per cloud.
  - When all hosts are mapped, this takes four queries; C(nova-manage cell_v2 discover_hosts) runs only otherwise.
  - Check mode does not wait; a host without a mapping counts as one that would be mapped.
options:
  computes:
    description: Host names as nova-compute registers them (option C(host) of nova.conf, else the hostname).
    type: list
    elements: str
    required: true
  api_database_url:
    description: Nova's API database, as SQLAlchemy's URL.
    type: str
    required: true
  cell_database_url:
    description: Database of the cell where the compute hosts register, as SQLAlchemy's URL.
    type: str
    required: true
  timeout:
    description: Seconds to wait for all of them.
    type: int
    default: 120
  interval:
    description: Seconds between two queries.
    type: float
    default: 0.3
  down_after:
    description: Seconds since its last report after which a service counts as down (Nova's C(service_down_time)).
    type: int
    default: 60
  user:
    description: Unix user that runs nova-manage.
    type: str
    default: nova
requirements: ["PyMySQL (python3-pymysql) on the managed host"]
attributes:
  check_mode:
    description: Predicts which hosts a run would map.
    support: full
  diff_mode:
    description: Lists the hosts that are mapped.
    support: full
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Map the compute hosts into their cell
  nova_compute_hosts:
    computes: [compute1, compute2]
    api_database_url: "{{ nova_api_database_url }}"
    cell_database_url: "{{ nova_database_url }}"
"""

RETURN = r"""
mapped:
  description: Hosts that this run mapped, in check mode those it would map.
  returned: always
  type: list
  elements: str
  sample: [compute1]
waited:
  description: Seconds until all had registered, were mapped and showed their hypervisors.
  returned: success
  type: float
  sample: 4.2
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import nova_compute_hosts as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
