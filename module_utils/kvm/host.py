# SPDX-License-Identifier: Apache-2.0
"""The facts of one host as diagnosis uses them, and its result. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible.module_utils.kvm.classify import listing, mapping

# flag of the processor: name of the technology, kernel module
TECHNOLOGY = {"vmx": ("Intel VT-x", "kvm_intel"), "svm": ("AMD-V", "kvm_amd")}
KVM_MAJOR, KVM_MINOR = 10, 232


class Diagnosis(NamedTuple):
    """The cause (docs/kvm.md lists them), what was found, and what to do."""

    cause: str
    found: str
    remedy: str


class Host:
    """The facts of one host under short names; any of them may be missing or malformed."""

    def __init__(self, facts: object, probe: object) -> None:
        known = mapping(facts)
        self.probe = mapping(probe)
        self.probed = isinstance(probe, dict)
        self.arch = str(known.get("arch") or "x86_64")
        self.cpu, self.kernel = mapping(known.get("cpu")), mapping(known.get("kernel"))
        self.node, self.modules = mapping(known.get("node")), mapping(known.get("modules"))
        self.loaded, self.on_disk = mapping(self.modules.get("loaded")), listing(self.modules.get("on_disk"))
        self.container: Any = known.get("container")
        self.vm, self.dmi = mapping(known.get("vm")), mapping(known.get("dmi"))
        self.technology, self.module = TECHNOLOGY.get(
            str(self.cpu.get("virt_flag")), ("hardware virtualization", "kvm")
        )
        self.registered = bool(self.kernel.get("kvm_registered"))
        self.minor: Any = self.kernel.get("kvm_minor") or KVM_MINOR
        self.log_text = " | ".join(str(line) for line in listing(self.kernel.get("log_lines")))
        self.options = [str(option) for option in listing(self.kernel.get("cmdline"))]
        self.step: Any = self.probe.get("failed_step")
        self.errno: Any = self.probe.get("errno")
        self.has_node = bool(self.node.get("exists"))
        self.hypervisor = bool(self.cpu.get("hypervisor"))

    @property
    def flag_shown(self) -> bool:
        """Tell whether the kernel shows the processor's virtualization flag."""
        return bool(self.cpu.get("virt_flag_shown"))

    @property
    def wrong_node(self) -> bool:
        """Tell whether /dev/kvm is something else than the KVM device."""
        place = (self.node.get("major"), self.node.get("minor"))
        return self.has_node and (not self.node.get("chr") or place != (KVM_MAJOR, self.minor))

    @property
    def static_node(self) -> bool:
        """Tell whether kmod made /dev/kvm beforehand (POWER, Z): it is there even where the hardware lacks KVM."""
        return self.arch.startswith(("ppc", "s390")) and not self.registered and not self.flag_shown

    @property
    def holders(self) -> list[str]:
        """Return the loaded modules of other hypervisors."""
        return [name for name in ("vboxdrv", "vmmon") if name in self.loaded]

    def log_has(self, *texts: str) -> bool:
        """Tell whether the kernel log has one of the texts, in any case."""
        return any(text.lower() in self.log_text.lower() for text in texts)
