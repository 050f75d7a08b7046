#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_test_guest
short_description: Start a temporary guest in libvirt and wait for its first output
description:
  - Compares the recommendation of M(kvm_verify) with what libvirt offers, then starts a transient guest without disk or
    network under the chosen virt_type and CPU, waits until it has written to its serial port, and destroys it.
  - Removes the guest and its files, also when it fails.
options:
  virt_type:
    description: How libvirt runs the guest.
    type: str
    choices: [kvm, qemu]
    required: true
  cpu_mode:
    description: CPU mode of the guest, as Nova's option of that name.
    type: str
  cpu_models:
    description: CPU models for V(custom), as Nova's option of that name.
    type: list
    elements: str
    default: []
  recommended_virt_type:
    description: The recommendation of M(kvm_verify). The guest's O(virt_type) unless set.
    type: str
    choices: [kvm, qemu]
  timeout:
    description: Seconds to wait for the guest's first output.
    type: int
    default: 60
  uri:
    description: Connection of libvirt.
    type: str
    default: qemu:///system
attributes:
  check_mode:
    description: Compares, and starts no guest.
    support: partial
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Verify that a guest runs as Nova would run it
  kvm_test_guest:
    virt_type: "{{ kvm_preflight_result.recommended_virt_type }}"
    cpu_mode: "{{ kvm_preflight_result.recommended.cpu_mode }}"
    cpu_models: "{{ kvm_preflight_result.recommended.cpu_models }}"
"""

RETURN = r"""
agrees:
  description: Whether libvirt offers what M(kvm_verify) recommends; null where libvirt is not installed.
  returned: always
  type: bool
comparison:
  description: The comparison in words.
  returned: always
  type: str
libvirt:
  description: What libvirt offers.
  returned: always
  type: dict
msg:
  description: The result in one sentence.
  returned: always
  type: str
serial_line:
  description:
    - The first line that the guest wrote to its serial port.
    - Null where none is known for the architecture, or in check mode.
  returned: always
  type: str
seconds:
  description: Seconds from starting the guest to that line.
  returned: when a guest ran
  type: float
"""

import os
import shutil
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import commands, output
from ansible.module_utils.kvm import facts, test_guest
from ansible.module_utils.kvm.tree import Tree
from ansible.module_utils.message import Message

LOGS = "/var/log/libvirt/qemu"
PERIOD = 0.2  # seconds between two looks at the guest


class Guest:
    """The guest: its name, its files, and the commands that start, watch and remove it."""

    def __init__(self, module: AnsibleModule, virsh: str, arch: str) -> None:
        self.module, self.arch = module, arch
        self.virsh = (virsh, "-q", "-c", module.params["uri"])
        self.name = f"kvm-test-guest-{os.getpid()}"
        self.serial, self.log = f"{LOGS}/{self.name}.serial", f"{LOGS}/{self.name}.log"

    def run(self) -> tuple[str | None, float]:
        """Return the guest's first line, or None, and the seconds until then; the guest is gone afterwards."""
        directory = tempfile.mkdtemp(prefix="kvm-test-guest-", dir="/var/tmp")  # QEMU's user must reach the kernel
        try:
            os.chmod(directory, 0o755)
            description = self.write_files(directory)
            start = time.monotonic()
            done = commands.run([*self.virsh, "create", description])
            if done.code != 0:
                self.module.fail_json(
                    msg=Message(
                        f"libvirt does not start a guest with virt_type {self.module.params['virt_type']}: "
                        f"{done.text}. Read the journal of libvirtd."
                    )
                )
            try:
                return self.wait(start), round(time.monotonic() - start, 2)
            finally:
                commands.run([*self.virsh, "destroy", self.name])
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            for path in (self.serial, self.log):
                if os.path.exists(path):
                    os.unlink(path)

    def write_files(self, directory: str) -> str:
        """Write the kernel and the description of the guest; return the path of the description."""
        kernel, description = os.path.join(directory, "kernel"), os.path.join(directory, "domain.xml")
        with open(kernel, "wb") as file:
            file.write(test_guest.arm_program())
        options = self.module.params
        text = test_guest.domain_xml(
            self.name,
            self.arch,
            options["virt_type"],
            self.serial,
            kernel if self.arch == "aarch64" else None,
            options["cpu_mode"],
            options["cpu_models"],
        )
        with open(description, "w", encoding="utf-8") as file:
            file.write(text)
        return description

    def wait(self, start: float) -> str | None:
        """Wait for the guest's first line and return it; None where its output is not known."""
        expected, timeout = test_guest.expected_output(self.arch), self.module.params["timeout"]
        while time.monotonic() - start < timeout:
            line = test_guest.first_line(Tree("/").read(self.serial), expected)
            if line:
                return line
            done = commands.run([*self.virsh, "domstate", self.name])
            state = done.out.strip()
            if done.code != 0 or state not in ("running", "paused"):
                log = " / ".join(output.error_tail(Tree("/").read(self.log), 3)) or "is empty"
                self.module.fail_json(msg=Message(f"The guest ended by itself ({state or 'gone'}). QEMU's log: {log}"))
            if not expected:
                return None
            time.sleep(PERIOD)
        self.module.fail_json(
            msg=Message(
                f"A guest with virt_type {self.module.params['virt_type']} started, but wrote nothing within "
                f"{timeout} s: its code does not run, or very slowly. Verify the host with kvm_verify, or raise the "
                "timeout."
            )
        )


def main() -> None:
    """Compare, and start the guest outside of check mode."""
    module = AnsibleModule(
        argument_spec={
            "virt_type": {"type": "str", "choices": ["kvm", "qemu"], "required": True},
            "cpu_mode": {"type": "str"},
            "cpu_models": {"type": "list", "elements": "str", "default": []},
            "recommended_virt_type": {"type": "str", "choices": ["kvm", "qemu"]},
            "timeout": {"type": "int", "default": 60},
            "uri": {"type": "str", "default": "qemu:///system"},
        },
        supports_check_mode=True,
    )
    virsh, virt_type = shutil.which("virsh"), module.params["virt_type"]
    result: dict[str, Any] = {
        "serial_line": None,
        "agrees": None,
        "comparison": "libvirt is not installed",
        "libvirt": {},
    }
    if not virsh:
        if module.check_mode:
            module.exit_json(changed=False, msg=test_guest.summary(result, virt_type), **result)
        module.fail_json(msg=Message("virsh is not installed: install libvirt-clients and libvirt-daemon-system."))
    libvirt = facts.domain_capabilities(virsh)
    agrees, text = test_guest.compare(libvirt, module.params["recommended_virt_type"] or virt_type)
    result.update(libvirt=libvirt, agrees=agrees, comparison=text)
    if not libvirt["answers"] and not module.check_mode:
        module.fail_json(
            msg=Message(
                "libvirt does not list the guests that it can run (virsh fails): is QEMU installed and executable? "
                "Read the journal of libvirtd."
            ),
            **result,
        )
    if not module.check_mode:
        result["serial_line"], result["seconds"] = Guest(module, virsh, os.uname().machine).run()
    module.exit_json(changed=False, msg=test_guest.summary(result, virt_type), **result)


if __name__ == "__main__":
    main()
