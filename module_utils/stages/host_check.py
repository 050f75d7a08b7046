# SPDX-License-Identifier: Apache-2.0
"""What a host is and whether a deployment can work on it: read only, in one call."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from urllib.parse import urlsplit

from ansible.module_utils.host.listeners import listening_units


def os_release(text: str) -> dict:
    """Fields of /etc/os-release."""
    return {k: v.strip("\"'") for k, v in re.findall(r"^(\w+)=(.*)$", text, re.M)}


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def ovs_datapath(modules: str, loaded: bool) -> str:
    """The kernel's datapath where its module exists (loaded, built in or on disk), else the one in userspace."""
    return "system" if loaded or re.search(r"/openvswitch\.ko", modules) else "netdev"


def machine() -> dict:
    release = os_release(read("/etc/os-release"))
    memory = re.search(r"^MemTotal:\s+(\d+)", read("/proc/meminfo"), re.M)
    folder = f"/lib/modules/{os.uname().release}"
    return {
        "distribution": release.get("ID", ""),
        "suite": release.get("VERSION_CODENAME", ""),
        "architecture": os.uname().machine,
        "hostname": socket.gethostname(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": int(memory.group(1)) // 1024 if memory else 0,
        "ovs_datapath": ovs_datapath(
            read(folder + "/modules.dep") + read(folder + "/modules.builtin"), os.path.isdir("/sys/module/openvswitch")
        ),
    }


def installed_packages(packages: list) -> dict:
    """Name to version of those that are installed."""
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return dict(line[3:].split() for line in asked.splitlines() if line.startswith("ii"))


def addresses() -> set:
    shown = subprocess.run(["ip", "-o", "address"], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"inet6? ([0-9a-f.:]+)", shown))


def mirrors(shown: str) -> list:
    """Every repository over the network among what `apt-get update --print-uris` shows, in its order."""
    return list(dict.fromkeys(re.findall(r"^'(https?://[^']+?)/(?:dists/[^']+/)?InRelease'", shown, re.M)))


def mirror_problem() -> str | None:
    """Nothing when apt's sources answer; whoever reads this at night needs the name of the one that does not."""
    # Not indextargets: that one lists only what has been downloaded before.
    shown = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=False).stdout
    proxy = subprocess.run(
        ["apt-config", "shell", "P", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    ).stdout
    proxy = re.search(r"P='([^']+)'", proxy)
    asked = set()
    for uri in mirrors(shown):
        parts = urlsplit(proxy.group(1) if proxy else uri)
        end = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        if end in asked:
            continue
        asked.add(end)
        try:
            socket.create_connection(end, 5).close()
        except OSError as error:
            return (
                f"the package mirror {uri} cannot be reached ({error}); check /etc/apt/sources.list, "
                "/etc/apt/sources.list.d and the network, or the proxy in apt's configuration"
            )
    if not asked:
        return "apt has no package source over the network; write one to /etc/apt/sources.list.d and run apt-get update"
    return None


def problems(p: dict, facts: dict, installed: dict) -> list:
    found = []
    if os.geteuid() != 0:
        return [f"not root (uid {os.geteuid()}); set ansible_user: root, or ansible_become: true with sudo rights"]
    if p["suite"] and facts["suite"] != p["suite"]:
        found.append(
            f"this host is {facts['distribution']} {facts['suite']}, but the release belongs to {p['suite']}; "
            "choose the release of this suite, or install the other suite"
        )
    if p["address"] and p["address"] not in addresses():
        found.append(
            f"management_address {p['address']} is not an address of this host "
            f"(it has {', '.join(sorted(addresses()))}); correct it in the inventory"
        )
    if p["interface"] and not os.path.exists(f"/sys/class/net/{p['interface']}"):
        found.append(
            f"provider_interface {p['interface']} does not exist; this host has "
            f"{', '.join(sorted(os.listdir('/sys/class/net')))}"
        )
    try:
        socket.getaddrinfo(facts["hostname"], None)
    except OSError:
        found.append(
            f'the host name {facts["hostname"]} does not resolve; add "{p["address"]} {facts["hostname"]}" to '
            "/etc/hosts (Debian's nova-common cannot be configured without)"
        )
    if facts["memory_mb"] < p["min_memory_mb"]:
        found.append(
            f"{facts['memory_mb']} MiB of memory, at least {p['min_memory_mb']} MiB wanted; add memory, or lower "
            "preflight_min_memory_mb if you know better"
        )
    if p["now"] and abs(time.time() - p["now"]) > p["max_clock_skew"]:
        found.append(
            f"the clock differs from the control node's by {time.time() - p['now']:+.0f} s (at most "
            f"{p['max_clock_skew']:.0f} s); let NTP set it (timedatectl set-ntp true)"
        )
    if p["tun"] and not os.path.exists("/dev/net/tun"):
        found.append("/dev/net/tun does not exist; load the module tun, or pass the device into the container")
    missing = sorted(set(p["packages"]) - set(installed))
    free = shutil.disk_usage("/var").free // 2**20
    if missing and free < p["min_disk_mb"]:
        found.append(f"{free} MiB free below /var, at least {p['min_disk_mb']} MiB wanted for {len(missing)} packages")
    problem = mirror_problem() if missing else None
    found += [problem] if problem else []
    holders = listening_units()
    for port, units in sorted(p["ports"].items(), key=lambda item: int(item[0])):
        for holder in holders.get(int(port), []):
            if holder["unit"] not in units:
                found.append(
                    f"port {port} is already taken by {holder['process']} ({holder['unit'] or 'no unit'}); stop it, "
                    f"it is wanted by {' or '.join(units)}"
                )
    return found


def argument_spec() -> dict:
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


def run(module) -> None:
    """Read the host, name its problems."""
    facts, wanted = machine(), module.params["versions"]
    installed = installed_packages([*module.params["packages"], *wanted])
    module.exit_json(
        changed=False,
        ansible_facts={"nova_ansible_host": facts},
        problems=problems(module.params, facts, installed),
        versions={name: installed[name] for name in wanted if name in installed},
    )
