#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_network
short_description: Create the network namespaces of a lab and its connections to this computer
description:
  - A lab is a network namespace with a management and a provider bridge; each machine is a namespace with C(eth0) on
    the one and C(eth1) on the other. No address and no device of it exists outside these namespaces.
  - There are two kinds of connections - the package cache, at the lab's gateway address, and one loopback port for each
    forward, such as the noVNC proxy for a browser.
  - Creates the missing parts. C(state=absent) removes everything.
options:
  root:
    description: Root directory of all labs.
    type: path
    required: true
  name:
    description: Name of the lab.
    type: str
    required: true
  lab:
    description: The lab, as returned by the module lab_request. Required with C(state=present).
    type: dict
  state:
    description: Whether the network exists.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Create the network of the lab
  lab_network:
    root: "{{ playbook_dir }}/../.lab"
    name: lab
    lab: "{{ __lab_request.lab }}"
"""

RETURN = r"""
actions:
  description: The created, repaired or removed parts.
  type: list
  elements: str
  returned: success
"""

import contextlib
import glob
import json
import os
import shutil
import signal

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_plan import (
    CACHE_PORT,
    PREFIX,
    PROVIDER_GATEWAY,
    PlanError,
    control_path,
    family_of,
    gateway,
    lab_home,
    namespace,
    number_of,
    socat_protocol,
    socket_host,
    with_prefix,
)
from ansible.module_utils.lab_process import LabError, read_json, run, running, start, stop, tail, wait_gone
from ansible.module_utils.message import Message


def bridges(family: str) -> dict:
    """Return the address of the lab's namespace on each bridge."""
    return {"mgmt": with_prefix(gateway(family)), "prov": f"{PROVIDER_GATEWAY}/{PREFIX}"}


def address_step(space: str, address: str, device: str) -> list:
    """Return the arguments of `ip` that add an address, without IPv6's search for duplicates."""
    return ["-n", space, "address", "replace", address, "dev", device, *(["nodad"] if ":" in address else [])]


def links(space: str) -> dict:
    """Return the devices of a namespace by name: state, master, alias, addresses; empty if it does not exist."""
    if not os.path.exists(f"/run/netns/{space}"):
        return {}
    done = run(["ip", "-n", space, "-j", "-d", "address", "show"], check=False)
    return {
        link["ifname"]: {
            "up": "UP" in link["flags"],
            "master": link.get("master", ""),
            "alias": link.get("ifalias", ""),
            "addresses": {
                f"{row['local']}/{row['prefixlen']}" for row in link["addr_info"] if row["scope"] == "global"
            },
        }
        for link in (json.loads(done.out) if done.code == 0 and done.out.strip() else [])
    }


def check_owner(lab: str, directory: str) -> dict:
    """Return the devices of the lab's namespace; raise LabError if it belongs to a lab of another checkout."""
    found = links(namespace(lab))
    owner = found.get("mgmt", {}).get("alias", "")
    if owner and owner != directory and os.path.isdir(owner):
        text = Message(
            f"The network namespace {namespace(lab)} belongs to the lab in {owner}, another checkout: choose another "
            "LAB_NAME, or remove that lab."
        )
        raise LabError(text)
    return found


def bridge_steps(lab: str, directory: str, found: dict, family: str = "ipv4") -> list:
    """Return the arguments of `ip` that complete the lab's namespace."""
    space = namespace(lab)
    steps = []
    if not found:
        steps += [["netns", "add", space], ["-n", space, "link", "set", "lo", "up"]]
    for bridge, address in bridges(family).items():
        if bridge not in found:
            steps.append(["-n", space, "link", "add", bridge, "type", "bridge"])
            steps.append(["-n", space, "link", "set", bridge, "alias", directory])
        if address not in found.get(bridge, {}).get("addresses", ()):
            steps.append(address_step(space, address, bridge))
        if not found.get(bridge, {}).get("up"):
            steps.append(["-n", space, "link", "set", bridge, "up"])
    return steps


def machine_steps(lab: str, machine: dict, ports: dict, found: dict) -> list:
    """Return the arguments of `ip` that complete the namespace of a machine."""
    space, own = namespace(lab), namespace(lab, machine["name"])
    number = number_of(machine["address"])
    steps = []
    if not os.path.exists(f"/run/netns/{own}"):
        steps += [["netns", "add", own], ["-n", own, "link", "set", "lo", "up"]]
    for device, bridge, peer in (("eth0", "mgmt", f"m{number}"), ("eth1", "prov", f"p{number}")):
        whole = peer in ports and device in found
        if not whole:
            # A namespace whose name is gone lives on while processes are in it, and so do its devices.
            steps += [["-n", space, "link", "delete", peer]] if peer in ports else []
            steps += [["-n", own, "link", "delete", device]] if device in found else []
            steps.append(["link", "add", peer, "netns", space, "type", "veth", "peer", "name", device, "netns", own])
            steps.append(["-n", own, "link", "set", device, "up"])
        if not whole or ports[peer]["master"] != bridge or not ports[peer]["up"]:
            steps.append(["-n", space, "link", "set", peer, "master", bridge, "up"])
    fresh = f"m{number}" not in ports
    if fresh or with_prefix(machine["address"]) not in found.get("eth0", {}).get("addresses", ()):
        way = gateway(family_of(machine["address"]))
        steps.append(address_step(own, with_prefix(machine["address"]), "eth0"))
        steps.append(["-n", own, "route", "replace", "default", "via", way])
    return steps


