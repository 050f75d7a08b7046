# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch on a host: datapath, provider bridge and its port."""

from __future__ import annotations

import os

from ansible.module_utils.host import ovs_plan


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
    tables = ask(module, *ovs_plan.READ)
    return ovs_plan.empty() if tables is None else ovs_plan.state(tables, bridge)


def is_up(interface):
    """Whether an interface is switched on; None without it."""
    try:
        with open(f"/sys/class/net/{interface}/flags", encoding="ascii") as flags:
            return bool(int(flags.read(), 16) & 1)
    except FileNotFoundError:
        return None


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    return {
        "datapath": {"type": "str", "choices": ["auto", "system", "netdev"], "default": "auto"},
        "bridge": {"type": "str", "default": "br-provider"},
        "port": {"type": "str"},
        "manager": {"type": "str"},
    }


ARGUMENT_SPEC = argument_spec()


def run(module) -> None:
    """Read, compare, write."""
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
