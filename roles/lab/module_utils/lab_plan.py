# SPDX-License-Identifier: Apache-2.0
"""The plan of a lab: from a few settings (name, suite, layout, number of computes) to its machines.

Pure functions over data, which the inventory script uses too; it may run with a Python that has no Ansible.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shlex
import zlib
from collections.abc import Iterable

from ansible.module_utils.message import Message, OperatorError

# The settings in the order of the documentation; the default of the suite is in the catalog of releases.
DEFAULTS: dict = {"suite": "", "layout": "split", "computes": 1, "layer": "", "family": "ipv4", "alphabet": "plain"}
LASTING = ("suite", "layout", "family", "alphabet")  # an existing lab keeps these
MAX_COMPUTES = 20
PROVIDER_GATEWAY = "10.88.0.1"
PREFIX = 24
CACHE_PORT = 3142
CACHE_NAME = "packages"  # in /etc/hosts of every machine, so that a root file system fits both families
# The management network of each family: the address before the number of a machine, and the length of the prefix.
FAMILIES = {"ipv4": ("10.77.0.", 24), "ipv6": ("fd00:77::", 64)}
GATEWAY_NUMBER = "1"
# The characters of new secrets in addition to letters and digits: those with a meaning in a URL, a shell, an ini file,
# a template or a percent-encoding.
ALPHABETS = {"plain": "", "special": "@:/#%+=$?"}
SOCKET_PATH_MAX = 107  # sizeof(sun_path) - 1
SSH_SUFFIX = 17  # ssh first makes ControlPath + "." + 16 characters, then renames


class PlanError(OperatorError):
    """The settings do not describe a possible lab."""


def check_name(name: str) -> str:
    """Return the name of a lab; raise PlanError if it cannot be part of the names of namespaces and sockets."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,11}", name):
        text = Message(
            f"LAB_NAME is {name!r}; use 1 to 12 characters of a-z, 0-9 and '-', the first one a letter, e.g. lab2."
        )
        raise PlanError(text)
    if name in ("cache", "templates", "layers", "lock"):
        raise PlanError(Message(f"LAB_NAME is {name!r}, a reserved name; choose another one."))
    return name


def lab_home(root: str, name: str) -> str:
    """Return the directory of a lab; raise PlanError if the name is bad."""
    return os.path.join(os.path.realpath(root), check_name(name))


def read_releases(text: str) -> dict:
    """Return the releases of the catalog, oldest first, each with its suite and whether it can be deployed.

    The inventory script may run with a Python that has no YAML. So this reads only these lines of the catalog: a
    release at the second level of `cloud_releases`, its suite at the third.
    """
    _, _, catalog = f"\n{text}".partition("\ncloud_releases:\n")
    releases: dict = {}
    for line in catalog.splitlines():
        if re.match(r"[^\s#]", line):
            break
        row = re.match(r"  ([\w-]+):\s*(?:#.*)?$", line)
        field = re.match(r"    (suite|deployable): *[\"']?([\w-]+)[\"']?\s*(?:#.*)?$", line)
        if row:
            releases[row[1]] = {"suite": "", "deployable": True}
        elif field and releases:
            value = field[2] if field[1] == "suite" else field[2].lower() not in ("false", "no")
            releases[list(releases)[-1]][field[1]] = value
    unclear = [name for name, row in releases.items() if not row["suite"]]
    if unclear or not any(row["deployable"] for row in releases.values()):
        what = f"has no suite for {', '.join(unclear)}" if unclear else "has no release that can be deployed"
        text = Message(
            f"The catalog of releases {what}; write each release below cloud_releases, with its suite on its own line."
        )
        raise PlanError(text)
    return releases


def load_releases(path: str) -> dict:
    """Return the releases in a catalog file."""
    with open(path, encoding="utf-8") as stream:
        return read_releases(stream.read())


def suites(releases: dict) -> dict:
    """Return every suite of the catalog, oldest first, with its newest release, preferably one that can be deployed."""
    found: dict = {}
    for deployable in (False, True):
        found.update({row["suite"]: name for name, row in releases.items() if row["deployable"] is deployable})
    return {suite: found[suite] for suite in dict.fromkeys(row["suite"] for row in releases.values())}


def default_suite(releases: dict) -> str:
    """Return the suite of the newest release that can be deployed."""
    return [row["suite"] for row in releases.values() if row["deployable"]][-1]


def check_choice(key: str, value: str, choices: Iterable[str]) -> str:
    """Return a setting; raise PlanError if it is not one of the choices."""
    if value not in choices:
        raise PlanError(Message(f"LAB_{key.upper()} is {value!r}; choose one of {', '.join(choices)}."))
    return value