def doors(lab: dict) -> dict:
    """Return the lab's ways in and out: pid file name -> (what it is, namespace or empty, socat's two addresses)."""
    addresses = {machine["name"]: machine["address"] for machine in lab["machines"]}
    space = namespace(lab["name"])
    way = gateway(lab.get("family", "ipv4"))
    listen = f"{socat_protocol(way)}-LISTEN:{CACHE_PORT},bind={socket_host(way)},fork,reuseaddr,backlog=128"
    result = {"apt": ("package cache", space, [listen, "UNIX-CONNECT:../cache/apt.sock"])}
    for forward in lab["forwards"]:
        name = f"forward-{forward['name']}"
        address = addresses[forward["machine"]]
        target = f"{socat_protocol(address)}:{socket_host(address)}:{forward['port']}"
        result[f"{name}-in"] = ("", space, [f"UNIX-LISTEN:{name}.sock,fork,mode=600,unlink-early", target])
        listen = f"TCP4-LISTEN:{forward['listen']},bind=127.0.0.1,fork,reuseaddr,backlog=128"
        text = f"127.0.0.1:{forward['listen']} to {forward['machine']}:{forward['port']}"
        result[f"{name}-out"] = (text, "", [listen, f"UNIX-CONNECT:{name}.sock"])
    return result


def is_open(pidfile: str, argv: list, space: str) -> bool:
    """Tell whether a connection is open: its process runs, with these arguments, in the namespace of that name."""
    pid = running(pidfile)
    if not pid or read_json(pidfile).get("argv") != argv:
        return False
    try:
        return not space or os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat(f"/run/netns/{space}").st_ino
    except OSError:
        return False


def present(lab: dict, directory: str, check_mode: bool) -> list:
    """Create the missing parts; return the actions."""
    name, actions = lab["name"], []
    found = check_owner(name, directory)
    steps = bridge_steps(name, directory, found, lab.get("family", "ipv4"))
    for machine in lab["machines"]:
        steps += machine_steps(name, machine, found, links(namespace(name, machine["name"])))
    for step in steps:
        if not check_mode:
            run(["ip", *step])
        actions.append(" ".join(["ip", *step]))
    if not check_mode:
        os.makedirs(control_path(directory), mode=0o700, exist_ok=True)
    for key, (what, space, addresses) in doors(lab).items():
        pidfile = os.path.join(directory, f"{key}.pid")
        argv = [*(["ip", "netns", "exec", space] if space else []), "socat", *addresses]
        if is_open(pidfile, argv, space):
            continue
        actions.append(f"door {key}: {what}".rstrip(": "))
        if not check_mode:
            stop(pidfile)
            start(pidfile, argv, directory, os.path.join(directory, "doors.log"))
            if wait_gone([running(pidfile)], 0.1) == []:
                raise LabError(Message(f"socat ended: {tail(os.path.join(directory, 'doors.log'), 3)}"))
    return actions


def absent(name: str, directory: str, check_mode: bool) -> list:
    """Remove everything; return the actions."""
    actions: list = []
    check_owner(name, directory)
    for pidfile in sorted(glob.glob(os.path.join(glob.escape(directory), "*.pid"))):
        if running(pidfile):
            actions.append(f"door {os.path.basename(pidfile)[:-4]}")
        if not check_mode:
            stop(pidfile)
    spaces = sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []
    for space in [entry for entry in spaces if entry == namespace(name) or entry.startswith(namespace(name, "x")[:-1])]:
        actions.append(f"namespace {space}")
        if not check_mode:
            left = [int(pid) for pid in run(["ip", "netns", "pids", space], check=False).out.split()]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            run(["ip", "netns", "delete", space])
    path = control_path(directory)
    if not check_mode and not path.startswith(directory):
        shutil.rmtree(path, ignore_errors=True)
    return actions


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "lab": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["lab"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        directory = lab_home(params["root"], params["name"])
        if params["state"] == "present":
            actions = present(params["lab"], directory, module.check_mode)
        else:
            actions = absent(params["name"], directory, module.check_mode)
    except (LabError, PlanError) as error:
        module.fail_json(msg=error.message)
    lines = "".join(f"{action}\n" for action in actions)
    gone = params["state"] == "absent"
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        diff={"before": lines if gone else "", "after": "" if gone else lines},
    )


if __name__ == "__main__":
    main()
