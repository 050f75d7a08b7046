# SPDX-License-Identifier: Apache-2.0
"""One dictionary of everything known about KVM on a machine; a part that fails is named, never fatal."""

from __future__ import annotations

import os
import re
import subprocess
import time

from ansible.module_utils.kvm import collect, probe
from ansible.module_utils.kvm.classify import classify, known_class, ratios
from ansible.module_utils.kvm.tree import Tree

LIBVIRT_SECONDS = 30  # its daemon starts when asked, and asks QEMU first
GATHER = ("cpu", "kvm", "users", "iommu", "memory", "numa", "power", "secure", "qemu", "libvirt")
DEFAULT_GATHER = [name for name in GATHER if name != "libvirt"]
CORE = {
    "cpu": ("arch", "cpu"),
    "kvm": ("kernel", "node", "modules", "nested", "container", "vm", "dmi", "devices", "cgroup"),
}


def gather(root="/", level="full", parts=None, users=(), slice_ms=25, deadline=2.0, log="auto"):
    start = time.perf_counter()
    parts = DEFAULT_GATHER if parts is None else parts
    tree = Tree(root)
    facts, errors = {}, {}

    def part(name, work):
        try:
            return work()
        except Exception as error:  # a strange machine must not cost the other facts
            errors[name] = f"{type(error).__name__}: {error}"
            return None

    core = part("core", lambda: collect.core(tree)) or {}
    for name in ("cpu", "kvm"):
        if name in parts:
            facts.update({key: core[key] for key in CORE[name] if key in core})
    if "cpu" in facts and tree.live:
        facts["cpu"]["raw"] = part("cpuid", _raw_cpuid)
        facts["cpu"]["hypervisor"] = bool(
            facts["cpu"]["hypervisor"] or (facts["cpu"]["raw"] or {}).get("hypervisor_bit")
        )
    if "kernel" in facts and log == "auto":
        facts["kernel"]["log"], facts["kernel"]["log_lines"] = part("log", lambda: collect.kernel_messages(tree)) or (
            "absent",
            [],
        )
    if "kvm" in parts and "vm" in facts:
        _settle_vm(facts)
        if facts["node"].get("group") is None and tree.live:
            facts["node"]["group"] = probe.group_name(facts["node"].get("gid"))
    for name, key, work in (
        ("iommu", "iommu", collect.iommu),
        ("memory", "memory", collect.memory),
        ("numa", "numa", collect.numa),
        ("power", "power", collect.power),
        ("secure", "secure_guests", collect.secure_guests),
    ):
        if name in parts:
            facts[key] = part(name, lambda work=work: work(tree))
    if "qemu" in parts or "libvirt" in parts:
        found = part("qemu", lambda: _programs(tree, core.get("arch") or "")) or {}
        facts["programs"] = found
    if "libvirt" in parts:
        facts["libvirt"] = part(
            "libvirt", lambda: domain_capabilities(facts["programs"].get("virsh") if tree.live else None)
        )
    facts["probe"] = part("probe", lambda: _probe(tree, level, slice_ms / 1000, deadline))
    offered = (facts["probe"] or {}).get("guest_cpu") or {}
    if "nested" in facts and isinstance(offered, dict) and "nested_vmx" in offered:
        facts["nested"]["offered_to_guests"] = bool(offered.get("nested_vmx") or offered.get("nested_svm"))
    if "users" in parts:
        facts["users"] = part("users", lambda: _users(tree, users, level, facts["probe"])) or {}
    facts["errors"] = errors
    facts["seconds"] = round(time.perf_counter() - start, 4)
    return facts


def _raw_cpuid():
    from ansible.module_utils.kvm.native import raw_cpuid

    return raw_cpuid()


def _settle_vm(facts):
    """CPUID may know of a hypervisor that /proc/cpuinfo does not show."""
    cpu = facts.get("cpu")
    if cpu:
        facts["vm"]["is_vm"] = cpu["hypervisor"]
        facts["vm"]["vendor"] = (cpu["raw"] or {}).get("hypervisor_vendor") or facts["vm"]["vendor"]
        facts["nested"]["this_host_is_nested"] = bool(cpu["hypervisor"] and facts["kernel"]["kvm_registered"])


def _users(tree, names, level, probed):
    """Last, because a node that hangs for root hangs for others too, and each would wait for its deadline."""
    if not tree.live:
        return collect.accounts(tree, names)
    hangs = (probed or {}).get("failed_step") == "deadline"
    if level == "none" or hangs:
        why = (probed or {}).get("reason", "") if hangs else "probe: none"
        return {name: dict(found, open=None, why=why) for name, found in collect.accounts(tree, names).items()}
    return {name: probe.try_as(name) for name in names}


def _probe(tree, level, slice_seconds, deadline):
    if level == "none":
        return None
    if tree.live:
        return probe.probe("/dev/kvm", level, slice_seconds, deadline)
    found = tree.json("/fixture/probe.json")
    if found is None:
        return None
    if not known_class(found.get("class")):
        found["class"], found["reason"] = classify(found)
    found.setdefault("ratios", ratios(found))
    return found


def _run(*command, timeout=2):
    """What a program prints; None if it is absent, slow or fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def _programs(tree, arch):
    found = collect.programs(tree, arch)
    if tree.live:
        for name, program in (("qemu_version", found["qemu"]), ("libvirt_version", found["virsh"])):
            match = re.search(r"\d+\.\d+(\.\d+)?", _run(program, "--version") or "") if program else None
            found[name] = match.group(0) if match else None
    return found


def domain_capabilities(virsh):
    """What libvirt says of each virt_type, for comparison: it opens the node with more rights than its guests have."""
    found = {}

    def virsh_output(*words):
        return _run(virsh, "-q", "-c", "qemu:///system", *words, timeout=LIBVIRT_SECONDS)

    answers = bool(virsh) and virsh_output("version") is not None
    for kind in ("kvm", "qemu") if answers else ():
        text = virsh_output("domcapabilities", "--virttype", kind) or ""
        domain = re.search(r"<domain>(\w+)</domain>", text)
        model = re.search(r"<mode name='host-model'.*?<model[^>]*>([^<]+)</model>", text, re.DOTALL)
        found[kind] = {"offered": bool(domain and domain.group(1) == kind), "host_model": model and model.group(1)}
    return {"answers": answers, "virt_types": found}


def wrong_options(options):
    """What is wrong with the options that both modules share; None if nothing."""
    if not 1 <= options["slice_ms"] <= 500:
        return f"slice_ms is {options['slice_ms']}; give 1 to 500 milliseconds."
    if not 0.2 <= options["deadline"] <= 60:
        return f"deadline is {options['deadline']}; give 0.2 to 60 seconds."
    if not os.path.isdir(options["root"]):
        return f"root is {options['root']}, which is not a folder on this host; give the top of a tree, or /."
    return None
