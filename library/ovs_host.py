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

import os

from ansible.module_utils import ovs_plan
from ansible.module_utils.basic import AnsibleModule


def choose(module):
    """(datapath, reason)."""
    if module.params["datapath"] != "auto":
        return module.params["datapath"], "asked for"
    if os.path.isdir("/sys/module/openvswitch"):
        return "system", "the kernel has the module openvswitch"
    modprobe = module.get_bin_path("modprobe", opt_dirs=["/sbin", "/usr/sbin"])
    if modprobe:
        dry = ["--dry-run"] if module.check_mode else []
        code, _out, _err = module.run_command([modprobe, "--quiet", *dry, "openvswitch"])
        if code == 0:
            return "system", "the kernel loads the module openvswitch"
    return "netdev", f"kernel {os.uname().release} has no module openvswitch"


def ask(module, *arguments):
    """The output of ovs-vsctl, or None where there is none to ask in check mode."""
    code, out, err = 127, "", "ovs-vsctl is not installed"
    if module.get_bin_path("ovs-vsctl"):
        code, out, err = module.run_command(["ovs-vsctl", "--timeout=30", *arguments])
    if code == 0:
        return out
    if module.check_mode:
        return None
    module.fail_json(
        msg=f"'ovs-vsctl {' '.join(arguments)}' failed: {err.strip()}. "
        "Install openvswitch-switch and start it (systemctl status openvswitch-switch)."
    )


def read(module, bridge):
    """The settings that matter, as ovs_plan has them; those of an empty machine when there is no Open vSwitch."""
    root = ask(module, "--format=json", "--columns=other_config,external_ids", "list", "Open_vSwitch")
    if root is None:
        return ovs_plan.empty()
    bridges = ask(module, "--format=json", "--columns=name,datapath_type", "list", "Bridge")
    ports = ask(module, "list-ports", bridge) if bridge in ovs_plan.column(bridges, "name") else ""
    managers = ask(module, "get-manager")
    return ovs_plan.state(root, bridges, ports.split(), managers.split(), bridge)


def is_up(interface):
    """Whether an interface is switched on; None without it."""
    try:
        with open(f"/sys/class/net/{interface}/flags", encoding="ascii") as flags:
            return bool(int(flags.read(), 16) & 1)
    except FileNotFoundError:
        return None


def main():
    """Read, compare, write."""
    module = AnsibleModule(
        argument_spec={
            "datapath": {"type": "str", "choices": ["auto", "system", "netdev"], "default": "auto"},
            "bridge": {"type": "str", "default": "br-provider"},
            "port": {"type": "str"},
            "manager": {"type": "str"},
        },
        supports_check_mode=True,
    )
    bridge, port, manager = (module.params[name] for name in ("bridge", "port", "manager"))
    datapath, reason = choose(module)
    if port and is_up(port) is None:
        interfaces = ", ".join(sorted(os.listdir("/sys/class/net")))
        module.fail_json(msg=f"There is no interface '{port}' on this host; 'port' must be one of: {interfaces}.")
    before = read(module, bridge)
    after = ovs_plan.wanted(before, datapath, port, manager)
    restart = ovs_plan.needs_restart(before, after)
    before["up"] = after["up"] = None
    if port:
        before["up"], after["up"] = is_up(port), True
    if not module.check_mode:
        for command in ovs_plan.commands(before, after, bridge):
            ask(module, *command)
        if restart:
            module.run_command(["systemctl", "restart", "ovs-vswitchd"], check_rc=True)
            ask(module, *ovs_plan.RESTARTED)
        if after["up"] and not before["up"]:
            module.run_command(["ip", "link", "set", "dev", port, "up"], check_rc=True)
    module.exit_json(
        changed=before != after or restart,
        datapath=datapath,
        reason=reason,
        restarted=restart,
        diff={"before": ovs_plan.shown(before, bridge), "after": ovs_plan.shown(after, bridge)},
    )


if __name__ == "__main__":
    main()
