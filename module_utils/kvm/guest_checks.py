# SPDX-License-Identifier: Apache-2.0
"""Check what guests of a host get: acceleration, its cost, processors, and users that may start them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible.module_utils.kvm.classify import mapping, number
from ansible.module_utils.kvm.comparison import Comparison, Row, check, row
from ansible.module_utils.kvm.policy import ISA_LEVELS

REAL_MODE_FLOOR = 0.1  # of native speed


def acceleration(host: Comparison) -> Iterator[Row]:
    """Check that guests run on the processor, as far as the policy requires it."""
    require, (cause, found, remedy) = host.policy["require"], host.diagnosis
    if cause in ("ok_unmeasured", "not_probed"):
        status = "warn"
    else:
        status = "pass" if host.usable else "fail" if require == "hardware" else "warn"
    wanted = {"hardware": "guests run on the processor", "any": "KVM, or emulation", "none": "nothing"}[require]
    if status == "warn" and not host.usable:
        remedy = f"guests would be emulated (accepted by require: {require}); to change that: {remedy}"
    yield row("acceleration", status, f"{cause}: {found}", wanted, remedy)


def bare_metal(host: Comparison) -> Iterator[Row]:
    """Check that the host is no virtual machine, where the policy excludes them."""
    if mapping(host.facts.get("cpu")).get("hypervisor") and not host.policy["allow_nested"]:
        vendor = mapping(host.facts.get("vm")).get("vendor") or "unknown"
        remedy = "use another host, or allow_nested: true"
        yield row("bare_metal", "fail", f"a virtual machine ({vendor})", "a physical machine", remedy)


def access(host: Comparison) -> Iterator[Row]:
    """Check that each user may open the node and create a VM."""
    for name in host.policy["users"]:
        user = mapping(host.users.get(name))
        result, wanted = user.get("open"), "may open /dev/kvm and create a VM"
        if result == "ok":
            yield row(f"access {name}", "pass", "ok", wanted)
        elif not isinstance(result, str):
            why = "no such user yet" if user.get("exists") is False else user.get("why") or "not tried"
            yield row(f"access {name}", "skip", why, wanted, "run again once it exists, as root")
        else:
            status = "fail" if host.policy["require"] == "hardware" else "warn"
            yield row(f"access {name}", status, result, wanted, _access_remedy(host, name, user, result))


def _access_remedy(host: Comparison, name: str, user: dict[str, Any], result: str) -> str:
    """Return what gives a user access; result is the errno that it got."""
    node = mapping(host.facts.get("node"))
    if result == "ENOENT":
        return "first give this machine /dev/kvm, see acceleration"
    if result != "EACCES":
        return host.diagnosis.remedy or f"see what refuses it (device cgroup of the unit, security module): {result}"
    group = node.get("group")
    if group in (None, "root"):
        return (
            f"/dev/kvm belongs to gid {node.get('gid')} ({group or 'no name here'}): make it 0660 root:kvm "
            f"(udevadm trigger --name-match=kvm), then usermod -aG kvm {name}"
        )
    if user.get("in_node_group"):
        return f"/dev/kvm is {node.get('mode')}: make it 0660 root:{group} (udevadm trigger --name-match=kvm)"
    return f"usermod -aG {group} {name}; restart its services"


def exit_cost(host: Comparison) -> Iterator[Row]:
    """Check the time of leaving and entering a guest."""
    cost, limit = number(host.measured.get("exit_ns")), host.policy["max_exit_ns"]
    if host.usable and cost is not None:
        remedy = "leaving the guest is slow, as in nested virtualization: expect slow I/O; prefer bare metal"
        yield check("exit_cost", cost <= limit, f"{cost} ns an exit", f"at most {limit} ns", remedy, bad="warn")


def real_mode(host: Comparison) -> Iterator[Row]:
    """Warn of real mode that is interpreted."""
    ratio = number(mapping(host.measured.get("ratios")).get("real16"))
    if host.usable and ratio is not None and ratio < REAL_MODE_FLOOR:
        yield row(
            "real_mode",
            "warn",
            f"{100 * ratio:.2g} % of native speed",
            f"at least {100 * REAL_MODE_FLOOR:g} %",
            "boot loaders and BIOS run slowly: kvm_intel has unrestricted_guest or ept off, or the "
            "processor lacks them",
        )


def interrupt_controller(host: Comparison) -> Iterator[Row]:
    """Warn of a kernel that refuses guests its interrupt controller."""
    test = mapping(mapping(host.measured.get("tests")).get("irqchip"))
    if host.usable and test and not test.get("ok"):
        remedy = "guests run with a slow interrupt controller: read dmesg"
        yield row("irqchip", "warn", f"refused: {test.get('got')}", "an interrupt controller in the kernel", remedy)


def repeated_tests(host: Comparison) -> Iterator[Row]:
    """Warn of guest tests that passed only when they were repeated."""
    tests = mapping(host.measured.get("tests"))
    repeated = sorted(name for name in tests if mapping(tests[name]).get("ok") and "first" in mapping(tests[name]))
    if host.usable and repeated:
        yield row(
            "guest_tests",
            "warn",
            f"failed once, then passed: {', '.join(repeated)}",
            "pass the first time",
            "run again; if it happens again, the level below or the kernel is at fault: read dmesg",
        )


def instruction_set(host: Comparison) -> Iterator[Row]:
    """Check the instruction set level of guests."""
    wanted = host.policy["isa_level"]
    if not wanted:
        return
    level = mapping(host.measured.get("guest_cpu")).get("isa_level")
    if not host.usable:
        yield row("guest_isa", "skip", "guests would be emulated", wanted, "choose cpu_models that have it")
    elif level not in ISA_LEVELS:
        yield row("guest_isa", "skip", "unknown", wanted, "run again with probe: full")
    else:
        good = ISA_LEVELS.index(level) >= ISA_LEVELS.index(wanted)
        remedy = (
            "images built for that level do not boot here: use a newer processor, or have the level below pass "
            "more of it on"
        )
        yield check("guest_isa", good, level, wanted, remedy)


def nested_guests(host: Comparison) -> Iterator[Row]:
    """Check whether guests are offered virtualization."""
    required = host.policy["nested"]
    if required is None:
        return
    cpu = mapping(host.measured.get("guest_cpu"))
    texts = {True: "offered to guests", False: "not offered to guests"}
    wanted = texts[bool(required)]
    if not host.usable or "nested_vmx" not in cpu and "nested_svm" not in cpu:
        yield row("nested", "skip", "unknown", wanted, "run again where KVM works, with probe: full")
        return
    offered = bool(cpu.get("nested_vmx") or cpu.get("nested_svm"))
    module = host.kvm_module
    remedy = (
        f'write "options {module} nested={int(bool(required))}" to /etc/modprobe.d/kvm.conf and reload {module} '
        "while no guest runs"
    )
    yield check("nested", offered == bool(required), texts[offered], wanted, remedy)


def max_vcpus(host: Comparison) -> Iterator[Row]:
    """Check how many virtual processors a guest can have."""
    least = host.policy["min_vcpus"]
    if not least:
        return
    wanted = f"at least {least}"
    most = number(mapping(host.measured.get("caps")).get("max_vcpus"))
    if most is None:
        yield row("max_vcpus", "skip", "unknown", wanted, "run again with probe: full")
    else:
        yield check("max_vcpus", most >= least, most, wanted, "use another kernel, or smaller flavors")
