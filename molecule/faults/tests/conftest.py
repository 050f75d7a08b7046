# SPDX-License-Identifier: Apache-2.0
"""Ways to spoil an inventory or a machine, and to see that a refusal left the machines as they were."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]

STATE = (
    "sha256sum /var/lib/dpkg/status; find /etc -xdev -printf '%p %m %u %g %s\\n' | sort | sha256sum; "
    "find /etc -xdev -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; ls /etc/nova /var/lib/nova"
)


@pytest.fixture
def inventory(tmp_path, request):
    """Return write(edit, variables): the lab's inventory after a function has changed it, as another inventory.

    variables are those of groups and hosts in files of their own: {"group_vars/nova_computes.yml": {...}}.
    """

    def write(edit, variables: dict | None = None) -> list:
        shown = subprocess.run([str(ROOT / "inventory/lab/lab.py")], stdout=subprocess.PIPE, check=True).stdout
        known = json.loads(shown)
        edit(known)
        folder = tmp_path / "inventory"
        folder.mkdir()
        (folder / "group_vars").mkdir()
        (folder / "group_vars/all").mkdir()
        for path in (ROOT / "inventory/lab/group_vars/all").iterdir():
            (folder / "group_vars/all" / path.name).symlink_to(path)
        for path, values in (variables or {}).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(yaml.safe_dump(values), encoding="utf-8")
        script = folder / "machines.sh"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(known)}\nEND\n", encoding="utf-8")
        script.chmod(0o700)
        return [str(folder)]

    return write


@pytest.fixture
def refusal(playbook, machines, secrets_in):
    """Return refuse(*arguments, inventory): what a run that refuses says, host by host; it must change nothing."""

    def refuse(*arguments: str, inventory: list | None = None, name: str = "preflight.yml") -> str:
        before = {machine: host.run(STATE).stdout for machine, host in machines.items()}
        done = playbook(name, *arguments, inventory=inventory)
        assert done.rc != 0, f"it was accepted:\n{done.output[-3000:]}"
        assert {machine: host.run(STATE).stdout for machine, host in machines.items()} == before
        assert done.changed == set()
        assert secrets_in(done.output) == []
        assert "Traceback" not in done.output
        assert done.said, f"it failed without a reason:\n{done.output[-3000:]}"
        return " ".join(" ".join(f"{host}: {text}" for host, text in done.said.items()).split())

    return refuse
