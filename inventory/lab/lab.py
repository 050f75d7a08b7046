#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dynamic inventory of the lab LAB_NAME on this computer; without the lab, the machines that it would have.

It also prints, for people and the Makefile: `--suites`, the suites that a lab can have; `--ssh`, the ssh command for
the lab's controller.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
for name, paths in (("ansible", []), ("ansible.module_utils", ["module_utils", "roles/lab/module_utils"])):
    package = types.ModuleType(name)  # this Python may have no Ansible
    package.__path__ = [str(ROOT / path) for path in paths]
    sys.modules.setdefault(name, package)

from ansible.module_utils import lab_plan  # noqa: E402  found only with the packages above


def read_secrets(path: Path) -> dict:
    """Return the generated secrets of the lab, if they exist."""
    if not path.exists():
        return {}
    try:
        import yaml
    except ImportError:  # not the Python of the virtual environment: run again with that one
        python = ROOT / ".venv/bin/python3"
        if not python.exists() or Path(sys.executable).parent == python.parent:
            sys.exit(f"{path} cannot be read: this Python has no yaml; install python3-yaml or activate .venv.")
        os.execv(python, [str(python), *sys.argv])
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def read_plan(name: str, directory: Path, releases: dict) -> dict:
    """Return the plan of the lab, or of the one that would be created."""
    state = directory / "state.json"
    if state.exists():
        return json.loads(state.read_text(encoding="utf-8"))
    requested = {key: os.environ.get(f"LAB_{key.upper()}", "") for key in lab_plan.DEFAULTS}
    layouts = lab_plan.load_layouts(str(ROOT / "roles/lab/files/layouts.json"))
    return lab_plan.make_plan(name, requested, None, layouts, releases)


def answer(arguments: list) -> str:
    """Return the output for the arguments of the script."""
    releases = lab_plan.load_releases(str(ROOT / "roles/cloud/vars/main/releases.yml"))
    if "--suites" in arguments:
        return " ".join(lab_plan.suites(releases))
    name = os.environ.get("LAB_NAME") or "lab"
    directory = ROOT / ".lab" / name
    plan = read_plan(name, directory, releases)
    if "--ssh" in arguments:
        return shlex.join(lab_plan.shell_command(plan, str(directory)))
    result = lab_plan.inventory(plan, str(directory), read_secrets(directory / "secrets.yml"), releases)
    if "--host" in arguments:
        result = result["_meta"]["hostvars"].get(arguments[arguments.index("--host") + 1], {})
    return json.dumps(result, indent=2)


def main() -> None:
    """Print the inventory, or what the arguments request."""
    try:
        print(answer(sys.argv[1:]))
    except lab_plan.PlanError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
