#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch on a host: datapath, provider bridge and its port."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_host
short_description: Datapath, provider bridge and manager of Open vSwitch
description:
  - Chooses the datapath of a host and gives it a provider bridge with an interface in it.
  - The kernel's datapath (C(system)) is the fast one. A kernel without the module openvswitch has only C(netdev), where
    packets are forwarded by ovs-vswitchd itself. There, userspace TSO is switched on, because the firewall would take
    the unfinished checksums of guests for invalid packets, and only ping would pass. ovs-vswitchd reads that option
    only when it starts, so it is restarted, once.
  - In check mode on a machine without Open vSwitch, everything counts as missing.
options:
  datapath:
    description: The datapath; V(auto) takes V(system) where the kernel has the module, else V(netdev).
    type: str
    choices: [auto, system, netdev]
    default: auto
  bridge:
    description: Name of the provider bridge.
    type: str
    default: br-provider
  port:
    description: Interface of the host that becomes a port of the bridge. It must not carry the host's own address.
    type: str
  manager:
    description: Where ovsdb-server listens, for example C(ptcp:6640:127.0.0.1), which Nova needs with OVN.
    type: str
attributes:
  check_mode:
    description: Predicts what a run would do.
    support: full
  diff_mode:
    description: Shows the settings before and after.
    support: full
author: [nova-ansible]
"""

EXAMPLES = r"""
- name: Connect the provider network
  ovs_host:
    bridge: br-provider
    port: eth1
    manager: "ptcp:6640:127.0.0.1"
"""

RETURN = r"""
datapath:
  description: The datapath in use.
  returned: success
  type: str
  sample: netdev
reason:
  description: Why it was chosen.
  returned: success
  type: str
  sample: "this kernel has no module openvswitch"
restarted:
  description: Whether ovs-vswitchd was restarted, in check mode whether it would be.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import ovs_host as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
