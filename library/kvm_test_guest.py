#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_test_guest
short_description: Start a throw-away guest in libvirt and wait for its first words
version_added: "0.1.0"
description:
  - Compares the recommendation of M(kvm_verify) with what libvirt offers, then starts a transient guest without disk or
    network under the chosen virt_type and CPU, waits until it has written to its serial port, and destroys it.
  - Nothing stays, also when it fails.
options:
  virt_type:
    description: How libvirt runs the guest.
    type: str
    choices: [kvm, qemu]
    required: true
  cpu_mode:
    description: CPU of the guest, as Nova's option of that name.
    type: str
  cpu_models:
    description: CPU models for V(custom), as Nova's option of that name.
    type: list
    elements: str
    default: []
  recommended_virt_type:
    description: What M(kvm_verify) recommends. The guest's O(virt_type) unless set.
    type: str
    choices: [kvm, qemu]
  timeout:
    description: Seconds to wait for the guest's first words.
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
- name: Prove that a guest runs as Nova would run it
  kvm_test_guest:
    virt_type: "{{ kvm_preflight_result.recommended_virt_type }}"
    cpu_mode: "{{ kvm_preflight_result.recommended.cpu_mode }}"
    cpu_models: "{{ kvm_preflight_result.recommended.cpu_models }}"
"""

RETURN = r"""
agrees:
  description: Whether libvirt offers what M(kvm_verify) recommends.
  returned: always
  type: bool
comparison:
  description: The same in words.
  returned: always
  type: str
libvirt:
  description: What libvirt offers.
  returned: always
  type: dict
msg:
  description: The whole in one sentence, for a person.
  returned: always
  type: str
serial_line:
  description: The guest's first words; null where none are known for the architecture, or in check mode.
  returned: always
  type: str
seconds:
  description: Time from starting the guest to its words.
  returned: when a guest ran
  type: float
"""

import os
import shutil
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kvm import facts, test_guest
from ansible.module_utils.kvm.tree import Tree

LOGS = "/var/log/libvirt/qemu"


def run_guest(module, virsh, arch):
    """(its words or None, seconds); the guest is gone afterwards."""
    options = module.params
    name = f"kvm-test-guest-{os.getpid()}"
    serial, start_text = f"{LOGS}/{name}.serial", test_guest.expected_output(arch)
    directory = tempfile.mkdtemp(prefix="kvm-test-guest-", dir="/var/tmp")  # QEMU's user must reach the kernel
    try:
        os.chmod(directory, 0o755)
        kernel, description = os.path.join(directory, "kernel"), os.path.join(directory, "domain.xml")
        with open(kernel, "wb") as file:
            file.write(test_guest.arm_program())
        with open(description, "w", encoding="utf-8") as file:
            file.write(
                test_guest.domain_xml(
                    name,
                    arch,
                    options["virt_type"],
                    serial,
                    kernel if arch == "aarch64" else None,
                    options["cpu_mode"],
                    options["cpu_models"],
                )
            )
        start = time.monotonic()
        code, out, err = module.run_command([virsh, "-q", "-c", options["uri"], "create", description])
        if code != 0:
            module.fail_json(
                msg=f"libvirt does not start a guest with virt_type {options['virt_type']}: "
                f"{(err or out).strip()}. Look into {LOGS}/{name}.log and the journal of libvirtd."
            )
        try:
            return wait(module, virsh, name, serial, start_text, start)
        finally:
            module.run_command([virsh, "-q", "-c", options["uri"], "destroy", name])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for path in (serial, f"{LOGS}/{name}.log"):
            if os.path.exists(path):
                os.unlink(path)


def wait(module, virsh, name, serial, start_text, start):
    text = ""
    while time.monotonic() - start < module.params["timeout"]:
        text = Tree("/").read(serial)
        line = test_guest.first_line(text, start_text)
        if line:
            return line, round(time.monotonic() - start, 2)
        code, state, _err = module.run_command([virsh, "-q", "-c", module.params["uri"], "domstate", name])
        if code != 0 or state.strip() not in ("running", "paused"):
            module.fail_json(msg=f"The guest ended by itself ({state.strip() or 'gone'}); see {LOGS}/{name}.log.")
        if not start_text:
            return None, round(time.monotonic() - start, 2)
        time.sleep(0.2)
    return module.fail_json(
        msg=f"A guest with virt_type {module.params['virt_type']} started, but said nothing within "
        f"{module.params['timeout']} s: its code does not run, or very slowly. Verify the host with kvm_verify, or "
        "raise the timeout."
    )


def main():
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
    virsh, arch = shutil.which("virsh"), os.uname().machine
    answer = {
        "changed": False,
        "serial_line": None,
        "agrees": None,
        "comparison": "libvirt is not installed",
        "libvirt": {},
    }
    if not virsh:
        if module.check_mode:
            module.exit_json(msg=test_guest.summary(answer, module.params["virt_type"]), **answer)
        module.fail_json(msg="virsh is not there: install libvirt-clients and libvirt-daemon-system first.")
    answer["libvirt"] = facts.domain_capabilities(virsh)
    answer["agrees"], answer["comparison"] = test_guest.compare(
        answer["libvirt"], module.params["recommended_virt_type"] or module.params["virt_type"]
    )
    if not answer["libvirt"]["answers"] and not module.check_mode:
        module.fail_json(
            msg="libvirt cannot say what guests it runs (virsh domcapabilities fails): is QEMU installed and "
            "executable? The journal of libvirtd says more.",
            **answer,
        )
    if not module.check_mode:
        answer["serial_line"], answer["seconds"] = run_guest(module, virsh, arch)
    module.exit_json(msg=test_guest.summary(answer, module.params["virt_type"]), **answer)


if __name__ == "__main__":
    main()
