#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_host
short_description: Set up the datapath, provider bridge and manager of Open vSwitch
description:
  - Gives a host a provider bridge with an interface in it. Other bridges, ports and managers stay.
  - The kernel's datapath (V(system)) is the fast one; its module is loaded. With V(netdev), ovs-vswitchd itself
    forwards the packets. Userspace TSO is then switched on, because the firewall would otherwise take the unfinished
    checksums of instances for invalid packets, and only ping would pass. ovs-vswitchd reads that option only when it
    starts, so it is restarted, once.
  - In check mode on a machine without Open vSwitch, everything counts as missing.
author:
  - nova-ansible contributors
attributes:
  check_mode:
    description: Predicts what a run would do.
    support: full
  diff_mode:
    description: Shows the settings before and after.
    support: full
options:
  datapath:
    description: The datapath. The fact C(ovs_datapath) of M(host_check) is the one that this host can use.
    type: str
    choices: [system, netdev]
    required: true
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
"""

EXAMPLES = r"""
- name: Connect the provider network
  ovs_host:
    datapath: system
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
restarted:
  description: Whether ovs-vswitchd was restarted; in check mode, whether it would be.
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
