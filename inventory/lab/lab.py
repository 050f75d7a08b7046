#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dynamic inventory of the lab LAB_NAME on this computer; lists the machines it would have while it is not up."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "roles/lab/module_utils"))

import lab_plan  # noqa: E402


def read_secrets(path: Path) -> dict:
    """Return the lab's generated secrets, if there are any yet."""
    if not path.exists():
        return {}
    try:
        import yaml
    except ImportError:  # not the virtual environment's Python: run again with that one
        python = ROOT / ".venv/bin/python3"
        if not python.exists() or Path(sys.executable).parent == python.parent:
            sys.exit(f"{path} cannot be read: this Python has no yaml; install python3-yaml or activate .venv.")
        os.execv(python, [str(python), *sys.argv])
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def main() -> None:
    name = os.environ.get("LAB_NAME") or "lab"
    directory = ROOT / ".lab" / name
    layouts = lab_plan.load_layouts(str(ROOT / "roles/lab/files/layouts.json"))
    state = directory / "state.json"
    try:
        if state.exists():
            plan = json.loads(state.read_text(encoding="utf-8"))
        else:
            asked = {key: os.environ.get(f"LAB_{key.upper()}", "") for key in lab_plan.DEFAULTS}
            plan = lab_plan.make_plan(name, asked, None, layouts)
    except lab_plan.PlanError as error:
        sys.exit(str(error))
    result = lab_plan.inventory(plan, str(directory), read_secrets(directory / "secrets.yml"))
    if "--host" in sys.argv:
        result = result["_meta"]["hostvars"].get(sys.argv[sys.argv.index("--host") + 1], {})
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
