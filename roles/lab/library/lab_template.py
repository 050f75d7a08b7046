#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_template
short_description: Create the read-only root file system of lab machines
description:
  - Creates the root file system of a Debian suite with mmdebstrap through the package cache, once. Its name contains a
    digest of its recipe. An incomplete one of an earlier run is removed and created again.
options:
  root:
    description: Root directory of all labs; templates are in its subdirectory C(templates).
    type: path
    required: true
  suite:
    description: Debian suite.
    type: str
    required: true
  cache_port:
    description: Loopback port of the package cache; 0 in check mode if it does not run yet.
    type: int
    required: true
  mirror:
    description: The mirror, as returned by the module lab_cache.
    type: dict
    required: true
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Create the root file system of the machines
  lab_template:
    root: "{{ playbook_dir }}/../.lab"
    suite: trixie
    cache_port: 3142
    mirror: "{{ __lab_cache.mirror }}"
"""

RETURN = r"""
path:
  description: The root file system.
  type: str
  returned: success
seconds:
  description: Duration, seconds.
  type: float
  returned: success
"""

import glob
import os
import shutil
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import atomic_file
from ansible.module_utils.lab_plan import sources_list
from ansible.module_utils.lab_process import LabError, locked, run
from ansible.module_utils.lab_recipe import (
    FILES,
    IN_ROOT,
    MASKED_UNITS,
    SSHD,
    SSHD_SINCE_9_8,
    bootstrap_command,
    cache_address,
    template_name,
)
from ansible.module_utils.message import Message


def finish(root: str, suite: str, port: int, mirror: dict) -> None:
    """Turn the result of mmdebstrap into the root file system of a blank machine."""
    for path, text in FILES.items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        if os.path.islink(root + path):
            os.unlink(root + path)
        atomic_file.write(root + path, text)
    for path in glob.glob(f"{root}/etc/ssh/ssh_host_*"):
        os.unlink(path)
    for unit in MASKED_UNITS:
        os.symlink("/dev/null", f"{root}/etc/systemd/system/{unit}")
    # sshd of trixie refuses an address that often connects without a login; bookworm's does not have the option.
    penalties = f"{root}/etc/ssh/sshd_config.d/lab.conf"
    atomic_file.write(penalties, SSHD + SSHD_SINCE_9_8)
    if "PerSourcePenalties" in run(["chroot", root, "/usr/sbin/sshd", "-t"], check=False).err:
        atomic_file.write(penalties, SSHD)
    # Keep the package lists, under the machines' name of the cache: their first `apt-get update` is then short.
    for path in glob.glob(f"{root}/var/lib/apt/lists/127.0.0.1:{port}_*"):
        os.rename(path, path.replace(f"127.0.0.1:{port}", cache_address()))
    atomic_file.write(f"{root}/etc/apt/sources.list", sources_list(suite, cache_address(), mirror))
    for path in glob.glob(f"{root}/etc/apt/sources.list.d/*"):
        os.unlink(path)
    for command in IN_ROOT:
        run(["chroot", root, *command])


def make(root: str, suite: str, port: int, mirror: dict, lock: int) -> None:
    """Create the root file system under another name and rename it when it is complete."""
    building = f"{root}.building"
    shutil.rmtree(building, ignore_errors=True)
    log = f"{root}.log"
    sources = f"{root}.list"
    atomic_file.write(sources, sources_list(suite, f"127.0.0.1:{port}", mirror))
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    # Not host/commands.py: the log is written while the command runs, and without the proxies of the caller.
    with open(log, "wb") as output:
        done = subprocess.run(
            bootstrap_command(suite, building, sources),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            pass_fds=(lock,),  # if this module is killed, the next one waits until mmdebstrap has ended too
            check=False,
        )
    if done.returncode != 0:
        with open(log, encoding="utf-8", errors="replace") as stream:
            lines = [line for line in stream.read().splitlines() if line.startswith(("E:", "Err:", "W:"))]
        shutil.rmtree(building, ignore_errors=True)
        text = Message(
            f"mmdebstrap could not create a root file system of {suite}: {' '.join(lines[-4:])} The log is {log}. "
            "For an error of the network or of hash sums, try again; for one of keys, upgrade debian-archive-keyring."
        )
        raise LabError(text)
    finish(building, suite, port, mirror)
    os.rename(building, root)
    os.unlink(sources)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "suite": {"type": "str", "required": True},
            "cache_port": {"type": "int", "required": True},
            "mirror": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    directory = os.path.join(os.path.realpath(params["root"]), "templates")
    began = time.monotonic()
    architecture = run(["dpkg", "--print-architecture"]).out.strip()
    root = os.path.join(directory, template_name(params["suite"], architecture, params["mirror"]))
    changed = not os.path.isdir(root)
    if changed and not module.check_mode:
        try:
            with locked(os.path.join(directory, "lock")) as lock:
                changed = not os.path.isdir(root)
                if changed:
                    make(root, params["suite"], params["cache_port"], params["mirror"], lock)
        except LabError as error:
            module.fail_json(msg=error.message)
    module.exit_json(
        changed=changed,
        path=root,
        seconds=round(time.monotonic() - began, 1),
        diff={"before": "" if changed else f"{root}\n", "after": f"{root}\n"},
    )


if __name__ == "__main__":
    main()
