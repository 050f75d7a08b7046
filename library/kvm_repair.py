#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_repair
short_description: Repair what keeps KVM from working and can be repaired on a running system
version_added: "0.1.0"
description:
  - Takes the C(repairs) of M(kvm_verify). Loads modules and has them loaded at boot, sets module parameters, gives the
    device node its owner, group and mode now and by a udev rule, and adds users to the node's group.
  - Never touches firmware, never reboots, and never unloads a module that a guest uses; what has to wait is returned as
    RV(pending).
options:
  repairs:
    description: What to do, as M(kvm_verify) returns it.
    type: list
    elements: dict
    required: true
    suboptions:
      act:
        description: The kind of repair.
        type: str
        choices: [module, parameter, node, group]
        required: true
      name:
        description: Name of the module or of the parameter.
        type: str
      module:
        description: Module of the parameter.
        type: str
      value:
        description: Value of the parameter.
        type: str
      user:
        description: User that joins the group.
        type: str
  group:
    description: Group that may open the node; made as a system group if it is missing.
    type: str
    default: kvm
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows the files that change.
    support: full
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Evaluate KVM
  kvm_verify:
    on_failure: report
  register: kvm

- name: Repair what can be repaired
  kvm_repair:
    repairs: "{{ kvm.repairs }}"

- name: Offer virtualization to guests of an Intel host
  kvm_repair:
    repairs: [{act: parameter, module: kvm_intel, name: nested, value: "1"}]
"""

RETURN = r"""
acts:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: str
pending:
  description: What has to wait, and for what.
  returned: always
  type: list
  elements: str
