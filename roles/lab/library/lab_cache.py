#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_cache
short_description: Run the package cache that all labs of a checkout share
description:
  - Finds the Debian mirror in the apt configuration of this computer and runs apt-cacher-ng in front of it, on a
    loopback port. All its files are in one directory; labs connect through a socket file in it.
  - With C(state=absent), the processes are stopped and the packages are kept.
options:
  root:
    description: Root directory of all labs; the cache is its subdirectory C(cache).
    type: path
    required: true
  suite:
    description: Debian suite that the mirror must have. Required with C(state=started).
    type: str
  state:
    description: Whether the cache runs. With C(absent), it is stopped unless a running lab uses it.
    type: str
    choices: [started, absent]
    default: started
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Run the package cache
  lab_cache:
    root: "{{ playbook_dir }}/../.lab"
    suite: trixie
"""

RETURN = r"""
port:
  description: Loopback port of the cache.
  type: int
  returned: when started
mirror:
  description: The mirror's URIs - main, security - and whether it has updates for the suite.
  type: dict
  returned: when started
"""

import glob
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import atomic_file
from ansible.module_utils.lab_mirror import apt_proxy, apt_uris, cache_config, fetch_release, find_mirror
from ansible.module_utils.lab_process import (
    LabError,
    accepts,
    free_port,
    locked,
    read_json,
    run,
    running,
    start,
    stop,
    tail,
)
from ansible.module_utils.message import Message

PROCESSES = ("server", "socket")


def find(directory: str, suite: str, write: bool) -> tuple:
    """Return the mirror of a suite and the proxy. The mirror is stored until the sources of apt change."""
    path = os.path.join(directory, "mirror.json")
    uris, proxy = apt_uris(), apt_proxy()
    sources = {"uris": uris, "proxy": proxy}
    known = read_json(path)
    suites = known["suites"] if known.get("sources") == sources else {}
    if suite not in suites:
        architecture = run(["dpkg", "--print-architecture"]).out.strip()
        suites[suite] = find_mirror(suite, architecture, uris, lambda uri, name: fetch_release(uri, name, proxy))
        if write:
            atomic_file.write(path, json.dumps({"sources": sources, "suites": suites}, indent=2) + "\n")
    return suites[suite], proxy


def ensure(directory: str, suite: str, check_mode: bool) -> dict:
    """Run the cache and its socket with the current configuration."""
    if not check_mode:
        for part in ("store", "log", "conf"):
            os.makedirs(os.path.join(directory, part), exist_ok=True)
    mirror, proxy = find(directory, suite, not check_mode)
    files = {name: os.path.join(directory, f"{name}.pid") for name in PROCESSES}
    port = read_json(os.path.join(directory, "port.json")).get("port", 0)
    config_file = os.path.join(directory, "conf", "acng.conf")
    current = port and os.path.exists(config_file)
    if current:
        with open(config_file, encoding="utf-8") as stream:
            current = stream.read() == cache_config(directory, port, mirror, proxy)
    if current and all(running(path) for path in files.values()) and accepts("127.0.0.1", port):
        return {"changed": False, "port": port, "mirror": mirror}
    if not check_mode:
        for path in files.values():
            stop(path)
        port = free_port(port or 3142)
        atomic_file.write(os.path.join(directory, "port.json"), json.dumps({"port": port}))
        atomic_file.write(config_file, cache_config(directory, port, mirror, proxy))
        log = os.path.join(directory, "log", "process.log")
        start(files["server"], ["apt-cacher-ng", "-c", os.path.join(directory, "conf")], directory, log)
        address = f"TCP4:127.0.0.1:{port}"
        start(
            files["socket"],
            ["socat", "UNIX-LISTEN:apt.sock,fork,mode=600,unlink-early,backlog=128", address],
            directory,
            log,
        )
        deadline = time.monotonic() + 15
        while not (accepts("127.0.0.1", port) and os.path.exists(os.path.join(directory, "apt.sock"))):
            if time.monotonic() > deadline or not running(files["server"]):
                raise LabError(Message(f"apt-cacher-ng did not start; {log} ends with: {tail(log)}"))
            time.sleep(0.05)
    return {"changed": True, "port": port, "mirror": mirror}


def remove(directory: str, check_mode: bool) -> dict:
    """Stop the processes unless a lab uses them."""
    if any(running(path) for path in glob.glob(os.path.join(glob.escape(os.path.dirname(directory)), "*", "apt.pid"))):
        return {"changed": False}
    files = [os.path.join(directory, f"{name}.pid") for name in PROCESSES]
    changed = any(running(path) for path in files)
    if not check_mode and os.path.isdir(directory):
        for path in files:
            stop(path)
        if os.path.exists(os.path.join(directory, "apt.sock")):
            os.unlink(os.path.join(directory, "apt.sock"))
    return {"changed": changed}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "suite": {"type": "str"},
            "state": {"type": "str", "choices": ["started", "absent"], "default": "started"},
        },
        required_if=[("state", "started", ["suite"])],
        supports_check_mode=True,
    )
    directory, check_mode = os.path.join(os.path.realpath(module.params["root"]), "cache"), module.check_mode
    try:
        if check_mode and not os.path.isdir(directory):
            result = {"changed": module.params["state"] == "started", "port": 0, "mirror": {}}
            if result["changed"]:
                result["mirror"] = find(directory, module.params["suite"], False)[0]
        else:
            with locked(os.path.join(directory, "lock")):
                if module.params["state"] == "started":
                    result = ensure(directory, module.params["suite"], check_mode)
                else:
                    result = remove(directory, check_mode)
    except LabError as error:
        module.fail_json(msg=error.message)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
