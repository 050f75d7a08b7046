#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_template
short_description: Make the read-only root file system that lab machines stand on
description:
  - Makes the root file system of a Debian suite with mmdebstrap through the labs' package cache, once; its name holds a
    digest of what it is made of. A half-made one of an earlier run is removed and made again.
options:
  root:
    description: Directory for everything of the labs; templates are in its subdirectory C(templates).
    type: path
    required: true
  suite:
    description: Debian suite.
    type: str
    required: true
  cache_port:
    description: Loopback port of the package cache; 0 in check mode, where there may be none yet.
    type: int
    required: true
  mirror:
    description: The mirror as the module lab_cache found it.
    type: dict
    required: true
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author: nova-ansible
"""

EXAMPLES = r"""
- name: Make the root file system of the machines
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
  description: How long making it took.
  type: float
  returned: success
"""

import glob
import os
import shutil
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_plan import sources_list
from ansible.module_utils.lab_process import LabError, locked, run, write_file
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


def finish(root: str, suite: str, port: int, mirror: dict) -> None:
    """Turn what mmdebstrap made into a blank machine of the lab."""
    for path, text in FILES.items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        if os.path.islink(root + path):
            os.unlink(root + path)
        write_file(root + path, text)
    for path in glob.glob(f"{root}/etc/ssh/ssh_host_*"):
        os.unlink(path)
    for unit in MASKED_UNITS:
        os.symlink("/dev/null", f"{root}/etc/systemd/system/{unit}")
    # sshd of trixie refuses an address that often connects without logging in; bookworm's does not know the option.
    penalties = f"{root}/etc/ssh/sshd_config.d/lab.conf"
    write_file(penalties, SSHD + SSHD_SINCE_9_8)
    if "PerSourcePenalties" in run(["chroot", root, "/usr/sbin/sshd", "-t"], check=False).stderr:
        write_file(penalties, SSHD)
    # The package lists stay, under the name by which machines know the cache: their first `apt-get update` is short.
    for path in glob.glob(f"{root}/var/lib/apt/lists/127.0.0.1:{port}_*"):
        os.rename(path, path.replace(f"127.0.0.1:{port}", cache_address()))
    write_file(f"{root}/etc/apt/sources.list", sources_list(suite, cache_address(), mirror))
    for path in glob.glob(f"{root}/etc/apt/sources.list.d/*"):
        os.unlink(path)
    for command in IN_ROOT:
        run(["chroot", root, *command])


def make(root: str, suite: str, port: int, mirror: dict, lock: int) -> None:
    """Make the root file system under another name and rename it when it is whole."""
    building = f"{root}.building"
    shutil.rmtree(building, ignore_errors=True)
    log = f"{root}.log"
    sources = f"{root}.list"
    write_file(sources, sources_list(suite, f"127.0.0.1:{port}", mirror))
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
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
        raise LabError(
            f"mmdebstrap could not make a root file system of {suite}: {' '.join(lines[-4:])} The whole log is {log}. "
            "If it speaks of the network or of hash sums, try again; if of keys, upgrade debian-archive-keyring."
        )
    finish(building, suite, port, mirror)
    os.rename(building, root)
    os.unlink(sources)


def main() -> None:
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
    architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
    root = os.path.join(directory, template_name(params["suite"], architecture, params["mirror"]))
    changed = not os.path.isdir(root)
    if changed and not module.check_mode:
        try:
            with locked(os.path.join(directory, "lock")) as lock:
                changed = not os.path.isdir(root)
                if changed:
                    make(root, params["suite"], params["cache_port"], params["mirror"], lock)
        except LabError as error:
            module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        path=root,
        seconds=round(time.monotonic() - began, 1),
        diff={"before": "" if changed else f"{root}\n", "after": f"{root}\n"},
    )


if __name__ == "__main__":
    main()
