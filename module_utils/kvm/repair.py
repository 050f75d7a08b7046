# SPDX-License-Identifier: Apache-2.0
"""Repair what keeps KVM from working and can be repaired on a running system; the code of the module kvm_repair."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Callable
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import atomic_file, commands
from ansible.module_utils.kvm.tree import Tree
from ansible.module_utils.message import Message

NODE, MAJOR, MODE = "/dev/kvm", 10, 0o660
LOAD = "/etc/modules-load.d/nova-kvm.conf"
OPTIONS = "/etc/modprobe.d/nova-kvm.conf"
RULES = "/etc/udev/rules.d/60-nova-kvm.rules"
ORDER = ["module", "parameter", "node", "group"]  # a node comes with its module
BOOLEANS = {"Y": "1", "y": "1", "N": "0", "n": "0"}  # as the kernel shows them: as modprobe takes them


class Repair:
    """The repairs of one host: what was done, what has to wait, and how files changed."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.group, self.tree = module, module.params["group"], Tree("/")
        self.acts: list[str] = []
        self.pending: list[str] = []
        self.diff: list[dict[str, str]] = []
        self.creates_group = False

    def repair(self, repairs: list[dict[str, Any]]) -> None:
        """Carry out repairs, each after those that it builds on."""
        for repair in sorted(repairs, key=lambda repair: ORDER.index(repair["act"])):
            getattr(self, f"repair_{repair['act']}")(repair)

    def act(self, text: str, function: Callable[[], object]) -> None:
        """Record an act and, unless this is check mode, carry it out."""
        self.acts.append(text)
        if not self.module.check_mode:
            function()

    def command(self, program: str, *arguments: str) -> commands.Done:
        """Return how a program of the administrator ended, wherever it is installed."""
        return commands.run([self.module.get_bin_path(program) or program, *arguments])

    def run(self, *command: str) -> None:
        """Run a command; end the module if it fails."""
        done = self.command(*command)
        if done.code != 0:
            self.fail(Message(f"{' '.join(command)} failed: {done.text}; read dmesg, then run again"))

    def fail(self, message: Message) -> NoReturn:
        """End the module with an error and with what was done before it."""
        self.module.fail_json(msg=message, acts=self.acts, pending=self.pending)

    def write(self, path: str, text: str) -> None:
        """Give a file its text."""
        before = self.tree.read(path)
        if before == text:
            return
        self.diff.append({"before_header": path, "after_header": path, "before": before, "after": text})
        self.act(f"write {path}", lambda: write_file(path, text))

    def add_line(self, path: str, line: str, replace: str | None = None) -> None:
        """Add a line to one of our files, in place of the lines that match a pattern."""
        lines = [old for old in self.tree.lines(path) if old != line and not (replace and re.match(replace, old))]
        self.write(path, "\n".join([*lines, line]) + "\n")

    def repair_module(self, repair: dict[str, Any]) -> None:
        """Load a module, now and at boot. Guests can run without a companion module such as vhost_net."""
        name = repair["name"]
        if os.path.isdir(f"/sys/module/{name}"):
            return
        tried = self.command("modprobe", "--dry-run", name)  # changes nothing: in check mode as well
        if tried.code != 0:
            why = tried.text or "modprobe refuses"
            if name.startswith("kvm"):
                self.fail(
                    Message(f"module {name} cannot be loaded: {why}; install the full kernel package, or see dmesg")
                )
            self.pending.append(f"module {name} cannot be loaded: {why}")
            return
        self.act(f"modprobe {name}", lambda: self.run("modprobe", name))
        self.add_line(LOAD, name)

    def repair_parameter(self, repair: dict[str, Any]) -> None:
        """Set a parameter of a module, for good and, unless the module is in use, now."""
        module, name, value = repair["module"], repair["name"], repair["value"]
        self.add_line(OPTIONS, f"options {module} {name}={value}", replace=rf"options {module} {name}=")
        now = self.tree.word(f"/sys/module/{module}/parameters/{name}")
        if now is None or BOOLEANS.get(now, now) == value:
            return
        if self.tree.word(f"/sys/module/{module}/refcnt") != "0":
            self.pending.append(f"{module} is in use: {name}={value} takes effect when it is loaded again")
            return
        self.act(f"load {module} again with {name}={value}", lambda: self.reload(module))

    def reload(self, module: str) -> None:
        """Load a module again, with its new parameters."""
        self.run("modprobe", "-r", module)
        self.run("modprobe", module)

    def repair_node(self, _repair: dict[str, Any]) -> None:
        """Create the device node with its owner, group and mode; a udev rule does so at boot."""
        self.create_group()
        self.write(RULES, f'KERNEL=="kvm", GROUP="{self.group}", MODE="0660", OPTIONS+="static_node=kvm"\n')
        registered = re.search(r"^\s*(\d+) kvm$", self.tree.read("/proc/misc"), re.MULTILINE)
        if not registered:
            self.pending.append(f"the kernel has not registered KVM: {NODE} has to wait for the module")
            return
        minor, node = int(registered[1]), self.tree.node(NODE)
        if node and (node["chr"], node["major"], node["minor"]) != (True, MAJOR, minor):
            self.act(f"remove {NODE}, which is not the KVM device", remove_node)
            node = None
        if not node:
            device = os.makedev(MAJOR, minor)
            self.act(f"create {NODE} ({MAJOR}:{minor})", lambda: os.mknod(NODE, stat.S_IFCHR | MODE, device))
        if not node or (node["mode"], node["uid"], node["gid"]) != (f"{MODE:04o}", 0, self.gid()):
            self.act(f"make {NODE} {MODE:04o} root:{self.group}", self.set_owner)

    def set_owner(self) -> None:
        """Give the node its owner, group and mode."""
        os.chown(NODE, 0, grp.getgrnam(self.group).gr_gid)
        os.chmod(NODE, MODE)

    def repair_group(self, repair: dict[str, Any]) -> None:
        """Add a user to the group of the node."""
        user = repair["user"]
        try:
            primary = pwd.getpwnam(user).pw_gid
        except KeyError:
            self.pending.append(f"user {user} does not exist yet")
            return
        self.create_group()
        if self.gid() in os.getgrouplist(user, primary):
            return
        self.act(f"add {user} to group {self.group}", lambda: self.run("usermod", "-a", "-G", self.group, user))
        self.pending.append(f"running processes of {user} get the group when they are restarted")

    def gid(self) -> int | None:
        """Return the number of the group; None while there is no group."""
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None

    def create_group(self) -> None:
        """Create the group, once, unless it exists."""
        if self.gid() is None and not self.creates_group:
            self.creates_group = True
            self.act(f"create the system group {self.group}", lambda: self.run("groupadd", "--system", self.group))


def write_file(path: str, text: str) -> None:
    """Write a file and the directory that holds it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    atomic_file.write(path, text)


def remove_node() -> None:
    """Remove what is in place of the node."""
    if os.path.isdir(NODE) and not os.path.islink(NODE):
        os.rmdir(NODE)
    else:
        os.unlink(NODE)
