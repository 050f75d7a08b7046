# SPDX-License-Identifier: Apache-2.0
"""Set up Open vSwitch on a host: datapath, provider bridge and its port."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible.module_utils.host import commands, ovs_datapath, ovs_plan
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

INTERFACES = "/sys/class/net"


def vsctl(module: AnsibleModule, *arguments: str) -> str | None:
    """Return the output of ovs-vsctl, or None where it does not answer in check mode."""
    done = commands.run(["ovs-vsctl", "--timeout=30", *arguments])
    if done.code == 0:
        return done.out
    if module.check_mode:
        return None
    module.fail_json(
        msg=Message(
            f"'ovs-vsctl {' '.join(arguments)}' failed ({done.text}); "
            "install openvswitch-switch and start it (systemctl status openvswitch-switch)"
        )
    )


def must(module: AnsibleModule, *argv: str) -> None:
    """Run a command that must succeed."""
    done = commands.run(argv)
    if done.code != 0:
        module.fail_json(msg=Message(f"Open vSwitch cannot be set up, '{' '.join(argv)}' failed: {done.text}"))


def load_datapath(module: AnsibleModule, datapath: str) -> None:
    """Load the kernel's datapath where it is the wanted one: later calls only log that it is missing."""
    done = ovs_datapath.load() if datapath == "system" else commands.Done(0, "")
    if done.code != 0:
        module.fail_json(
            msg=Message(
                f"the kernel {os.uname().release} does not load its module openvswitch ({done.text}); make "
                "'modprobe openvswitch' succeed on this host, or set neutron_datapath to netdev for it"
            )
        )


def read(module: AnsibleModule, bridge: str, port: str | None) -> ovs_plan.Settings:
    """Return the settings of this host; those of an empty machine where Open vSwitch is missing."""
    tables = vsctl(module, *ovs_plan.READ)
    settings = ovs_plan.Settings() if tables is None else ovs_plan.parse(tables, bridge)
    return settings._replace(up=is_up(port) if port else None)


def is_up(interface: str) -> bool | None:
    """Tell whether an interface is up; None where it does not exist."""
    try:
        with open(f"{INTERFACES}/{interface}/flags", encoding="ascii") as flags:
            return bool(int(flags.read(), 16) & 1)
    except FileNotFoundError:
        return None


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    return {
        "datapath": {"type": "str", "choices": ["system", "netdev"], "required": True},
        "bridge": {"type": "str", "default": "br-provider"},
        "port": {"type": "str"},
        "manager": {"type": "str"},
    }


ARGUMENT_SPEC = argument_spec()


def run(module: AnsibleModule) -> None:
    """Read, compare, write."""
    datapath, bridge, port, manager = (module.params[name] for name in ("datapath", "bridge", "port", "manager"))
    if port and is_up(port) is None:
        interfaces = ", ".join(sorted(os.listdir(INTERFACES)))
        module.fail_json(
            msg=Message(f"There is no interface '{port}' on this host; 'port' must be one of: {interfaces}.")
        )
    before = read(module, bridge, port)
    after = ovs_plan.wanted(before, datapath, port, manager)
    restart = ovs_plan.needs_restart(before, after)
    if not module.check_mode:
        load_datapath(module, datapath)
        for arguments in ovs_plan.commands(before, after, bridge):
            vsctl(module, *arguments)
        if restart:
            must(module, "systemctl", "restart", "ovs-vswitchd")
            vsctl(module, *ovs_plan.RESTARTED)
        if after.up and not before.up:
            must(module, "ip", "link", "set", "dev", port, "up")
    module.exit_json(
        changed=before != after or restart,
        datapath=datapath,
        restarted=restart,
        diff={"before": ovs_plan.show(before, bridge), "after": ovs_plan.show(after, bridge)},
    )