def check_computes(computes: str | int) -> int:
    """Return the number of compute hosts; raise PlanError if it is out of range."""
    if not re.fullmatch(r"[0-9]{1,3}", str(computes)) or not 1 <= int(computes) <= MAX_COMPUTES:
        raise PlanError(Message(f"LAB_COMPUTES is {computes!r}; give a whole number from 1 to {MAX_COMPUTES}."))
    return int(computes)


def check_layout(layout: str, layouts: dict) -> dict:
    """Return a layout; raise PlanError if it does not exist."""
    if layout not in layouts:
        known = "; ".join(f"{key} ({value['description']})" for key, value in layouts.items())
        raise PlanError(Message(f"LAB_LAYOUT is {layout!r}; choose one of: {known}."))
    return layouts[layout]


def load_layouts(path: str) -> dict:
    """Return the known layouts, a map of name to machines."""
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def merge_request(requested: dict, remembered: dict | None) -> dict:
    """Return the settings: the requested ones, or else those of the existing lab, or else the defaults.

    An existing lab keeps its suite, layout, family and alphabet: its machines depend on them.
    """
    before = {**{key: DEFAULTS[key] for key in ("family", "alphabet")}, **remembered} if remembered else {}
    result: dict = {key: requested.get(key) or before.get(key) or default for key, default in DEFAULTS.items()}
    for key in LASTING:
        if before.get(key) and result[key] != before[key]:
            name = before.get("name")
            text = Message(
                f"Lab {name!r} was created with LAB_{key.upper()}={before[key]}, but LAB_{key.upper()}={result[key]} "
                f"is requested. Remove it first (make lab-down LAB_NAME={name}) or choose another LAB_NAME."
            )
            raise PlanError(text)
    return result


def management_address(address: str, family: str) -> str:
    """Return an IPv4 address of a layout in a family; the last number, as written, is the same in both."""
    return FAMILIES[family][0] + address.rpartition(".")[2] if family != "ipv4" else address


def family_of(address: str) -> str:
    """Return the family of a management address."""
    return "ipv6" if ":" in address else "ipv4"


def gateway(family: str) -> str:
    """Return the address of the lab's namespace on the management network."""
    return FAMILIES[family][0] + GATEWAY_NUMBER


def with_prefix(address: str) -> str:
    """Return a management address with its prefix, for `ip`."""
    return f"{address}/{FAMILIES[family_of(address)][1]}"


def number_of(address: str) -> str:
    """Return the number of a machine in the management network, which is part of the names of its devices."""
    return re.split(r"[.:]", address)[-1]


def socket_host(address: str) -> str:
    """Return an address in the form that socat and URLs need before a port."""
    return f"[{address}]" if family_of(address) == "ipv6" else address


def socat_protocol(address: str) -> str:
    """Return socat's name of TCP for the family of an address."""
    return "TCP6" if family_of(address) == "ipv6" else "TCP4"


def expand_machines(layout: dict, computes: int, family: str = "ipv4") -> list:
    """Return the machines of a layout: name, kind, address and groups of each."""
    machines = []
    for row in layout["machines"]:
        count = computes if row["count"] == "computes" else row["count"]
        for index in range(count):
            machines.append(
                {
                    "name": f"{row['kind']}{index + 1}",
                    "kind": row["kind"],
                    "address": management_address(str(ipaddress.IPv4Address(row["first_address"]) + index), family),
                    "groups": list(row["groups"]),
                    "memory_mb": row.get("memory_mb", 1000),
                }
            )
    addresses = [machine["address"] for machine in machines]
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        text = Message(f"The layout gives {', '.join(twice)} to two machines; change first_address of one kind.")
        raise PlanError(text)
    return machines


def make_plan(name: str, requested: dict, remembered: dict | None, layouts: dict, releases: dict) -> dict:
    """Return the lab as data, which `state.json` stores and every later step reads."""
    check_name(name)
    choices: dict[str, dict] = {"suite": suites(releases), "family": FAMILIES, "alphabet": ALPHABETS}
    for key in [key for key in choices if requested.get(key)]:
        check_choice(key, requested[key], choices[key])
    if requested.get("layout"):
        check_layout(requested["layout"], layouts)
    request = merge_request(requested, remembered)
    request["suite"] = request["suite"] or default_suite(releases)
    for key, values in choices.items():
        check_choice(key, request[key], values)
    layout = check_layout(request["layout"], layouts)
    computes = check_computes(request["computes"])
    ports = {forward["name"]: forward["listen"] for forward in (remembered or {}).get("forwards", [])}
    return {
        "name": name,
        "suite": request["suite"],
        "layout": request["layout"],
        "computes": computes,
        "layer": request["layer"],
        "family": request["family"],
        "alphabet": request["alphabet"],
        "machines": expand_machines(layout, computes, request["family"]),
        "forwards": [{**row, "listen": ports.get(row["name"], row["listen"])} for row in layout.get("forwards", [])],
    }


