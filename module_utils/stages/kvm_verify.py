# SPDX-License-Identifier: Apache-2.0
"""Verify that a host can run KVM guests as a policy requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.kvm import facts as kvm_facts
from ansible.module_utils.kvm.evaluate import evaluate
from ansible.module_utils.kvm.policy import ISA_LEVELS, POLICY, SECURE, policy_problem
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    policy: dict[str, Any] = {
        "require": {"type": "str", "choices": ["hardware", "any", "none"], "default": "hardware"},
        "allow_nested": {"type": "bool", "default": True},
        "max_exit_ns": {"type": "int", "default": 10000},
        "users": {"type": "list", "elements": "str", "default": ["nova", "libvirt-qemu"]},
        "nested": {"type": "bool"},
        "isa_level": {"type": "str", "choices": list(ISA_LEVELS[1:])},
        "min_vcpus": {"type": "int", "default": 0},
        "iommu": {"type": "bool"},
        "hugepages": {"type": "dict", "default": {}},
        "secure": {"type": "list", "elements": "str", "choices": list(SECURE), "default": []},
        "vtpm": {"type": "bool", "default": False},
        "devices": {"type": "dict", "default": {}},
        "release": {"type": "str"},
        "warnings_are_errors": {"type": "bool", "default": False},
    }
    return dict(
        policy,
        on_failure={"type": "str", "choices": ["fail", "report"], "default": "fail"},
        facts={"type": "dict"},
        return_facts={"type": "bool", "default": False},
        slice_ms={"type": "int", "default": 25},
        deadline={"type": "float", "default": 2.0},
        log={"type": "str", "choices": ["auto", "none"], "default": "auto"},
        root={"type": "path", "default": "/"},
    )


ARGUMENT_SPEC = argument_spec()


def run(module: AnsibleModule) -> None:
    """Probe the host where no facts are given, and evaluate it."""
    options = module.params
    problem = kvm_facts.options_problem(options) or policy_problem(options)
    if problem:
        module.fail_json(msg=problem)
    found = options["facts"]
    probed = not found
    if probed:
        found = kvm_facts.gather(
            root=options["root"],
            users=options["users"],
            slice_ms=options["slice_ms"],
            deadline=options["deadline"],
            log=options["log"],
        )
    result = evaluate(found, {name: options[name] for name in POLICY})
    if result["result"] == "fail" and options["on_failure"] == "fail":
        module.fail_json(msg=Message(result.pop("msg")), changed=False, **result)
    if probed and options["return_facts"]:
        result["ansible_facts"] = {"kvm": found}
    module.exit_json(changed=False, **result)
