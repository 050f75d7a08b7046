# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all scenarios: running playbooks and modules, the secrets of the lab, and the state of the cloud."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import leaks
import pytest
import testinfra
import yaml

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / ".lab" / os.environ["LAB_NAME"]
SCENARIO = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


@dataclass
class Run:
    """The result of a playbook."""

    rc: int
    output: str
    tasks: list = field(default_factory=list)

    @property
    def changed(self) -> set:
        """Return (task, host) of everything that changed, or would have in check mode."""
        return {(row["task"], host) for row in self.tasks for host in row["changed"]}

    @property
    def stages(self) -> set:
        """Return (host, stage) of each stage that changed something, or would have."""
        return {(host, stage) for row in self.tasks for host, stages in row["stages"].items() for stage in stages}

    @property
    def changes(self) -> set:
        """Return (host, kind, name) of each stage, file, unit and other task that changed, or would have."""
        found = {(host, "stage", stage) for host, stage in self.stages}
        for row in self.tasks:
            found |= {(host, "file", path) for host, paths in row["paths"].items() for path in paths}
            for host, verbs in row["units"].items():
                found |= {(host, verb, unit) for verb, units in verbs.items() for unit in units}
            found |= {(host, "task", row["task"]) for host in row["changed"] if host not in row["stages"]}
        return found

    @property
    def failures(self) -> dict:
        """Return the message of each host that failed."""
        return {host: text for row in self.tasks for host, text in row["failed"].items()}

    @property
    def recap(self) -> dict:
        """Return the numbers of the recap, by host."""
        rows = re.findall(r"^(\S+)\s+: (ok=\d+.*)$", self.output, re.M)
        return {host: {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", row)} for host, row in rows}


def inventories(request) -> list:
    return request.config.getoption("--ansible-inventory").split(",")


@pytest.fixture(scope="session")
def playbook(request, tmp_path_factory):
    """Return run(name, *arguments, **environment): ansible-playbook with the inventory of the scenario."""

    def run(name: str, *arguments: str, inventory: list | None = None, **environment: str) -> Run:
        phases = tmp_path_factory.mktemp("run") / "phases.json"
        sources = [f"--inventory={source}" for source in inventory or inventories(request)]
        done = subprocess.run(
            ["ansible-playbook", *sources, str(ROOT / "playbooks" / name), *arguments],
            env={
                **os.environ,
                "PHASES_FILE": str(phases),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
                **environment,
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout, json.loads(phases.read_text())["tasks"] if phases.exists() else [])

    return run


def write_inventory(directory: Path, edit, variables: dict | None = None) -> list:
    """Write a changed copy of the lab's inventory and return it; `edit` changes the data.

    variables: files of group and host variables, {"group_vars/nova_computes.yml": {...}}.
    """
    shown = subprocess.run([str(ROOT / "inventory/lab/lab.py")], stdout=subprocess.PIPE, check=True).stdout
    known = json.loads(shown)
    edit(known)
    everyone = directory / "group_vars/all"
    everyone.mkdir(parents=True)
    for path in (ROOT / "inventory/lab/group_vars/all").iterdir():
        (everyone / path.name).symlink_to(path)
    for path, values in (variables or {}).items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_text(yaml.safe_dump(values), encoding="utf-8")
    script = directory / "machines.sh"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(known)}\nEND\n", encoding="utf-8")
    script.chmod(0o700)
    return [str(directory)]


@pytest.fixture
def inventory(tmp_path):
    """Return write(edit, variables): write_inventory in a directory of the test."""
    return lambda edit, variables=None: write_inventory(tmp_path / "inventory", edit, variables)


@pytest.fixture
def module(request):
    """Return call(hosts, module, arguments, check): the result of a module, by host."""

    def call(hosts: str, name: str, arguments: str, check: bool = False) -> dict:
        inventory = request.config.getoption("--ansible-inventory")
        command = ["ansible", hosts, f"--inventory={inventory}", f"--module-name={name}", f"--args={arguments}"]
        done = subprocess.run(
            command + (["--check"] if check else []),
            env={
                **os.environ,
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
            },
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
        )
        rows = re.findall(r"^(\S+) \| SUCCESS => (\{.*?^\})$", done.stdout, re.M | re.S)
        return {host: json.loads(answer) for host, answer in rows}

    return call


@pytest.fixture(scope="session")
def secrets() -> dict:
    """Return the lab's secrets, name to value."""
    values = yaml.safe_load((LAB / "secrets.yml").read_text(encoding="utf-8"))
    assert len(values) >= 10
    return values


@pytest.fixture(scope="session")
def secrets_in(secrets):
    """Return find(text): the names of the secrets in a text, in any form."""
    return lambda text: leaks.secrets_in(secrets, text)


@pytest.fixture(scope="session")
def machines(request) -> dict:
    """Return every machine by name."""
    inventory = request.config.getoption("--ansible-inventory")
    hosts = testinfra.get_hosts(["ansible://all"], ansible_inventory=inventory)
    return {host.backend.host: host for host in hosts}


@pytest.fixture
def words(secrets):
    """Return read(host, directories, user, options): each word as long as a secret in files that a user can read."""
    command = leaks.words_command(secrets)

    def read(host, directories: str, user: str = "root", options: str = "") -> str:
        return host.run(f"runuser -u {user} -- {command} --recursive --devices=skip {options} {directories}").stdout

    return read


CLOUD = """
import json, openstack
cloud = openstack.connect(cloud="default")
def get(client, path):
    reply = client.get(path)
    assert reply.status_code == 200, (path, reply.status_code, reply.text[:300])
    return reply.json()
print(json.dumps({
    "services": get(cloud.compute, "/os-services")["services"],
    "hypervisors": get(cloud.compute, "/os-hypervisors/detail")["hypervisors"],
    "servers": get(cloud.compute, "/servers?all_tenants=1")["servers"],
    "flavors": get(cloud.compute, "/flavors?is_public=None")["flavors"],
    "agents": get(cloud.network, "/agents")["agents"],
    "networks": get(cloud.network, "/networks")["networks"],
    "ports": get(cloud.network, "/ports")["ports"],
    "security_groups": get(cloud.network, "/security-groups")["security_groups"],
    "images": get(cloud.image, "/images")["images"],
    "providers": get(cloud.placement, "/resource_providers")["resource_providers"],
}))
"""


@pytest.fixture(scope="module")
def cloud(host) -> dict:
    """Return services, hypervisors, agents and other objects, read with the client of a controller."""
    done = host.run("python3 -c %s", CLOUD)
    assert done.rc == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def converged() -> Run:
    """Return the result of the scenario's converge step."""
    return Run(0, "", json.loads((SCENARIO / "phases.json").read_text(encoding="utf-8"))["tasks"])
