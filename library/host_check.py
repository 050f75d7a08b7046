#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Read the facts of a host and find what would stop a deployment on it
description:
  - Returns the facts that decide values of a plan (C(ansible_facts.nova_ansible_host)) and a list of problems. It
    changes nothing, and a problem does not fail the task, so that one report can name every problem of every host.
author:
  - nova-ansible contributors
attributes:
  check_mode:
    description: Does the same; it only reads.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
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
    description: Packages that will be installed. Package mirrors and free space are checked when one is missing.
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
    description: Least memory, in MiB.
    type: int
    default: 0
  min_disk_mb:
    description: Least free space below /var, in MiB; only checked while packages are missing.
    type: int
    default: 0
  now:
    description: Time of the control node, in seconds since the epoch, to compare the clocks. Not checked without it.
    type: float
  max_clock_skew:
    description: Largest difference of the clocks, in seconds.
    type: float
    default: 30
  tun:
    description: Whether the host needs /dev/net/tun, for the network interfaces of instances.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the host
  host_check:
    address: 192.0.2.11
    suite: trixie
    ports: {"8774": [nova-api.service]}
    min_memory_mb: 4096
"""

RETURN = r"""
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
  description:
    - "C(nova_ansible_host): distribution, suite, architecture, hostname, cpus (those that this process may use),
      memory_mb (MiB) and ovs_datapath (V(system) where the kernel has the module openvswitch, or may load it, else
      V(netdev))."
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