def namespace(lab: str, machine: str = "") -> str:
    """Return the name of the network namespace of a lab, or of one of its machines."""
    return f"nova-{lab}.{machine}" if machine else f"nova-{lab}"


def hosts_file(machines: list) -> str:
    """Return /etc/hosts of every machine: the package cache, and all machines, each on its management address."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{gateway(family)} {CACHE_NAME}" for family in sorted({family_of(row["address"]) for row in machines})]
    lines += [f"{machine['address']} {machine['name']}" for machine in machines]
    return "\n".join(lines) + "\n"


def sources_list(suite: str, address: str, has: dict) -> str:
    """Return /etc/apt/sources.list with the names of the mirror in the lab's package cache."""
    rows = [("debian", suite)]
    if has.get("updates"):
        rows.append(("debian", f"{suite}-updates"))
    if has.get("security"):
        rows.append(("debian-security", f"{suite}-security"))
    return "".join(f"deb http://{address}/{path} {name} main\n" for path, name in rows)


def control_path(lab_dir: str) -> str:
    """Return the directory of ssh's connection sockets: in the lab, unless the path of a socket would be too long."""
    inside = os.path.join(lab_dir, "ssh")
    if len(inside) + len("/255.255.255.255") + SSH_SUFFIX <= SOCKET_PATH_MAX:
        return inside
    return f"/run/nova-lab-{zlib.crc32(lab_dir.encode()):010d}"


def ssh_options(lab: str, lab_dir: str, family: str = "ipv4") -> dict:
    """Return the options of ssh for a machine of the lab, from outside its network namespace."""
    proxy = {"ipv4": "TCP4:%h:%p", "ipv6": '"TCP6:[%h]:%p"'}[family]  # ssh gives it to a shell
    return {
        "UserKnownHostsFile": f"{lab_dir}/known_hosts",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "ServerAliveInterval": "10",
        "ProxyCommand": f"ip netns exec {namespace(lab)} socat - {proxy}",
    }


def option_words(options: dict) -> list:
    """Return ssh's options as arguments of a command."""
    return ["-F", "none", *[word for key, value in options.items() for word in ("-o", f"{key}={value}")]]


def ssh_arguments(lab: str, lab_dir: str, family: str = "ipv4") -> str:
    """Return ssh's arguments for Ansible, with shared connections."""
    shared = {"ControlMaster": "auto", "ControlPersist": "600s", "ControlPath": f"{control_path(lab_dir)}/%h"}
    return shlex.join(option_words({**ssh_options(lab, lab_dir, family), **shared}))


def shell_command(plan: dict, lab_dir: str) -> list:
    """Return the ssh command for the first controller of a lab."""
    machine = next(row for row in plan["machines"] if "nova_controllers" in row["groups"])
    options = option_words(ssh_options(plan["name"], lab_dir, family_of(machine["address"])))
    return ["ssh", *options, "-i", f"{lab_dir}/id_ed25519", f"root@{machine['address']}"]


def inventory(plan: dict, lab_dir: str, secrets: dict, releases: dict) -> dict:
    """Return Ansible's dynamic inventory of a lab; every value is literal, for readers without templating."""
    hostvars = {
        machine["name"]: {
            "ansible_host": machine["address"],
            "ansible_user": "root",
            "ansible_ssh_private_key_file": f"{lab_dir}/id_ed25519",
            "ansible_ssh_common_args": ssh_arguments(plan["name"], lab_dir, family_of(machine["address"])),
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
        "lab_release": suites(releases).get(plan["suite"], ""),
        "lab_directory": lab_dir,
        "lab_namespace": namespace(plan["name"]),
        "lab_secret_characters": ALPHABETS[plan.get("alphabet", DEFAULTS["alphabet"])],
        **{f"lab_{row['name']}_url_base": f"http://127.0.0.1:{row['listen']}" for row in plan["forwards"]},
    }
    return {
        "_meta": {"hostvars": hostvars},
        "all": {"children": ["ungrouped", *groups], "vars": {**secrets, **shared}},
        **groups,
    }
