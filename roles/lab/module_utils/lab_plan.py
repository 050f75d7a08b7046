# SPDX-License-Identifier: Apache-2.0
"""What a lab consists of: from the few words a person gave (name, suite, layout, number of computes) to machines.

Pure functions over data, without Ansible, so that the inventory script uses them too.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re

SUITES = ("bookworm", "trixie")
DEFAULTS = {"suite": "trixie", "layout": "split", "computes": 1, "layer": ""}
MAX_COMPUTES = 20
MANAGEMENT_GATEWAY = "10.77.0.1"
PROVIDER_GATEWAY = "10.88.0.1"
PREFIX = 24
CACHE_PORT = 3142
SOCKET_PATH_MAX = 107  # sizeof(sun_path) - 1
SSH_SUFFIX = 17  # ssh first makes ControlPath + "." + 16 characters, then renames


class PlanError(Exception):
    """The request makes no lab; the text says why and what to do."""


def check_name(name: str) -> str:
    """Return the name of a lab, which becomes part of names of namespaces, directories and sockets."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,11}", name):
        raise PlanError(
            f"LAB_NAME is {name!r}; use 1 to 12 characters of a-z, 0-9 and '-', the first one a letter, e.g. lab2."
        )
    if name in ("cache", "templates", "layers", "lock"):
        raise PlanError(f"LAB_NAME is {name!r}, the name of something that all labs share; choose another.")
    return name


def lab_home(root: str, name: str) -> str:
    """Return the directory of a lab; refuse a name that would lead elsewhere."""
    return os.path.join(os.path.realpath(root), check_name(name))


def check_suite(suite: str) -> str:
    if suite not in SUITES:
        raise PlanError(f"LAB_SUITE is {suite!r}; choose one of {', '.join(SUITES)}.")
    return suite


def check_computes(computes) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", str(computes)) or not 1 <= int(computes) <= MAX_COMPUTES:
        raise PlanError(f"LAB_COMPUTES is {computes!r}; give a whole number from 1 to {MAX_COMPUTES}.")
    return int(computes)


def check_layout(layout: str, layouts: dict) -> dict:
    if layout not in layouts:
        known = "; ".join(f"{key} ({value['description']})" for key, value in layouts.items())
        raise PlanError(f"LAB_LAYOUT is {layout!r}; choose one of: {known}.")
    return layouts[layout]


def load_layouts(path: str) -> dict:
    """Return the known layouts, a map of name to machines."""
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def merge_request(asked: dict, remembered: dict | None) -> dict:
    """Return the request: what was asked for now, else what the lab was made with, else the default.

    An existing lab keeps its suite and layout: its machines are full of packages of the one and names of the other.
    """
    before = remembered or {}
    result = {key: asked.get(key) or before.get(key) or default for key, default in DEFAULTS.items()}
    for key in ("suite", "layout"):
        if before.get(key) and result[key] != before[key]:
            name = before.get("name")
            raise PlanError(
                f"Lab {name!r} was made with LAB_{key.upper()}={before[key]}, and LAB_{key.upper()}={result[key]} is "
                f"asked for now. Take it down first (make lab-down LAB_NAME={name}) or choose another LAB_NAME."
            )
    return result


def expand_machines(layout: dict, computes: int) -> list:
    """Return the machines of a layout: name, kind, address and groups of each."""
    machines = []
    for row in layout["machines"]:
        count = computes if row["count"] == "computes" else row["count"]
        for index in range(count):
            machines.append(
                {
                    "name": f"{row['kind']}{index + 1}",
                    "kind": row["kind"],
                    "address": str(ipaddress.IPv4Address(row["first_address"]) + index),
                    "groups": list(row["groups"]),
                    "memory_mb": row.get("memory_mb", 1000),
                }
            )
    addresses = [machine["address"] for machine in machines]
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise PlanError(f"The layout gives {', '.join(twice)} to two machines; move first_address of one kind.")
    return machines


