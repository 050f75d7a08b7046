# SPDX-License-Identifier: Apache-2.0
"""arm64 guest programs: EL1, MMU off, instruction cache on; they report by a store to an address without memory."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable
from typing import Any

from ansible.module_utils.kvm import abi
from ansible.module_utils.kvm.guest import MASK64, Machine, Vcpu
from ansible.module_utils.kvm.pace import Pace, Report

VECTORS, DATA = 0x1000, 0x10000
REPORT_ADDRESS = 0x0A000000  # no memory there: a store is an exit
REPORT = (0xB9000041, 0x14000000)  # str w1,[x2]; b .

# fmt: off
SOURCES = {
    "long_hello": (0x52800541,) + REPORT,                                              # mov w1,#42
    "long_loop": (0xF1000400, 0x54FFFFE1, 0x17FFFFFE),                              # 1: subs x0,x0,#1; b.ne 1b; b 1b
    # dup v0.4s,w1; add v0.4s,v0.4s,v0.4s; mov w1,v0.s[0]
    "neon": (0x4E040C20, 0x4EA08400, 0x0E043C01) + REPORT,
    # 1: ldaxr w4,[x3]; add w4,w4,#1; stlxr w5,w4,[x3]; cbnz w5,1b; mov w1,w4
    "exclusives": (0x885FFC64, 0x11000484, 0x8805FC64, 0x35FFFFA5, 0x2A0403E1) + REPORT,
    "exception": (0xD4200000,),                                                     # brk #0
    # 1: mrs x1,id_aa64mmfr0_el1 (HCR_EL2.TID3 traps it); subs x0,x0,#1; b.ne 1b; b 1b
    "trap_loop": (0xD5380701, 0xF1000400, 0x54FFFFC1, 0x17FFFFFD),
    "io_loop": (0xB9000041, 0x17FFFFFF),                                            # 1: str w1,[x2]; b 1b
}
# fmt: on
ADDRESS = {name: 0x80 * place for place, name in enumerate(SOURCES)}


def core_register(index: int) -> int:
    """Return the number of a core register."""
    return 0x6030000000100000 | index


def system_register(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """Return the number of a system register."""
    return 0x6030000000130000 | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


PSTATE, PC = core_register(0x42), core_register(0x40)
SCTLR = system_register(3, 0, 1, 0, 0)
CPACR = system_register(3, 0, 1, 0, 2)
VBAR = system_register(3, 0, 12, 0, 0)


class ArmVcpu(Vcpu):
    """A vCPU at EL1."""

    machine: ArmMachine

    def __init__(self, machine: ArmMachine) -> None:
        super().__init__(machine, lambda fd: self._init(machine, fd))
        self.write(CPACR, 3 << 20)  # floating point and NEON allowed
        self.write(SCTLR, (self.read(SCTLR) | 1 << 12) & ~1)  # uncached fetches would be slow
        self.write(VBAR, machine.base + VECTORS)

    @staticmethod
    def _init(machine: ArmMachine, fd: int) -> None:
        """Give the vCPU the processor that KVM prefers."""
        target = bytearray(32)
        abi.call("KVM_ARM_PREFERRED_TARGET", machine.fd, abi.ARM_PREFERRED_TARGET, target)
        abi.call("KVM_ARM_VCPU_INIT", fd, abi.ARM_VCPU_INIT, bytes(target))

    def write(self, register: int, value: int) -> None:
        """Set a register."""
        place = ctypes.c_uint64(value & MASK64)
        request = struct.pack("<QQ", register, ctypes.addressof(place))
        abi.call(f"KVM_SET_ONE_REG {register:#x}", self.fd, abi.SET_ONE_REG, request)

    def read(self, register: int) -> int:
        """Return a register."""
        place = ctypes.c_uint64(0)
        request = struct.pack("<QQ", register, ctypes.addressof(place))
        abi.call(f"KVM_GET_ONE_REG {register:#x}", self.fd, abi.GET_ONE_REG, request)
        return place.value

    def load(self, program: str, **registers: int) -> None:
        """Put the vCPU before the program, with registers x0 to x5."""
        registers.setdefault("x2", REPORT_ADDRESS)
        for number in range(6):
            self.write(core_register(2 * number), registers.get(f"x{number}", 0))
        self.write(PSTATE, 0x3C5)  # EL1h, interrupts masked
        self.write(PC, self.machine.base + ADDRESS[program])

    def counter(self) -> int:
        """Return x0."""
        return self.read(core_register(0))


class ArmMachine(Machine):
    """A VM with the programs at its start."""

    base = 0x40000000

    def __init__(self, kvm: int, out: dict[str, Any], step: Report, pace: Pace) -> None:
        # The default are 40 address bits; a processor with fewer refuses them.
        bits = out["caps"].get("arm_vm_ipa_size", 0)
        super().__init__(kvm, out, step, pace, kind=bits if 0 < bits < 40 else 0)
        for name, words in SOURCES.items():
            struct.pack_into(f"<{len(words)}I", self.memory, ADDRESS[name], *words)
        for offset in (0x000, 0x200):  # synchronous, SP_EL0 and SP_ELx
            struct.pack_into("<3I", self.memory, VECTORS + offset, 0x528000C1, *REPORT)  # mov w1,#6

    def probe(self) -> None:
        """Run the programs and record what they do."""
        out, slice_seconds = self.out, self.pace.slice
        self.step("KVM_CREATE_VCPU")
        vcpu = ArmVcpu(self)
        if self._test(vcpu, "long_hello"):
            self.step("kernel mode loop")
            out["rates"]["long64"] = self.kernel_loop(vcpu, slice_seconds)
            self._test(vcpu, "neon", x1=21)
            fill = functools.partial(struct.pack_into, "<I", self.memory, DATA, 41)
            self._test(vcpu, "exclusives", prepare=fill, x3=self.base + DATA)
            self._test(vcpu, "exception", wanted=6)
            self._costs(vcpu, slice_seconds / 2)
        self.step("devices")
        for name, kind in (
            ("vgic_v2", abi.DEVICE_ARM_VGIC_V2),
            ("vgic_v3", abi.DEVICE_ARM_VGIC_V3),
            ("vgic_its", abi.DEVICE_ARM_VGIC_ITS),
            ("vfio_device", abi.DEVICE_VFIO),
        ):
            out["tests"][name] = abi.device_offered(self.fd, kind)

    def _costs(self, vcpu: ArmVcpu, seconds: float) -> None:
        """Measure exits to KVM and to this process."""
        self.step("costs")
        vcpu.load("trap_loop", x0=MASK64)
        loop = self.out["rates"]["trap_exit"] = vcpu.rate(seconds, 3)
        if loop["per_second"]:
            self.out["exit_ns"] = round(1e9 / loop["per_second"])
        vcpu.load("io_loop")
        self.out["userspace_exit_ns"] = vcpu.round_trip_ns(seconds, "MMIO")

    def new_vcpu(self) -> ArmVcpu:
        """Return one more vCPU."""
        return ArmVcpu(self)

    def kernel_loop(self, vcpu: ArmVcpu, seconds: float) -> dict[str, Any]:
        """Return the speed of code at EL1."""
        vcpu.load("long_loop", x0=MASK64)
        return vcpu.rate(seconds, 2)

    def _test(
        self, vcpu: ArmVcpu, name: str, wanted: int = 42, prepare: Callable[[], None] | None = None, **registers: int
    ) -> bool:
        """Run a program that must report the wanted value."""
        self.step(name)

        def attempt(vcpu: ArmVcpu) -> tuple[bool, dict[str, Any]]:
            if prepare:
                prepare()
            vcpu.load(name, **registers)
            reply = vcpu.run_until_exit()
            return reply["exit"] == "MMIO" and reply.get("value") == wanted, reply

        return self.twice(name, vcpu, attempt)
