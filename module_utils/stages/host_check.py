# SPDX-License-Identifier: Apache-2.0
"""Read the facts of a host and find what would stop a deployment on it. Nothing is changed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible.module_utils.host import commands, ovs_datapath
from ansible.module_utils.host.listeners import listeners
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MIRROR_TIMEOUT = 5  # seconds for a connection to a package mirror


def parse_os_release(text: str) -> dict[str, str]:
    """Return the fields of /etc/os-release."""
    return {k: v.strip("\"'") for k, v in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)}


def read(path: str) -> str:
    """Return the text of a file; "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def read_facts() -> dict[str, Any]:
    """Return the facts that decide values of a plan."""
    release = parse_os_release(read("/etc/os-release"))
    memory = re.search(r"^MemTotal:\s+(\d+)", read("/proc/meminfo"), re.MULTILINE)
    return {
        "distribution": release.get("ID", ""),
        "suite": release.get("VERSION_CODENAME", ""),
        "architecture": os.uname().machine,
        "hostname": socket.gethostname(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": int(memory.group(1)) // 1024 if memory else 0,
        "ovs_datapath": ovs_datapath.choose(ovs_datapath.read_kernel()),
    }


def installed_packages(packages: list[str]) -> dict[str, str]:
    """Return {name: version} of those that are installed."""
    shown = commands.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n", *packages]).out
    rows = [line[3:].split() for line in shown.splitlines() if line.startswith("ii")]
    return {name: version for name, version in rows}


def addresses() -> set[str]:
    """Return the IP addresses of this host."""
    return set(re.findall(r"inet6? ([0-9a-f.:]+)", commands.run(["ip", "-o", "address"]).out))


def parse_mirrors(shown: str) -> list[str]:
    """Return each repository on the network in the output of `apt-get update --print-uris`, in its order."""
    found = re.findall(r"^'(https?://[^']+?)/(?:dists/[^']+/)?InRelease'", shown, re.MULTILINE)
    return list(dict.fromkeys(found))


def release_problems(params: dict[str, Any], facts: dict[str, Any]) -> Iterator[Message]:
    """Compare the suite of the host with that of the release."""
    if params["suite"] and facts["suite"] != params["suite"]:
        yield Message(
            f"this host is {facts['distribution']} {facts['suite']}, but the release belongs to {params['suite']}; "
            "choose the release of this suite, or install the other suite"
        )


def network_problems(params: dict[str, Any], facts: dict[str, Any]) -> Iterator[Message]:
    """Check address, interface, host name and the device of virtual interfaces."""
    address, interface, hostname = params["address"], params["interface"], facts["hostname"]
    if address and address not in addresses():
        yield Message(
            f"management_address {address} is not an address of this host (it has {', '.join(sorted(addresses()))}); "
            "correct it in the inventory"
        )
    if interface and not os.path.exists(f"/sys/class/net/{interface}"):
        interfaces = ", ".join(sorted(os.listdir("/sys/class/net")))
        yield Message(f"provider_interface {interface} does not exist; this host has {interfaces}")
    try:
        socket.getaddrinfo(hostname, None)
    except OSError:
        yield Message(
            f'the host name {hostname} does not resolve; add "{address} {hostname}" to /etc/hosts '
            "(Debian's nova-common cannot be configured without)"
        )
    if params["tun"] and not os.path.exists("/dev/net/tun"):
        yield Message("/dev/net/tun does not exist; load the module tun, or pass the device into the container")


def resource_problems(params: dict[str, Any], facts: dict[str, Any], missing: list[str]) -> Iterator[Message]:
    """Check memory, free disk space and the clock."""
    memory, min_memory = facts["memory_mb"], params["min_memory_mb"]
    if memory < min_memory:
        yield Message(
            f"{memory} MiB of memory, at least {min_memory} MiB required; add memory, or lower preflight_min_memory_mb "
            "if this is enough for your instances"
        )
    free, min_free = shutil.disk_usage("/var").free // 2**20, params["min_disk_mb"]
    if missing and free < min_free:
        yield Message(
            f"{free} MiB free below /var, at least {min_free} MiB required for {len(missing)} packages; free some "
            "space, or lower preflight_min_disk_mb"
        )
    skew, max_skew = time.time() - (params["now"] or 0), params["max_clock_skew"]
    if params["now"] and abs(skew) > max_skew:
        yield Message(
            f"the clock differs from the control node's by {skew:+.0f} s (at most {max_skew:.0f} s); "
            "let NTP set it (timedatectl set-ntp true)"
        )


def mirror_problems() -> Iterator[Message]:
    """Connect to each package source, and name the first that cannot be reached."""
    # `apt-get indextargets` would not do: it lists only what has been downloaded before.
    mirrors = parse_mirrors(commands.run(["apt-get", "update", "--print-uris"]).out)
    proxy = re.search(r"P='([^']+)'", commands.run(["apt-config", "shell", "P", "Acquire::http::Proxy"]).out)
    tried = set()
    for uri in mirrors:
        parts = urlsplit(proxy.group(1) if proxy else uri)
        end = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        if end in tried:
            continue
        tried.add(end)
        try:
            socket.create_connection(end, MIRROR_TIMEOUT).close()
        except OSError as error:
            yield Message(
                f"the package mirror {uri} cannot be reached ({error}); check /etc/apt/sources.list, "
                "/etc/apt/sources.list.d and the network, or the proxy in apt's configuration"
            )
            return
    if not mirrors:
        yield Message(
            "apt has no package source on the network; add one to /etc/apt/sources.list.d and run apt-get update"
        )


def port_problems(ports: dict[str, list[str]]) -> Iterator[Message]:
    """Name the processes that listen where a service of this host has to; its own units may."""
    found = listeners()
    for port, units in sorted(ports.items(), key=lambda item: int(item[0])):
        for process, unit in found.get(int(port), []):
            if unit not in units:
                yield Message(
                    f"port {port} is already taken by {process} ({unit or 'no unit'}); stop it, "
                    f"{' or '.join(units)} needs the port"
                )


def problems(params: dict[str, Any], facts: dict[str, Any], installed: dict[str, str]) -> list[Message]:
    """Return what would stop a deployment on this host."""
    uid = os.geteuid()
    if uid != 0:  # the rest could not be checked
        return [Message(f"not root (uid {uid}); set ansible_user: root, or ansible_become: true with sudo rights")]
    missing = sorted(set(params["packages"]) - set(installed))
    return [
        *release_problems(params, facts),
        *network_problems(params, facts),
        *resource_problems(params, facts, missing),
        *(mirror_problems() if missing else ()),
        *port_problems(params["ports"]),
    ]


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    return {
        "address": {"type": "str"},
        "interface": {"type": "str", "default": ""},
        "suite": {"type": "str"},
        "packages": {"type": "list", "elements": "str", "default": []},
        "versions": {"type": "list", "elements": "str", "default": []},
        "ports": {"type": "dict", "default": {}},
        "min_memory_mb": {"type": "int", "default": 0},
        "min_disk_mb": {"type": "int", "default": 0},
        "now": {"type": "float"},
        "max_clock_skew": {"type": "float", "default": 30},
        "tun": {"type": "bool", "default": False},
    }


ARGUMENT_SPEC = argument_spec()


def run(module: AnsibleModule) -> None:
    """Read the host and name its problems."""
    facts, versions = read_facts(), module.params["versions"]
    installed = installed_packages([*module.params["packages"], *versions])
    module.exit_json(
        changed=False,
        ansible_facts={"nova_ansible_host": facts},
        problems=problems(module.params, facts, installed),
        versions={name: installed[name] for name in versions if name in installed},
    )
