#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a host is and whether a deployment can work on it: read only, in one call."""

from __future__ import annotations

DOCUMENTATION = """
module: host_check
short_description: Read what a host is and name what would stop a deployment on it
description:
  - Returns the facts that decide values of a plan (C(ansible_facts.nova_ansible_host)) and a list of problems; it
    changes nothing and does not fail by itself, so that one report can name every problem of every host.
options:
  address:
    description: Address that the services of this host will listen on; it must be an address of the host.
    type: str
  interface:
    description: Network interface of the provider network; it must exist. Not checked when empty.
    type: str
    default: ""
  suite:
    description: Suite of the distribution that the release belongs to, for example V(trixie).
    type: str
  packages:
    description: Packages that will be installed; the mirror is only asked for when one of them is missing.
    type: list
    elements: str
    default: []
  versions:
    description: Packages whose installed versions are returned.
    type: list
    elements: str
    default: []
  ports:
    description: TCP ports that the services of this host will listen on, and the units that may already hold them.
    type: dict
    default: {}
  min_memory_mb:
    description: Smallest memory, MiB.
    type: int
    default: 0
  min_disk_mb:
    description: Smallest free space below /var, MiB; only asked for while packages are missing.
    type: int
    default: 0
  now:
    description: Seconds since the epoch on the control node, to compare clocks with.
    type: float
  max_clock_skew:
    description: Largest difference of the clocks, seconds.
    type: float
    default: 30
  tun:
    description: Whether the host needs /dev/net/tun (guests' network interfaces).
    type: bool
    default: false
author: [nova-ansible]
"""

EXAMPLES = """
- name: Look at the host
  host_check:
    address: 192.0.2.11
    suite: trixie
    ports: {"8774": [nova-api.service]}
    min_memory_mb: 4096
"""

RETURN = """
problems:
  description: One sentence for each problem - what is wrong, the value found, what to do.
  returned: always
  type: list
  elements: str
versions:
  description: Version of each package of O(versions) that is installed.
  returned: always
  type: dict
ansible_facts:
  description: "C(nova_ansible_host): distribution, suite, architecture, cpus, memory_mb, hostname, ovs_datapath."
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import host_check as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
