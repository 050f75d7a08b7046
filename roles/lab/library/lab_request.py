#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_request
short_description: Decide what a lab consists of, and whether this computer can carry it
description:
  - Turns the few words that describe a lab into its machines, remembers that in the lab's C(state.json), and returns
    it. What is not given is taken from there, else from the defaults.
  - Refuses, before anything is changed, what cannot work - an unknown suite or layout, too many computes, a user who is
    not root, too little disk or memory, a kernel or file system without overlayfs.
options:
  root:
    description: Directory for everything of the labs.
    type: path
    required: true
  name:
    description: Name of the lab.
    type: str
    required: true
  layouts:
    description: File with the known layouts.
    type: path
    required: true
  releases:
    description: File with the catalog of releases; a suite that it names can be asked for.
    type: path
    required: true
  suite:
    description:
      - Debian suite of the machines; empty takes what the lab was made with, else that of the newest release that can
        be deployed.
    type: str
    default: ""
  layout:
    description: Name of a layout; empty takes what the lab was made with, else C(split).
    type: str
    default: ""
  computes:
    description: Number of compute hosts, 1 to 20; empty takes what the lab was made with, else 1.
    type: str
    default: ""
  layer:
    description: Set of package layers to start new machines on; empty takes what the lab was made with, else none.
    type: str
    default: ""
  family:
    description:
      - Family of the management network, C(ipv4) or C(ipv6); empty takes what the lab was made with, else C(ipv4).
    type: str
    default: ""
  alphabet:
    description:
      - What the lab's secrets hold, C(plain) letters and digits or C(special) characters as well; empty takes what the
        lab was made with, else C(plain).
    type: str
    default: ""
  minimum_disk_gb:
    description: Free disk space to ask for before machines are made.
    type: int
    default: 12
  check_memory:
    description: Whether to ask for the memory that a deployed cloud needs on the machines to be started.
    type: bool
    default: true
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author: nova-ansible
"""

EXAMPLES = r"""
- name: Decide what the lab consists of
  lab_request:
    root: "{{ playbook_dir }}/../.lab"
    name: lab
    layouts: "{{ role_path }}/files/layouts.json"
    releases: "{{ playbook_dir }}/../roles/cloud/vars/main/releases.yml"
    suite: trixie
    computes: "2"
"""

RETURN = r"""
lab:
  description: The lab - its name, suite, layout, computes, layer, family, alphabet, machines and forwards.
  type: dict
  returned: success
