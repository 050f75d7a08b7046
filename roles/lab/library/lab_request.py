#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_request
short_description: Plan a lab, and check that this computer can run it
description:
  - Turns a few settings into the machines of a lab, stores the result in the lab's C(state.json), and returns it.
    Settings that are not given are taken from there, or else from the defaults.
  - Fails before anything is changed if the lab cannot work - an unknown suite or layout, too many computes, a user who
    is not root, too little disk space or memory, a kernel or file system without overlayfs.
options:
  root:
    description: Root directory of all labs.
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
    description: File with the catalog of releases, which names the suites.
    type: path
    required: true
  suite:
    description:
      - Debian suite of the machines; by default that of the existing lab, or else that of the newest release that can
        be deployed.
    type: str
    default: ""
  layout:
    description: Name of a layout; by default that of the existing lab, or else C(split).
    type: str
    default: ""
  computes:
    description: Number of compute hosts, 1 to 20; by default that of the existing lab, or else 1.
    type: str
    default: ""
  layer:
    description: Set of package layers for new machines; by default that of the existing lab, or else none.
    type: str
    default: ""
  family:
    description:
      - Family of the management network, C(ipv4) or C(ipv6); by default that of the existing lab, or else C(ipv4).
    type: str
    default: ""
  alphabet:
    description:
      - Characters of the lab's secrets, C(plain) for letters and digits, C(special) for others as well; by default that
        of the existing lab, or else C(plain).
    type: str
    default: ""
  minimum_disk_gb:
    description: Free disk space that is required before machines are created, GB.
    type: int
    default: 12
  check_memory:
    description: Whether to require the memory of a deployed cloud on the machines to be started.
    type: bool
    default: true
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Plan the lab
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
from ansible.module_utils.host import atomic_file
from ansible.module_utils.lab_plan import (
    DEFAULTS,
    PlanError,
    lab_home,
    load_layouts,
    load_releases,
    make_plan,
    namespace,
)
from ansible.module_utils.lab_process import LabError, free_port, locked, read_json, run, running
from ansible.module_utils.message import Message


def existing(directory: str) -> str:
    """Return the directory, or its nearest parent that exists."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def check_overlay(directory: str) -> None:
    """Raise LabError unless an overlay can be mounted in the directory of the machines' disks."""
    probe = tempfile.mkdtemp(prefix=".overlay-", dir=directory)
    try:
        for part in ("lower", "upper", "work", "root"):
            os.mkdir(os.path.join(probe, part))
        options = ",".join(f"{part}dir={part}" for part in ("lower", "upper", "work"))
        mount = ["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "lab", "root"]
        done = run(mount, check=False, cwd=probe)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    if done.code != 0:
        reason = (done.err.strip() or "mount failed").splitlines()[0]
        text = Message(
            f"An overlay cannot be mounted in {directory} ({reason}). It needs overlayfs in the kernel (modprobe "
            "overlay) and a file system that supports an upper layer (ext4, xfs, btrfs; not an overlay, not NFS): "
            "make .lab a symbolic link to a directory on such a disk."
        )
        raise LabError(text)


def check_room(directory: str, minimum_gb: int) -> None:
    """Raise LabError if the disk has too little free space for the packages."""
    free = shutil.disk_usage(directory).free / 1e9
    if free < minimum_gb:
        text = Message(
            f"{free:.1f} GB are free in {directory}, a lab needs {minimum_gb}: free some space, remove a lab that is "
            "not needed (make lab-down LAB_NAME=...), or make .lab a symbolic link to a directory on a larger disk."
        )
        raise LabError(text)


def check_memory(machines: list) -> None:
    """Raise LabError if the memory is too small for the machines."""
    with open("/proc/meminfo", encoding="utf-8") as stream:
        available = next(int(line.split()[1]) // 1024 for line in stream if line.startswith("MemAvailable:"))
    needed = sum(machine["memory_mb"] for machine in machines)
    if available < needed:
        text = Message(
            f"{available} MB of memory are available; {', '.join(row['name'] for row in machines)} with a deployed "
            f"cloud need {needed} MB: stop other programs, remove another lab, or reduce LAB_COMPUTES."
        )
        raise LabError(text)


def check_layer(layers: str, plan: dict) -> None:
    """Raise LabError if a set of layers does not exist or is for another suite."""
    known = sorted(os.listdir(layers)) if os.path.isdir(layers) else []
    if plan["layer"] not in known:
        raise LabError(Message(f"LAB_LAYER is {plan['layer']!r}; {layers} has: {', '.join(known) or 'none'}."))
    for path in glob.glob(os.path.join(glob.escape(os.path.join(layers, plan["layer"])), "*", "layer.json")):
        suite = read_json(path).get("suite")
        if suite != plan["suite"]:
            text = Message(
                f"LAB_LAYER={plan['layer']} has packages of {suite}, but the suite of the lab is {plan['suite']}: "
                f"set LAB_SUITE={suite}, or choose another layer."
            )
            raise LabError(text)


def choose_ports(plan: dict, remembered: dict, directory: str) -> None:
    """Give each forward a loopback port that the lab keeps, unless another program uses it."""
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
    """Return the lab before and after; raise LabError or PlanError if it cannot be built."""
    directory, home = os.path.realpath(params["root"]), lab_home(params["root"], params["name"])
    before = read_json(os.path.join(home, "state.json"))
    asked = {key: params[key] for key in DEFAULTS}
    layouts, releases = load_layouts(params["layouts"]), load_releases(params["releases"])
    after = make_plan(params["name"], asked, before, layouts, releases)
    if os.geteuid() != 0:
        text = Message("A lab needs network namespaces and mounts: run this as root (sudo -E make lab-machines).")
        raise LabError(text)
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
    """Store the lab in its directory."""
    os.makedirs(home, exist_ok=True)
    os.chmod(home, 0o700)
    atomic_file.write(os.path.join(home, "state.json"), json.dumps(lab, indent=2) + "\n")


def main() -> None:
    """Run the module."""
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
        # Two labs that are created at the same time must not choose the same port.
        with contextlib.nullcontext() if module.check_mode else locked(os.path.join(root, "lock")):
            choose_ports(after, before, root)
            if before != after and not module.check_mode:
                remember(lab_home(root, after["name"]), after)
    except (PlanError, LabError) as error:
        module.fail_json(msg=error.message)
    shown = [json.dumps(state, indent=2) + "\n" if state else "" for state in (before, after)]
    module.exit_json(
        changed=before != after,
        lab={**after, "namespace": namespace(after["name"])},
        diff={"before": shown[0], "after": shown[1]},
    )


if __name__ == "__main__":
    main()
