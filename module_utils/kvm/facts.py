# SPDX-License-Identifier: Apache-2.0
"""Gather everything known about KVM on a machine; a part that fails is named in `errors`, never fatal."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ansible.module_utils.host import commands
from ansible.module_utils.kvm import collect, probe, resources
from ansible.module_utils.kvm.classify import classify, known_class, ratios
from ansible.module_utils.kvm.tree import Tree
from ansible.module_utils.message import Message

PROGRAM_SECONDS = 2
LIBVIRT_SECONDS = 30  # the first connection starts its daemon, which runs QEMU first
GATHER = ("cpu", "kvm", "users", "iommu", "memory", "numa", "power", "secure", "qemu", "libvirt")
DEFAULT_GATHER = [name for name in GATHER if name != "libvirt"]
CORE = {
    "cpu": ("arch", "cpu"),
    "kvm": ("kernel", "node", "modules", "nested", "container", "vm", "dmi", "devices", "cgroup"),
}
# part: key of the facts, function that reads it
PARTS: dict[str, tuple[str, Callable[[Tree], Any]]] = {
    "iommu": ("iommu", resources.iommu),
    "memory": ("memory", resources.memory),
    "numa": ("numa", resources.numa),
    "power": ("power", resources.power),
    "secure": ("secure_guests", resources.secure_guests),
}
Found = TypeVar("Found")


class Gathering:
    """The facts found so far, and the errors of the parts that failed."""

    def __init__(self, tree: Tree, parts: Iterable[str]) -> None:
        self.tree, self.parts = tree, list(parts)
        self.facts: dict[str, Any] = {}
        self.errors: dict[str, str] = {}

    def part(self, name: str, work: Callable[[], Found]) -> Found | None:
        """Return what a part finds; note its error: a strange machine must not cost the other facts."""
        try:
            return work()
        except Exception as error:
            self.errors[name] = f"{type(error).__name__}: {error}"
            return None

    def core(self) -> dict[str, Any]:
        """Gather processor and kernel; return all core facts, also those that are not requested."""
        core = self.part("core", lambda: collect.core(self.tree)) or {}
        for name, keys in CORE.items():
            if name in self.parts:
                self.facts.update({key: core[key] for key in keys if key in core})
        return core

    def cpuid(self) -> None:
        """Add what the CPUID instruction returns on this machine."""
        cpu = self.facts.get("cpu")
        if cpu and self.tree.live:
            cpu["raw"] = self.part("cpuid", _raw_cpuid)
            cpu["hypervisor"] = bool(cpu["hypervisor"] or (cpu["raw"] or {}).get("hypervisor_bit"))

    def kernel_log(self) -> None:
        """Add the messages of the kernel."""
        kernel = self.facts.get("kernel")
        if kernel:
            found = self.part("log", lambda: collect.kernel_messages(self.tree))
            kernel["log"], kernel["log_lines"] = found or ("absent", [])

    def vm(self) -> None:
        """Correct what depends on CPUID, which may show a hypervisor that /proc/cpuinfo does not, and on /etc/group."""
        if "vm" not in self.facts:
            return
        cpu, node = self.facts.get("cpu"), self.facts["node"]
        if cpu:
            vm = self.facts["vm"]
            vm["is_vm"] = cpu["hypervisor"]
            vm["vendor"] = (cpu["raw"] or {}).get("hypervisor_vendor") or vm["vendor"]
            registered = self.facts["kernel"]["kvm_registered"]
            self.facts["nested"]["this_host_is_nested"] = bool(cpu["hypervisor"] and registered)
        if node.get("group") is None and self.tree.live:
            node["group"] = probe.group_name(node.get("gid"))

    def programs(self, arch: str) -> None:
        """Gather QEMU and libvirt."""
        if "qemu" in self.parts or "libvirt" in self.parts:
            self.facts["programs"] = self.part("qemu", lambda: _programs(self.tree, arch)) or {}
        if "libvirt" in self.parts:
            virsh = self.facts["programs"].get("virsh") if self.tree.live else None
            self.facts["libvirt"] = self.part("libvirt", lambda: domain_capabilities(virsh))

    def probe(self, level: str, slice_seconds: float, deadline: float) -> dict[str, Any] | None:
        """Probe KVM, and return the result."""
        found = self.part("probe", lambda: _probe(self.tree, level, slice_seconds, deadline))
        self.facts["probe"] = found
        offered = (found or {}).get("guest_cpu") or {}
        if "nested" in self.facts and isinstance(offered, dict) and "nested_vmx" in offered:
            nested = bool(offered.get("nested_vmx") or offered.get("nested_svm"))
            self.facts["nested"]["offered_to_guests"] = nested
        return found


def gather(
    root: str = "/",
    level: str = "full",
    parts: Iterable[str] | None = None,
    users: Iterable[str] = (),
    slice_ms: int = 25,
    deadline: float = 2.0,
    log: str = "auto",
) -> dict[str, Any]:
    """Return the facts that kvm_facts documents; deadline is in seconds."""
    start = time.perf_counter()
    work = Gathering(Tree(root), DEFAULT_GATHER if parts is None else parts)
    core = work.core()
    work.cpuid()
    if log == "auto":
        work.kernel_log()
    work.vm()
    for name, (key, read) in PARTS.items():
        if name in work.parts:
            work.facts[key] = work.part(name, functools.partial(read, work.tree))
    work.programs(core.get("arch") or "")
    probed = work.probe(level, slice_ms / 1000, deadline)
    if "users" in work.parts:
        work.facts["users"] = work.part("users", lambda: _users(work.tree, users, level, probed)) or {}
    work.facts["errors"] = work.errors
    work.facts["seconds"] = round(time.perf_counter() - start, 4)
    return work.facts


def _raw_cpuid() -> dict[str, Any] | None:
    """Return what CPUID returns; imported late: a Python without ctypes costs only this part."""
    from ansible.module_utils.kvm.native import raw_cpuid

    return raw_cpuid()


def _users(tree: Tree, names: Iterable[str], level: str, probed: dict[str, Any] | None) -> dict[str, Any]:
    """Return for each user whether it may open the node.

    Comes last: a node that hangs for root hangs for others too, and each would wait for its deadline.
    """
    if not tree.live:
        return collect.accounts(tree, names)
    hangs = (probed or {}).get("failed_step") == "deadline"
    if level == "none" or hangs:
        why = (probed or {}).get("reason", "") if hangs else "probe: none"
        accounts = collect.accounts(tree, names)
        return {name: {**account, "open": None, "why": why} for name, account in accounts.items()}
    return {name: probe.try_as(name) for name in names}


def _probe(tree: Tree, level: str, slice_seconds: float, deadline: float) -> dict[str, Any] | None:
    """Return the result of the probe, or what the tree holds of it."""
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


def _output(*command: str, timeout: float) -> str | None:
    """Return the output of a program; None if it is absent, slow (timeout in seconds) or fails."""
    done = commands.run(command, timeout=timeout)
    return done.out if done.code == 0 else None


def _programs(tree: Tree, arch: str) -> dict[str, Any]:
    """Return the programs with their versions."""
    found = resources.programs(tree, arch)
    if tree.live:
        for name, program in (("qemu_version", found["qemu"]), ("libvirt_version", found["virsh"])):
            text = _output(program, "--version", timeout=PROGRAM_SECONDS) if program else None
            match = re.search(r"\d+\.\d+(\.\d+)?", text or "")
            found[name] = match.group(0) if match else None
    return found


def domain_capabilities(virsh: str | None) -> dict[str, Any]:
    """Return which virt_types libvirt offers.

    Only for comparison: libvirt opens the node with more rights than its guests have.
    """
    found: dict[str, Any] = {}
    connection = (virsh or "", "-q", "-c", "qemu:///system")
    answers = bool(virsh) and _output(*connection, "version", timeout=LIBVIRT_SECONDS) is not None
    for kind in ("kvm", "qemu") if answers else ():
        text = _output(*connection, "domcapabilities", "--virttype", kind, timeout=LIBVIRT_SECONDS) or ""
        domain = re.search(r"<domain>(\w+)</domain>", text)
        model = re.search(r"<mode name='host-model'.*?<model[^>]*>([^<]+)</model>", text, re.DOTALL)
        found[kind] = {"offered": bool(domain and domain.group(1) == kind), "host_model": model and model.group(1)}
    return {"answers": answers, "virt_types": found}


def options_problem(options: dict[str, Any]) -> Message | None:
    """Return what is wrong with the options that kvm_facts and kvm_verify share; None if nothing."""
    if not 1 <= options["slice_ms"] <= 500:
        return Message(f"slice_ms is {options['slice_ms']}; give 1 to 500 milliseconds.")
    if not 0.2 <= options["deadline"] <= 60:
        return Message(f"deadline is {options['deadline']}; give 0.2 to 60 seconds.")
    if not os.path.isdir(options["root"]):
        return Message(
            f"root is {options['root']}, which is not a directory on this host; give the top of a tree, or /."
        )
    return None
