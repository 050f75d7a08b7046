#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_machines
short_description: Create, start, stop, save or remove the machines of a lab, in parallel
description:
  - A machine is a systemd-nspawn container that boots systemd, with a disk that is an overlay over a template (and over
    read-only package layers, if asked for) and its own network namespace.
  - With C(state=started), missing machines are created, stopped ones are started, and machines that the lab no longer
    has are removed. The module returns when ssh responds on each.
  - C(state=saved) turns the upper layer of the first machine of each kind into a read-only layer that new machines of
    that kind can start from; the machine continues on top of it.
options:
  root:
    description: Root directory of all labs.
    type: path
    required: true
  name:
    description: Name of the lab.
    type: str
    required: true
  template:
    description: Root file system of new machines. Without it, none is created.
    type: path
  lab:
    description: The lab, as returned by the module lab_request; by default, from the lab's C(state.json).
    type: dict
  only:
    description: Names of the machines to act on; empty means all.
    type: list
    elements: str
    default: []
  layer:
    description: Name of the set of layers to save to. Required with C(state=saved).
    type: str
  timeout:
    description: Seconds that a boot or a shutdown may take.
    type: int
    default: 120
  state:
    description: State of the machines.
    type: str
    choices: [started, stopped, restarted, saved, absent]
    default: started
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Boot the machines
  lab_machines:
    root: "{{ playbook_dir }}/../.lab"
    name: lab
    template: "{{ __lab_template.path }}"
    lab: "{{ __lab_request.lab }}"

- name: Restart one compute host
  lab_machines:
    root: "{{ playbook_dir }}/../.lab"
    name: lab
    only: [compute1]
    state: restarted
"""

RETURN = r"""
actions:
  description: The actions, one line each.
  type: list
  elements: str
  returned: success
seconds:
  description: Duration, seconds.
  type: float
  returned: success
"""

import glob
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import atomic_file
from ansible.module_utils.lab_machine import Machine
from ansible.module_utils.lab_plan import PlanError, control_path, lab_home, namespace
from ansible.module_utils.lab_process import LabError, locked, read_json, run
from ansible.module_utils.message import Message


def in_parallel(function: Callable[[Machine], None], machines: list) -> None:
    """Run a function for each machine in parallel; raise the first error after all have ended."""
    with ThreadPoolExecutor(max_workers=max(1, len(machines))) as pool:
        for future in [pool.submit(function, machine) for machine in machines]:
            future.result()


def choose_layers(machine: Machine, layers: str, template: str) -> list:
    """Return the layers of a new machine."""
    name = machine.lab.get("layer")
    if not name:
        return []
    path = os.path.join(layers, name, machine.row["kind"])
    made_of = read_json(os.path.join(path, "layer.json"))
    if not made_of:  # the set has none for this kind of machine
        return []
    if made_of["template"] != template:
        text = Message(
            f"The layer {path} was saved on {made_of['template']}, but new machines use {template}: remove "
            f"{os.path.join(layers, name)} and save it again."
        )
        raise LabError(text)
    return [path, *made_of["layers"]]


def orphans(params: dict) -> list:
    """Return the machines on disk that the lab no longer has."""
    known = {row["name"] for row in params["lab"]["machines"]}
    directory = os.path.join(params["directory"], "machines")
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return [Machine(params["lab"], {"name": name}, params["directory"]) for name in names if name not in known]


def lab_key(directory: str) -> str:
    """Return the public ssh key of the lab; create the pair if it does not exist."""
    path = os.path.join(directory, "id_ed25519")
    if not os.path.exists(f"{path}.pub"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path])
    with open(f"{path}.pub", encoding="utf-8") as stream:
        return stream.read()


def close_ssh(directory: str, address: str) -> None:
    """Close the shared ssh connections to a machine that is stopped; `*` means every machine."""
    for socket in glob.glob(os.path.join(glob.escape(control_path(directory)), address)):
        run(["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "lab"], check=False)


def started(params: dict, machines: list, check_mode: bool) -> list:
    """Create and start machines, and repair their /etc/hosts; return the actions."""
    directory, actions = params["directory"], []
    gone = orphans(params)
    new = [machine for machine in machines if not machine.exists()]
    if new and not params["template"]:
        names = ", ".join(machine.name for machine in new)
        raise LabError(Message(f"{names} does not exist; run `make lab-machines`."))
    down = [machine for machine in machines if not machine.healthy()]
    chosen = {machine.name: choose_layers(machine, params["layers"], params["template"]) for machine in new}
    actions += [f"removed {machine.name}" for machine in gone] + [f"made {machine.name}" for machine in new]
    actions += [f"started {machine.name}" for machine in down]
    known = os.path.join(directory, "known_hosts")
    if check_mode:
        old = [machine for machine in machines if machine not in new]
        return actions + [f"hosts of {machine.name}" for machine in old if machine.missing_hosts()]
    for machine in gone:
        machine.stop(10)
        machine.remove()
        run(["ip", "netns", "delete", namespace(params["lab"]["name"], machine.name)], check=False)
    key = lab_key(directory) if new else ""
    for machine in new:
        machine.sweep()
        machine.create(params["template"], chosen[machine.name], key)
    for machine in machines:
        if machine.missing_hosts():
            machine.add_hosts()
            actions.append(f"hosts of {machine.name}")
    if new or gone or not os.path.exists(known):
        rows = [Machine(params["lab"], row, directory) for row in params["lab"]["machines"]]
        atomic_file.write(known, "".join(machine.host_key() for machine in rows if machine.exists()))
    for machine in down:
        close_ssh(directory, machine.row["address"])
        machine.launch()
    in_parallel(lambda machine: machine.wait_booted(params["timeout"]), down)
    return actions


def stopped(params: dict, machines: list, check_mode: bool) -> list:
    """Shut down machines; return the actions."""
    up = [machine for machine in machines if machine.pid()]
    if not check_mode:
        for machine in up:
            close_ssh(params["directory"], machine.row.get("address", "*"))
        in_parallel(lambda machine: machine.stop(params["timeout"]), up)
    return [f"stopped {machine.name}" for machine in up]


def bring_back(params: dict, machines: list, check_mode: bool) -> list:
    """Start machines that were just shut down; in check mode they still run, and reading them would predict nothing."""
    return [f"started {machine.name}" for machine in machines] if check_mode else started(params, machines, False)


def saved(params: dict, machines: list, check_mode: bool) -> list:
    """Turn the first machine of each kind into a layer, and start those that ran; return the actions."""
    first = list({machine.row["kind"]: machine for machine in reversed(machines)}.values())[::-1]
    targets = {machine.name: os.path.join(params["layers"], params["layer"], machine.row["kind"]) for machine in first}
    taken = [path for path in targets.values() if os.path.exists(path)]
    if taken:
        raise LabError(Message(f"The layer {taken[0]} exists, and machines may use it: choose another name."))
    missing = [machine.name for machine in first if not machine.exists()]
    if missing:
        raise LabError(
            Message(f"{', '.join(missing)} cannot be saved: no such machine; run `make lab-machines` first.")
        )
    up = [machine for machine in first if machine.pid()]
    actions = stopped(params, up, check_mode)
    if not check_mode:
        for machine in first:
            machine.save(targets[machine.name], lab_key(params["directory"]))
        rows = [Machine(params["lab"], row, params["directory"]) for row in params["lab"]["machines"]]
        known = os.path.join(params["directory"], "known_hosts")
        atomic_file.write(known, "".join(machine.host_key() for machine in rows if machine.exists()))
    actions += [f"saved {machine.name} to {targets[machine.name]}" for machine in first]
    return actions + bring_back(params, up, check_mode)


def absent(params: dict, machines: list, check_mode: bool) -> list:
    """Stop and remove machines, including those that the lab no longer has; return the actions."""
    machines = [*machines, *(orphans(params) if not params["only"] else [])]
    there = [machine for machine in machines if os.path.isdir(machine.dir)]
    if not check_mode:
        # Nothing of them is kept, so do not wait for a graceful shutdown; Nova's services take a minute.
        stopped({**params, "timeout": min(params["timeout"], 2)}, there, False)
        for machine in machines:
            machine.sweep()
        in_parallel(lambda machine: machine.remove(), there)
    return [f"removed {machine.name}" for machine in there]


def read_lab(params: dict) -> dict:
    """Return the lab of the parameters, or else the one in the lab's directory."""
    name = params["name"]
    if os.geteuid() != 0:
        raise LabError(Message("Machines of a lab need root: run this as root."))
    lab = params["lab"] or read_json(os.path.join(params["directory"], "state.json"))
    if not lab and params["state"] != "absent":
        text = Message(f"There is no lab in {params['directory']}: run `make lab-machines LAB_NAME={name}` first.")
        raise LabError(text)
    return lab or {"name": name, "machines": []}


