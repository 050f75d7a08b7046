# SPDX-License-Identifier: Apache-2.0
"""Fresh machines for one side, and commands on them; all output goes to a log."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = str(ROOT / ".venv/bin/ansible-playbook")
# The baseline is written for this suite and this layout.
MACHINES = {"LAB_SUITE": "trixie", "LAB_LAYOUT": "split", "LAB_COMPUTES": "1", "LAB_LAYER": ""}
HOSTS = {"controller1": "controller", "compute1": "compute"}


class BenchError(Exception):
    """The comparison is not possible; the text gives the reason."""


class Lab:
    """A lab of the bench: its machines, and commands on them or on this computer."""

    def __init__(self, name: str, log: Path, root: Path = ROOT) -> None:
        self.name, self.log, self.root = name, log, root
        self.environment = {**os.environ, **MACHINES, "LAB_NAME": name}
        self.hosts: dict = {}

    def run(self, *commands: list, stdin: bytes | None = None, **environment: str) -> float:
        """Run commands in parallel; return the seconds until the last one ended."""
        begun = time.monotonic()
        with open(self.log, "ab") as log:
            started = [self.start(command, log, stdin, environment) for command in commands]
        try:
            failed = [command for command, process in zip(commands, started) if process.wait() != 0]
        except BaseException:  # a signal: no command may outlive the bench
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)
            raise
        if failed:
            tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
            raise BenchError(f"`{shlex.join(failed[0])[-200:]}` failed; {self.log} ends with:\n{tail}")
        return time.monotonic() - begun

    def start(self, command: list, log: IO[bytes], stdin: bytes | None, environment: dict) -> subprocess.Popen:
        """Start a command that writes to the log."""
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        if stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        return process

    def playbook(self, name: str, *options: str, **environment: str) -> float:
        """Run a playbook on the lab; return its seconds."""
        return self.run([PLAYBOOK, "-i", "inventory/lab", f"playbooks/{name}.yml", *options], **environment)

    def refuse_existing(self) -> None:
        """Raise BenchError if the lab exists: its machines are not blank and must not be removed."""
        if (self.root / ".lab" / self.name).exists():
            raise BenchError(f"There is a lab {self.name} already; `LAB_NAME={self.name} make lab-down` takes it away.")

    def up(self) -> None:
        """Boot blank machines, give them the scripts, and fill the package cache."""
        self.playbook("lab")
        self.look()
        scripts = subprocess.run(["tar", "-c", "-C", ROOT / "tests", "bench"], capture_output=True, check=True).stdout
        self.run(*[self.ssh(host, "tar -x --no-same-owner -C /root") for host in HOSTS], stdin=scripts)
        self.run(*[self.script(host, "baseline/packages.sh", "download", kind) for host, kind in HOSTS.items()])

    def look(self) -> None:
        """Read the variables of the lab's machines."""
        listed = subprocess.run(
            ["inventory/lab/lab.py"], cwd=self.root, env=self.environment, capture_output=True, check=True
        )
        self.hosts = json.loads(listed.stdout)["_meta"]["hostvars"]

    def down(self) -> None:
        """Remove the lab."""
        self.playbook("lab_down")

    def ssh(self, host: str, command: str) -> list:
        """Return a command for a machine, with the connection that the inventory gives to Ansible."""
        known = self.hosts[host]
        options = ["-i", known["ansible_ssh_private_key_file"], *shlex.split(known["ansible_ssh_common_args"])]
        return ["ssh", *options, f"root@{known['ansible_host']}", command]

    def script(self, host: str, name: str, *arguments: str) -> list:
        """Return the command that runs one of the scripts on a machine."""
        where = {"ADDRESS": self.hosts[host], "CONTROLLER": self.hosts["controller1"]}
        words = [f"{key}={value['ansible_host']}" for key, value in where.items()]
        return self.ssh(host, shlex.join(["env", *words, f"/root/bench/{name}", *arguments]))

    def outcome(self) -> dict:
        """Return what is installed, compiled and running on each machine."""
        questions = {
            "packages": "dpkg-query -W -f '${Package} ${Version}\\n'",
            "compiled Python files": "find /usr/lib/python3/dist-packages -name '*.pyc'",
            "services": "systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' -f1",
        }
        found = {}
        for host in HOSTS:
            for what, command in questions.items():
                answer = subprocess.run(self.ssh(host, command), capture_output=True, text=True, check=True)
                found[f"{what} of {host}"] = sorted(answer.stdout.splitlines())
        return found