def make_plan(name: str, asked: dict, remembered: dict | None, layouts: dict) -> dict:
    """Return the whole lab as data: what `state.json` holds and every later step reads."""
    check_name(name)
    if asked.get("suite"):
        check_suite(asked["suite"])
    if asked.get("layout"):
        check_layout(asked["layout"], layouts)
    request = merge_request(asked, remembered)
    check_suite(request["suite"])
    layout = check_layout(request["layout"], layouts)
    computes = check_computes(request["computes"])
    ports = {forward["name"]: forward["listen"] for forward in (remembered or {}).get("forwards", [])}
    return {
        "name": name,
        "suite": request["suite"],
        "layout": request["layout"],
        "computes": computes,
        "layer": request["layer"],
        "machines": expand_machines(layout, computes),
        "forwards": [{**row, "listen": ports.get(row["name"], row["listen"])} for row in layout.get("forwards", [])],
    }


def namespace(lab: str, machine: str = "") -> str:
    """Return the name of the network namespace of a lab, or of one of its machines."""
    return f"nova-{lab}.{machine}" if machine else f"nova-{lab}"


def hosts_file(machines: list) -> str:
    """Return /etc/hosts of every machine: all machines of the lab, each on its management address."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{machine['address']} {machine['name']}" for machine in machines]
    return "\n".join(lines) + "\n"


def sources_list(suite: str, address: str, has: dict) -> str:
    """Return /etc/apt/sources.list: the names under which the lab's package cache offers the mirror."""
    rows = [("debian", suite)]
    if has.get("updates"):
        rows.append(("debian", f"{suite}-updates"))
    if has.get("security"):
        rows.append(("debian-security", f"{suite}-security"))
    return "".join(f"deb http://{address}/{path} {name} main\n" for path, name in rows)


def control_path(lab_dir: str) -> str:
    """Return the directory for ssh's connection sockets: in the lab, unless that makes too long a socket path."""
    inside = os.path.join(lab_dir, "ssh")
    if len(inside) + len("/255.255.255.255") + SSH_SUFFIX <= SOCKET_PATH_MAX:
        return inside
    return f"/run/nova-lab-{abs(hash_text(lab_dir)) % 10**8:08d}"


def hash_text(text: str) -> int:
    """Return a number that is the same in every process (Python's own hash() is not)."""
    value = 0
    for byte in text.encode():
        value = (value * 131 + byte) % (2**61 - 1)
    return value


def ssh_arguments(lab: str, lab_dir: str) -> str:
    """Return ssh's options to reach a machine of the lab from outside its network namespace."""
    options = {
        "UserKnownHostsFile": f"{lab_dir}/known_hosts",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "ControlMaster": "auto",
        "ControlPersist": "600s",
        "ControlPath": f"{control_path(lab_dir)}/%h",
        "ServerAliveInterval": "10",
        "ProxyCommand": f"'ip netns exec {namespace(lab)} socat - TCP4:%h:%p'",
    }
    return "-F none " + " ".join(f"-o {key}={value}" for key, value in options.items())


def inventory(plan: dict, lab_dir: str, secrets: dict, forwards: list | None = None) -> dict:
    """Return Ansible's dynamic inventory of a lab; every value is literal, for readers that render nothing."""
    ports = {forward["name"]: forward["listen"] for forward in forwards or plan["forwards"]}
    hostvars = {
        machine["name"]: {
            "ansible_host": machine["address"],
            "ansible_user": "root",
            "ansible_ssh_private_key_file": f"{lab_dir}/id_ed25519",
            "ansible_ssh_common_args": ssh_arguments(plan["name"], lab_dir),
            "ansible_python_interpreter": "/usr/bin/python3",
            "management_address": machine["address"],
            "provider_interface": "eth1",
        }
        for machine in plan["machines"]
    }
    groups: dict = {}
    for machine in plan["machines"]:
        for group in ["lab", *machine["groups"]]:
            groups.setdefault(group, {"hosts": []})["hosts"].append(machine["name"])
    shared = {
        "lab_name": plan["name"],
        "lab_suite": plan["suite"],
        "lab_directory": lab_dir,
        "lab_namespace": namespace(plan["name"]),
        **{f"lab_{name}_url_base": f"http://127.0.0.1:{port}" for name, port in ports.items()},
    }
    return {
        "_meta": {"hostvars": hostvars},
        "all": {"children": ["ungrouped", *groups], "vars": {**secrets, **shared}},
        **groups,
    }