def act(params: dict, check_mode: bool) -> list:
    """Bring the machines into the state; return the actions."""
    machines = [Machine(params["lab"], row, params["directory"]) for row in params["lab"]["machines"]]
    unknown = sorted(set(params["only"]) - {machine.name for machine in machines})
    if unknown:
        names = ", ".join(machine.name for machine in machines)
        raise LabError(Message(f"The lab has no machine {', '.join(unknown)}; it has {names}."))
    machines = [machine for machine in machines if not params["only"] or machine.name in params["only"]]
    if params["state"] == "restarted":
        actions = stopped(params, machines, check_mode)
        return actions + bring_back(params, machines, check_mode)
    functions = {"started": started, "stopped": stopped, "saved": saved, "absent": absent}
    return functions[params["state"]](params, machines, check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "template": {"type": "path"},
            "lab": {"type": "dict"},
            "only": {"type": "list", "elements": "str", "default": []},
            "layer": {"type": "str"},
            "timeout": {"type": "int", "default": 120},
            "state": {
                "type": "str",
                "choices": ["started", "stopped", "restarted", "saved", "absent"],
                "default": "started",
            },
        },
        required_if=[("state", "saved", ["layer"])],
        supports_check_mode=True,
    )
    params = dict(module.params)
    began = time.monotonic()
    try:
        params["directory"] = lab_home(params["root"], params["name"])
        params["layers"] = os.path.join(os.path.realpath(params["root"]), "layers")
        params["lab"] = read_lab(params)
        if module.check_mode or not os.path.isdir(params["directory"]):
            actions = act(params, module.check_mode)
        else:
            with locked(os.path.join(params["directory"], "lock")):
                actions = act(params, False)
    except (LabError, PlanError) as error:
        module.fail_json(msg=error.message)
    lines = "".join(f"{action}\n" for action in actions)
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        seconds=round(time.monotonic() - began, 1),
        diff={"before": "", "after": lines},
    )


if __name__ == "__main__":
    main()
