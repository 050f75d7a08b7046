# SPDX-License-Identifier: Apache-2.0
"""Verify that a host can run KVM guests as a policy asks."""

from __future__ import annotations

from ansible.module_utils.kvm import evaluate
from ansible.module_utils.kvm import facts as kvm


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    policy = {
        "require": {"type": "str", "choices": ["hardware", "any", "none"], "default": "hardware"},
        "allow_nested": {"type": "bool", "default": True},
        "max_exit_ns": {"type": "int", "default": 10000},
        "users": {"type": "list", "elements": "str", "default": ["nova", "libvirt-qemu"]},
        "nested": {"type": "bool"},
        "isa_level": {"type": "str", "choices": list(evaluate.ISA_LEVELS[1:])},
        "min_vcpus": {"type": "int", "default": 0},
        "iommu": {"type": "bool"},
        "hugepages": {"type": "dict", "default": {}},
        "secure": {"type": "list", "elements": "str", "choices": list(evaluate.SECURE), "default": []},
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


def run(module) -> None:
    """Probe where no facts are given, and evaluate."""
    options = module.params
    problem = kvm.wrong_options(options) or evaluate.wrong_policy(options)
    if problem:
        module.fail_json(msg=problem)
    answer = {"changed": False}
    found = options["facts"]
    if not found:
        found = kvm.gather(
            root=options["root"],
            users=options["users"],
            slice_ms=options["slice_ms"],
            deadline=options["deadline"],
            log=options["log"],
        )
        if options["return_facts"]:
            answer["ansible_facts"] = {"kvm": found}
    answer.update(evaluate.evaluate(found, {name: options[name] for name in evaluate.POLICY}))
    if answer["result"] == "fail" and options["on_failure"] == "fail":
        answer.pop("ansible_facts", None)
        module.fail_json(**answer)
    module.exit_json(**answer)