"""

import contextlib
import glob
import json
import os
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_plan import (
    DEFAULTS,
    PlanError,
    lab_home,
    load_layouts,
    load_releases,
    make_plan,
    namespace,
)
from ansible.module_utils.lab_process import LabError, free_port, locked, read_json, run, running, write_file


def existing(directory: str) -> str:
    """Return the directory, or the nearest one above it that exists."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def check_overlay(directory: str) -> None:
    """Mount an overlay for a moment where the machines' disks will lie."""
    probe = tempfile.mkdtemp(prefix=".overlay-", dir=directory)
    try:
        for part in ("lower", "upper", "work", "root"):
            os.mkdir(os.path.join(probe, part))
        options = ",".join(f"{part}dir={part}" for part in ("lower", "upper", "work"))
        mount = ["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "lab", "root"]
        done = run(mount, check=False, cwd=probe)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    if done.returncode != 0:
        reason = (done.stderr.strip() or "mount failed").splitlines()[0]
        raise LabError(
            f"An overlay cannot be mounted in {directory} ({reason}). It needs overlayfs in the kernel (modprobe "
            "overlay) and a file system that can carry an upper layer (ext4, xfs, btrfs; not an overlay, not NFS): "
            "make .lab a symbolic link to a directory on such a disk."
        )


def check_room(directory: str, minimum_gb: int) -> None:
    """Refuse a disk that fills up while packages are installed."""
    free = shutil.disk_usage(directory).free / 1e9
    if free < minimum_gb:
        raise LabError(
            f"{free:.1f} GB are free in {directory}, a lab needs {minimum_gb}: make room, take down a lab that is not "
            "needed (make lab-down LAB_NAME=...), or make .lab a symbolic link to a directory on a bigger disk."
        )


def check_memory(machines: list) -> None:
    """Refuse more machines than the memory carries."""
    with open("/proc/meminfo", encoding="utf-8") as stream:
        available = next(int(line.split()[1]) // 1024 for line in stream if line.startswith("MemAvailable:"))
    needed = sum(machine["memory_mb"] for machine in machines)
    if available < needed:
        raise LabError(
            f"{available} MB of memory are available; {', '.join(row['name'] for row in machines)} with a deployed "
            f"cloud need {needed} MB: end what uses the memory, take down another lab, or ask for fewer computes."
        )


def check_layer(layers: str, plan: dict) -> None:
    """Refuse a set of layers that does not exist, or is of another suite."""
    known = sorted(os.listdir(layers)) if os.path.isdir(layers) else []
    if plan["layer"] not in known:
        raise LabError(f"LAB_LAYER is {plan['layer']!r}; {layers} holds: {', '.join(known) or 'nothing'}.")
    for path in glob.glob(os.path.join(glob.escape(os.path.join(layers, plan["layer"])), "*", "layer.json")):
        suite = read_json(path).get("suite")
        if suite != plan["suite"]:
            raise LabError(
                f"LAB_LAYER={plan['layer']} holds packages of {suite}, the lab is of {plan['suite']}: "
                f"set LAB_SUITE={suite}, or choose another layer."
            )


def choose_ports(plan: dict, remembered: dict, directory: str) -> None:
    """Give each forward a loopback port that stays the lab's own; a port that somebody else took is left to them."""
    others = [entry for entry in os.listdir(directory) if entry != plan["name"]] if os.path.isdir(directory) else []
    states = [read_json(os.path.join(directory, entry, "state.json")) for entry in others]
    taken = {forward["listen"] for state in states for forward in state.get("forwards", [])}
    known = {forward["name"] for forward in remembered.get("forwards", [])}
    for forward in plan["forwards"]:
        pidfile = os.path.join(directory, plan["name"], f"forward-{forward['name']}-out.pid")
        if not (forward["name"] in known and running(pidfile)):
            forward["listen"] = free_port(forward["listen"], taken)
        taken.add(forward["listen"])


def decide(params: dict) -> tuple:
    """Return the lab as it was and as it shall be; raise what is against it."""
    directory, home = os.path.realpath(params["root"]), lab_home(params["root"], params["name"])
    before = read_json(os.path.join(home, "state.json"))
    asked = {key: params[key] for key in DEFAULTS}
    layouts, releases = load_layouts(params["layouts"]), load_releases(params["releases"])
    after = make_plan(params["name"], asked, before, layouts, releases)
    if os.geteuid() != 0:
        raise LabError("The lab makes network namespaces and mounts: run this as root (sudo -E make lab-machines).")
    if after["layer"]:
        check_layer(os.path.join(directory, "layers"), after)
    machines = os.path.join(home, "machines")
    down = [row for row in after["machines"] if not running(os.path.join(machines, row["name"], "machine.pid"))]
    if down:
        check_overlay(existing(directory))
        if params["check_memory"]:
            check_memory(down)
    if not all(os.path.isdir(os.path.join(machines, row["name"], "upper")) for row in down):
        check_room(existing(directory), params["minimum_disk_gb"])
    return before, after


def remember(home: str, lab: dict) -> None:
    """Write down what the lab consists of."""
    os.makedirs(home, exist_ok=True)
    os.chmod(home, 0o700)
    write_file(os.path.join(home, "state.json"), json.dumps(lab, indent=2) + "\n")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "layouts": {"type": "path", "required": True},
            "releases": {"type": "path", "required": True},
            "suite": {"type": "str", "default": ""},
            "layout": {"type": "str", "default": ""},
            "computes": {"type": "str", "default": ""},
            "layer": {"type": "str", "default": ""},
            "family": {"type": "str", "default": ""},
            "alphabet": {"type": "str", "default": ""},
            "minimum_disk_gb": {"type": "int", "default": 12},
            "check_memory": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    root = os.path.realpath(module.params["root"])
    try:
        before, after = decide(module.params)
        # Two labs that are made at the same time shall not choose the same port.
        with contextlib.nullcontext() if module.check_mode else locked(os.path.join(root, "lock")):
            choose_ports(after, before, root)
            if before != after and not module.check_mode:
                remember(lab_home(root, after["name"]), after)
    except (PlanError, LabError) as error:
        module.fail_json(msg=str(error))
    shown = [json.dumps(state, indent=2) + "\n" if state else "" for state in (before, after)]
    module.exit_json(
        changed=before != after,
        lab={**after, "namespace": namespace(after["name"])},
        diff={"before": shown[0], "after": shown[1]},
    )


if __name__ == "__main__":
    main()