"""

import grp
import os
import pwd
import re
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kvm.tree import Tree

NODE = "/dev/kvm"
LOAD, OPTIONS, RULES = (
    "/etc/modules-load.d/nova-kvm.conf",
    "/etc/modprobe.d/nova-kvm.conf",
    "/etc/udev/rules.d/60-nova-kvm.rules",
)


class Repair:
    def __init__(self, module):
        self.module, self.group, self.tree = module, module.params["group"], Tree("/")
        self.acts, self.pending, self.diff = [], [], []
        self.new_group = None

    def run(self, *command):
        """Run a command unless this is check mode; fail with what it said."""
        if self.module.check_mode:
            return
        code, out, err = self.module.run_command(list(command))
        if code != 0:
            self.fail(f"{' '.join(command)} failed: {(err or out).strip()}; read dmesg, then run again")

    def fail(self, message):
        self.module.fail_json(msg=message, acts=self.acts, pending=self.pending)

    def write(self, path, text):
        before = self.tree.read(path)
        if before == text:
            return False
        self.diff.append({"before_header": path, "after_header": path, "before": before, "after": text})
        self.acts.append(f"write {path}")
        if not self.module.check_mode:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            number, draft = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".nova-kvm-")
            with os.fdopen(number, "w", encoding="utf-8") as out:
                out.write(text)
            os.chmod(draft, 0o644)
            self.module.atomic_move(draft, path)
        return True

    def add_line(self, path, line, replace=None):
        """Have a line in a file of ours, in place of those that match."""
        lines = [old for old in self.tree.lines(path) if old != line and not (replace and re.match(replace, old))]
        return self.write(path, "\n".join([*lines, line]) + "\n")

    # -- the four kinds ---------------------------------------------------------------------------------------
    def do_module(self, act):
        name = act["name"]
        if os.path.isdir(f"/sys/module/{name}"):
            return
        # asked in check mode too: it is a dry run
        program = self.module.get_bin_path("modprobe", opt_dirs=["/sbin", "/usr/sbin"])
        code, out, err = self.module.run_command([program, "--dry-run", name]) if program else (1, "", "no modprobe")
        if code != 0:
            problem = f"module {name} cannot be loaded here: {(err or out).strip() or 'modprobe refuses'}"
            if name.startswith("kvm"):
                self.fail(f"{problem}; install the full kernel package, or see dmesg")
            self.pending.append(problem)  # without a companion as vhost_net guests still run
            return
        self.acts.append(f"modprobe {name}")
        self.run("modprobe", name)
        self.add_line(LOAD, name)

    def do_parameter(self, act):
        module, name, value = act["module"], act["name"], act["value"]
        self.add_line(OPTIONS, f"options {module} {name}={value}", replace=rf"options {module} {name}=")
        now = self.tree.word(f"/sys/module/{module}/parameters/{name}")
        same = {"Y": "1", "y": "1", "N": "0", "n": "0"}
        if now is None or same.get(now, now) == value:
            return
        if self.tree.word(f"/sys/module/{module}/refcnt") != "0":
            self.pending.append(f"{module} is in use: {name}={value} comes into force when it is loaded again")
            return
        self.acts.append(f"load {module} again with {name}={value}")
        self.run("modprobe", "-r", module)
        self.run("modprobe", module)

    def do_node(self, _act):
        self.ensure_group()
        self.write(RULES, f'KERNEL=="kvm", GROUP="{self.group}", MODE="0660", OPTIONS+="static_node=kvm"\n')
        minor = re.search(r"^\s*(\d+) kvm$", self.tree.read("/proc/misc"), re.MULTILINE)
        node = self.tree.node(NODE)
        if not minor:
            self.pending.append("the kernel has not registered KVM: its node has to wait for the module")
            return
        number = os.makedev(10, int(minor.group(1)))
        if node and (not node["chr"] or (node["major"], node["minor"]) != (10, os.minor(number))):
            self.acts.append(f"remove {NODE}, which is not the KVM device")
            if not self.module.check_mode:
                os.rmdir(NODE) if os.path.isdir(NODE) else os.unlink(NODE)
            node = None
        if not node:
            self.acts.append(f"make {NODE} (10:{os.minor(number)})")
            if not self.module.check_mode:
                os.mknod(NODE, stat.S_IFCHR | 0o660, number)
        gid = self.gid()
        if not node or (node["mode"], node["uid"], node["gid"]) != ("0660", 0, gid):
            self.acts.append(f"make {NODE} 0660 root:{self.group}")
            if not self.module.check_mode:
                os.chown(NODE, 0, self.gid())
                os.chmod(NODE, 0o660)

    def do_group(self, act):
        user = act["user"]
        try:
            primary = pwd.getpwnam(user).pw_gid
        except KeyError:
            self.pending.append(f"there is no user {user} yet")
            return
        self.ensure_group()
        gid = self.gid()
        if gid is None or gid not in os.getgrouplist(user, primary):
            self.acts.append(f"add {user} to group {self.group}")
            self.run("usermod", "-a", "-G", self.group, user)
            self.pending.append(f"processes of {user} that run now get the group when they are started again")

    def gid(self):
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None

    def ensure_group(self):
        if self.gid() is None and self.new_group is None:
            self.new_group = self.group
            self.acts.append(f"make the system group {self.group}")
            self.run("groupadd", "--system", self.group)


def main():
    repair = {
        "act": {"type": "str", "choices": ["module", "parameter", "node", "group"], "required": True},
        "name": {"type": "str"},
        "module": {"type": "str"},
        "value": {"type": "str"},
        "user": {"type": "str"},
    }
    needed = [
        ("act", "module", ["name"]),
        ("act", "parameter", ["module", "name", "value"]),
        ("act", "group", ["user"]),
    ]
    module = AnsibleModule(
        argument_spec={
            "repairs": {"type": "list", "elements": "dict", "required": True, "options": repair, "required_if": needed},
            "group": {"type": "str", "default": "kvm"},
        },
        supports_check_mode=True,
    )
    work = Repair(module)
    order = ["module", "parameter", "node", "group"]  # a node comes with its module
    for act in sorted(module.params["repairs"], key=lambda act: order.index(act["act"])):
        getattr(work, f"do_{act['act']}")(act)
    module.exit_json(changed=bool(work.acts), acts=work.acts, pending=work.pending, diff=work.diff)


if __name__ == "__main__":
    main()
