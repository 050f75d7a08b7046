# SPDX-License-Identifier: Apache-2.0
"""Decide the datapath of Open vSwitch on this host: that of the kernel (`system`) or of userspace (`netdev`).

This is the only place where `neutron_datapath: auto` is decided. host_check reports the result as the fact
`ovs_datapath`; the agent's configuration and the bridge both take that fact.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ansible.module_utils.host import commands

MODULE = "openvswitch"
LOADED = f"/sys/module/{MODULE}"
CAP_SYS_MODULE = 16  # linux/capability.h
_FIRST_NAMESPACE = ["0", "0", "4294967295"]  # user_namespaces(7): the map of the only namespace that may load modules
_SHOWN = re.compile(rf"^(?:(builtin) {MODULE}|insmod \S*/{MODULE}\.ko\S*)", re.MULTILINE)


class Kernel(NamedTuple):
    """What decides whether the kernel's datapath can be used."""

    loaded: bool  # /sys/module/openvswitch exists
    shown: str  # what `modprobe --show-depends openvswitch` prints: how it would load the module
    permitted: bool  # this process has CAP_SYS_MODULE in the first user namespace; a container has not
    disabled: bool  # the sysctl kernel.modules_disabled is on, until the next boot
    signed_only: bool  # lockdown or module.sig_enforce: the kernel refuses a module without signature
    signed: bool  # the module's file has a signature


def choose(kernel: Kernel) -> str:
    """Return `system` where the kernel has the module, or has it on disk and may load it, else `netdev`.

    A module that modprobe.d replaces by another command (`install openvswitch /bin/false`) counts as missing.
    Everything is decided without loading the module, so that check mode and a run agree. One case remains unknown
    until the module is loaded: a signature by a key that the kernel does not trust. The module ovs_host, which loads
    it, then fails with a message that names `neutron_datapath`.
    """
    if kernel.loaded:
        return "system"
    found = _SHOWN.search(kernel.shown)
    if found and found[1]:  # built in: there is nothing to load
        return "system"
    may_load = kernel.permitted and not kernel.disabled and (kernel.signed or not kernel.signed_only)
    return "system" if found and may_load else "netdev"


def read_kernel() -> Kernel:
    """Read what decides; nothing is changed."""
    signed_only = _read("/sys/module/module/parameters/sig_enforce").strip() == "Y" or bool(
        re.search(r"\[(?:integrity|confidentiality)\]", _read("/sys/kernel/security/lockdown"))
    )
    return Kernel(
        loaded=os.path.isdir(LOADED),
        shown=_kmod("modprobe", "--show-depends", MODULE),
        permitted=may_load_modules(_read("/proc/self/status"), _read("/proc/self/uid_map")),
        disabled=_read("/proc/sys/kernel/modules_disabled").strip() == "1",
        signed_only=signed_only,
        signed=signed_only and bool(_kmod("modinfo", "--field=sig_id", MODULE).strip()),
    )


def may_load_modules(status: str, uid_map: str) -> bool:
    """Tell from /proc/self/status and /proc/self/uid_map whether this process may load modules (capabilities(7))."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    capable = effective is not None and bool(int(effective[1], 16) >> CAP_SYS_MODULE & 1)
    return capable and uid_map.split() == _FIRST_NAMESPACE


def load() -> commands.Done:
    """Load the module, unless it is there."""
    return commands.Done(0, "") if os.path.isdir(LOADED) else _run("modprobe", MODULE)


def _run(*argv: str) -> commands.Done:
    """Run a program of kmod, which is in /usr/sbin."""
    return commands.run(argv, environment={"PATH": commands.PATH})


def _kmod(*argv: str) -> str:
    """Return the output of a program of kmod; "" where it fails or is not installed."""
    done = _run(*argv)
    return done.out if done.code == 0 else ""


def _read(path: str) -> str:
    """Return the text of a file; "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return ""
