# SPDX-License-Identifier: Apache-2.0
"""x86-64 guest programs for real mode, 64-bit kernel mode (ring 0) and user mode (ring 3); no compiler needed."""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.kvm import abi
from ansible.module_utils.kvm.guest import MASK64, Machine, Vcpu
from ansible.module_utils.kvm.pace import Pace, Report

# Addresses in the guest's 2 MiB
PML4, PDPT, PD, GDT, IDT, TSS, STUBS, PROGRAMS = range(0x1000, 0x9000, 0x1000)
DATA, STACK = 0x10000, 0x1F000
# Two places below 256 MiB that Intel without "unrestricted guest" needs to run real mode
IDENTITY_MAP, TASK_STATE = 0x0FEFF000, 0x0FEFC000

PORT_TEXT, PORT_RESULT, PORT_EXCEPTION = 0x3F8, 0xF0, 0xF1
CR0 = 0x80050033  # PG AM WP NE ET MP PE
CR4 = 0x20 | 0x80 | 0x200 | 0x400  # PAE PGE OSFXSR OSXMMEXCPT
CR4_OSXSAVE = 0x40000
EFER = 0x500  # LME LMA
REPORT = "e7f0f4"  # out 0xf0,eax; hlt

# fmt: off
SOURCES = {
    # 16-bit
    "real_hello": "baf803" "b04b" "ee" "f4",                     # mov dx,0x3f8; mov al,'K'; out dx,al; hlt
    "real_loop": "6649" "75fc" "ebfa",                           # 1: dec ecx; jnz 1b; jmp 1b
    # 64-bit
    "long_hello": "b82a000000" + REPORT,                         # mov eax,42
    "long_loop": "48ffc9" "75fb" "ebf9",                         # 1: dec rcx; jnz 1b; jmp 1b
    "lock_loop": "f0ff06" "48ffc9" "75f8" "ebf6",                # 1: lock inc dword [rsi]; dec rcx; jnz 1b; jmp 1b
    "exception": "0f0b",                                         # ud2
    "sse2": "660f6ec0" "660f70c000" "660ffec0" "660f7ec0" + REPORT,   # movd; pshufd; paddd xmm0,xmm0; movd
    "popcnt": "f30fb8c0" + REPORT,                               # popcnt eax,eax
    "cmpxchg16b": "f0480fc70e" "0f94c0" "0fb6c0" + REPORT,       # lock cmpxchg16b [rsi]; setz al; movzx eax,al
    # push rax; xsetbv(0, x87|SSE|AVX); pop rax; vmovd xmm0,eax; vpaddd; vmovd eax,xmm0
    "avx": "50" "b900000000" "31d2" "b807000000" "0f01d1" "58" "c5f96ec0" "c5f9fec0" "c5f97ec0" + REPORT,
    # wrmsr IA32_STAR, which a kernel sets up first; clear; rdmsr
    "msr": "b9810000c0" "31d2" "b82a000000" "0f30" "31c0" "0f32" + REPORT,
    "mmu": "0f013e" "0f20d8" "0f22d8" "b82a000000" + REPORT,     # invlpg [rsi]; cr3 to itself
    "cpuid_loop": "31c0" "0fa2" "48ffce" "75f7" "ebf5",          # 1: xor eax,eax; cpuid; dec rsi; jnz 1b; jmp 1b
    "io_loop": "e6f2" "ebfc",                                    # 1: out 0xf2,al; jmp 1b
}
ADDRESS = {name: PROGRAMS + 0x40 * place for place, name in enumerate(SOURCES)}
# fmt: on
REGISTERS = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags".split()

# What an image built for a level of the x86-64 psABI may use: bits of (leaf, register)
LEVELS = (
    ("x86-64-v2", {(1, "ecx"): (0, 9, 13, 19, 20, 23), (0x80000001, "ecx"): (0,)}),
    ("x86-64-v3", {(1, "ecx"): (12, 22, 28, 29), (7, "ebx"): (3, 5, 8), (0x80000001, "ecx"): (5,)}),
    ("x86-64-v4", {(7, "ebx"): (16, 17, 28, 30, 31)}),
)
# fmt: off
FEATURES = {
    "nested_vmx": (1, "ecx", 5), "nested_svm": (0x80000001, "ecx", 2), "long_mode": (0x80000001, "edx", 29),
    "nx": (0x80000001, "edx", 20), "pdpe1gb": (0x80000001, "edx", 26), "x2apic": (1, "ecx", 21),
    "tsc_deadline": (1, "ecx", 24), "sse2": (1, "edx", 26), "cx16": (1, "ecx", 13), "popcnt": (1, "ecx", 23),
    "aes": (1, "ecx", 25), "avx": (1, "ecx", 28), "avx2": (7, "ebx", 5), "avx512f": (7, "ebx", 16),
}
# fmt: on


def describe_cpuid(leaves: Mapping[tuple[int, int], tuple[int, ...]]) -> dict[str, Any]:
    """Return the CPU features of guests from {(leaf, subleaf): (eax, ebx, ecx, edx)}."""

    def bit(leaf: int, register: str, number: int) -> bool:
        values = leaves.get((leaf, 0), (0, 0, 0, 0))
        return bool(values[("eax", "ebx", "ecx", "edx").index(register)] >> number & 1)

    found: dict[str, Any] = {name: bit(*place) for name, place in FEATURES.items()}
    sizes = leaves.get((0x80000008, 0), (0,))[0]
    found["phys_bits"], found["guest_phys_bits"] = sizes & 0xFF, sizes >> 16 & 0xFF
    found["isa_level"] = "x86-64-v1" if found["long_mode"] else "i686"
    for level, wanted in LEVELS:
        if not all(bit(leaf, register, number) for (leaf, register), bits in wanted.items() for number in bits):
            break
        found["isa_level"] = level
    return found


def segment(
    selector: int,
    kind: int,
    ring: int = 0,
    limit: int = 0xFFFFFFFF,
    base: int = 0,
    code64: int = 0,
    size32: int = 0,
    system: int = 1,
    granular: int = 1,
) -> bytes:
    """Return a struct kvm_segment."""
    return struct.pack("<QIH10B", base, limit, selector, kind, 1, ring, size32, system, code64, granular, 0, 0, 0)


class X86Vcpu(Vcpu):
    """A vCPU that offers the guest everything that KVM supports."""

    machine: X86Machine

    def __init__(self, machine: X86Machine) -> None:
        super().__init__(machine, lambda fd: abi.call("KVM_SET_CPUID2", fd, abi.SET_CPUID2, machine.cpuid))

    def load(self, program: str, mode: str = "long", **registers: int) -> None:
        """Put the vCPU before the program in real mode, in 64-bit ring 0 ("long") or ring 3 ("user")."""
        self._set_mode(mode)
        registers.update(rip=ADDRESS[program], rsp=STACK, rflags=2)
        values = [registers.get(name, 0) & MASK64 for name in REGISTERS]
        abi.call("KVM_SET_REGS", self.fd, abi.SET_REGS, struct.pack("<18Q", *values))
        self.counting = "rsi" if program == "cpuid_loop" else "rcx"

    def _set_mode(self, mode: str) -> None:
        """Set segments, page tables and control registers of a mode."""
        state = bytearray(312)  # struct kvm_sregs
        abi.call("KVM_GET_SREGS", self.fd, abi.GET_SREGS, state)
        if mode == "real":
            code = segment(0, 11, limit=0xFFFF, granular=0)
            data = segment(0, 3, limit=0xFFFF, granular=0)
        elif mode == "user":
            code, data = segment(0x1B, 11, ring=3, code64=1), segment(0x23, 3, ring=3, size32=1)
        else:
            code, data = segment(0x08, 11, code64=1), segment(0x10, 3, size32=1)
        state[0:144] = code + data * 5
        if mode != "real":
            state[144:168] = segment(0x28, 11, limit=0x67, base=TSS, system=0, granular=0)
            struct.pack_into("<QH", state, 192, GDT, 0x37)
            struct.pack_into("<QH", state, 208, IDT, 0x1FF)
            cr4 = CR4 | (CR4_OSXSAVE if self.machine.out["guest_cpu"]["avx"] else 0)
            struct.pack_into("<6Q", state, 224, CR0, 0, PML4, cr4, 0, EFER)
        abi.call("KVM_SET_SREGS", self.fd, abi.SET_SREGS, bytes(state))

    def registers(self) -> dict[str, int]:
        """Return the general registers."""
        values = bytearray(144)
        abi.call("KVM_GET_REGS", self.fd, abi.GET_REGS, values)
        return dict(zip(REGISTERS, struct.unpack("<18Q", bytes(values))))

    def counter(self) -> int:
        """Return the register that the loaded program counts down."""
        return self.registers()[self.counting]

    def describe(self, reason: int) -> dict[str, Any]:
        """Return the details of an exit: a port, or why the guest ended."""
        found: dict[str, Any] = {}
        if reason == abi.EXIT_IO:
            out, size, port, _count, offset = struct.unpack_from("<BBHIQ", self.shared, 32)
            value = int.from_bytes(self.shared[offset : offset + size], "little")
            return {"port": port, "out": bool(out), "value": value}
        if reason == abi.EXIT_FAIL_ENTRY:
            found["hardware_reason"] = hex(struct.unpack_from("<Q", self.shared, 32)[0])
        elif reason == abi.EXIT_INTERNAL_ERROR:
            kind, count, flags, size = struct.unpack_from("<IIQB", self.shared, 32)
            found["suberror"] = abi.INTERNAL_ERRORS.get(kind, str(kind))
            if kind == 1 and count and flags & 1:
                found["instruction"] = bytes(self.shared[49 : 49 + min(size, 15)]).hex()
        if reason in (abi.EXIT_SHUTDOWN, abi.EXIT_FAIL_ENTRY, abi.EXIT_INTERNAL_ERROR):
            found["rip"] = hex(self.registers()["rip"])
        return found or super().describe(reason)


class X86Machine(Machine):
    """A VM with page tables, descriptors and the programs in its memory."""

    def __init__(self, kvm: int, out: dict[str, Any], step: Report, pace: Pace) -> None:
        super().__init__(kvm, out, step, pace)
        self.cpuid = self._supported_cpuid()
        self._fill_memory()

    def prepare(self) -> None:
        """Reserve the addresses that Intel without "unrestricted guest" needs."""
        try:
            abi.call("KVM_SET_IDENTITY_MAP_ADDR", self.fd, abi.SET_IDENTITY_MAP_ADDR, struct.pack("<Q", IDENTITY_MAP))
            abi.call("KVM_SET_TSS_ADDR", self.fd, abi.SET_TSS_ADDR, TASK_STATE)
        except abi.StepFailed as failure:
            self.out["notes"].append(str(failure))

    def _supported_cpuid(self) -> bytearray:
        """Return the table of KVM_GET_SUPPORTED_CPUID, and record what it offers guests."""
        table = bytearray(8 + 40 * 256)  # a bytearray: fcntl limits immutable buffers to 1024 bytes
        struct.pack_into("<I", table, 0, 256)
        abi.call("KVM_GET_SUPPORTED_CPUID", self.kvm, abi.GET_SUPPORTED_CPUID, table)
        count = struct.unpack_from("<I", table)[0]
        leaves: dict[tuple[int, int], tuple[int, ...]] = {}
        for place in range(count):
            leaf, sub, _flags, *values = struct.unpack_from("<7I", table, 8 + 40 * place)
            leaves[leaf, sub] = tuple(values)
        self.out["guest_cpu"] = describe_cpuid(leaves)
        return table[: 8 + 40 * count]

    def _fill_memory(self) -> None:
        """Write page tables, descriptors, exception handlers and programs."""
        memory = self.memory
        struct.pack_into("<Q", memory, PML4, PDPT | 7)
        struct.pack_into("<Q", memory, PDPT, PD | 7)
        struct.pack_into("<Q", memory, PD, 0x87)  # one 2 MiB page, user and writable
        descriptors = (
            0,
            0x00AF9B000000FFFF,
            0x00CF93000000FFFF,
            0x00AFFB000000FFFF,
            0x00CFF3000000FFFF,
            0x00008B0060000067,
            0,
        )  # code and data of ring 0, of ring 3, task state
        struct.pack_into("<7Q", memory, GDT, *descriptors)
        for vector in range(32):  # each exception reports its number
            stub = STUBS + 8 * vector
            memory[stub : stub + 5] = bytes((0xB0, vector, 0xE6, PORT_EXCEPTION, 0xF4))
            struct.pack_into("<HHBBHII", memory, IDT + 16 * vector, stub, 8, 0, 0x8E, 0, 0, 0)
        struct.pack_into("<Q", memory, TSS + 4, STACK)
        for name, source in SOURCES.items():
            code = bytes.fromhex(source)
            memory[ADDRESS[name] : ADDRESS[name] + len(code)] = code

    def probe(self) -> None:
        """Run the programs in each mode and record what they do."""
        rates, slice_seconds = self.out["rates"], self.pace.slice
        self.step("real mode")
        vcpu = X86Vcpu(self)
        if self._real_hello(vcpu):
            vcpu.load("real_loop", "real", rcx=0xFFFFFFFF)
            rates["real16"] = vcpu.rate(slice_seconds, 2)
        vcpu = X86Vcpu(self)
        if self._test(vcpu, "long_hello"):
            self.step("long mode loop")
            rates["long64"] = self.kernel_loop(vcpu, slice_seconds)
            self._instructions(vcpu)
            self._costs(vcpu, slice_seconds / 2)
        self.step("ring 3 loop")
        user = X86Vcpu(self)
        user.load("long_loop", "user", rcx=MASK64)
        rates["user64"] = user.rate(slice_seconds, 2)
        self._devices(vcpu)

    def new_vcpu(self) -> X86Vcpu:
        """Return one more vCPU."""
        return X86Vcpu(self)

    def kernel_loop(self, vcpu: X86Vcpu, seconds: float) -> dict[str, Any]:
        """Return the speed of code in 64-bit ring 0."""
        vcpu.load("long_loop", rcx=MASK64)
        return vcpu.rate(seconds, 2)

    def _real_hello(self, vcpu: X86Vcpu) -> bool:
        """Run a program in real mode that writes a letter to the serial port, then halts."""
        vcpu.load("real_hello", "real")
        reply = vcpu.run_until_exit()
        passed = reply.get("port") == PORT_TEXT and reply.get("value") == ord("K")
        if passed:
            reply = vcpu.run_until_exit()
            passed = reply["exit"] == "HLT"
        return self.record("real_hello", passed, reply)

    def _test(
        self,
        vcpu: X86Vcpu,
        name: str,
        wanted: int = 42,
        port: int = PORT_RESULT,
        prepare: Callable[[], None] | None = None,
        **registers: int,
    ) -> bool:
        """Run a program that must write the wanted value to a port."""
        self.step(name)

        def attempt(vcpu: X86Vcpu) -> tuple[bool, dict[str, Any]]:
            if prepare:
                prepare()
            vcpu.load(name, "long", **registers)
            reply = vcpu.run_until_exit()
            return reply.get("port") == port and reply.get("value") == wanted, reply

        return self.twice(name, vcpu, attempt)

    def _instructions(self, vcpu: X86Vcpu) -> None:
        """Test instructions that every guest kernel needs, as far as guests are offered them."""
        cpu = self.out["guest_cpu"]
        self._test(vcpu, "exception", wanted=6, port=PORT_EXCEPTION)
        if cpu["sse2"]:
            self._test(vcpu, "sse2", rax=21)
        if cpu["popcnt"]:
            self._test(vcpu, "popcnt", wanted=8, rax=0xFF)
        if cpu["cx16"]:
            fill = functools.partial(struct.pack_into, "<QQ", self.memory, DATA, 0x1111, 0x2222)
            registers = {"rsi": DATA, "rax": 0x1111, "rdx": 0x2222, "rbx": 0x3333, "rcx": 0x4444}
            swapped = self._test(vcpu, "cmpxchg16b", wanted=1, prepare=fill, **registers)
            memory = struct.unpack_from("<QQ", self.memory, DATA)
            if swapped and memory != (0x3333, 0x4444):
                self.record("cmpxchg16b", False, {"exit": "IO", "memory": list(memory)})
        if cpu["avx"]:
            self._test(vcpu, "avx", rax=21)
        self._test(vcpu, "msr")
        self._test(vcpu, "mmu", rsi=DATA)

    def _costs(self, vcpu: X86Vcpu, seconds: float) -> None:
        """Measure locked instructions, and exits to KVM and to this process."""
        rates = self.out["rates"]
        self.step("costs")
        vcpu.load("lock_loop", rcx=MASK64, rsi=DATA)
        rates["lock64"] = vcpu.rate(seconds, 3)
        vcpu.load("cpuid_loop", rsi=MASK64)
        rates["cpuid_exit"] = vcpu.rate(seconds, 4)
        if rates["cpuid_exit"]["per_second"]:
            self.out["exit_ns"] = round(1e9 / rates["cpuid_exit"]["per_second"])
        vcpu.load("io_loop")
        self.out["userspace_exit_ns"] = vcpu.round_trip_ns(seconds, "IO")

    def _devices(self, vcpu: X86Vcpu) -> None:
        """Test the clock and the in-kernel devices."""
        self.step("devices")
        if self.out["caps"].get("get_tsc_khz"):
            try:
                self.out["tsc_khz"] = abi.call("KVM_GET_TSC_KHZ", vcpu.fd, abi.GET_TSC_KHZ)
            except abi.StepFailed as failure:
                self.out["notes"].append(str(failure))
        second = abi.call("KVM_CREATE_VM", self.kvm, abi.CREATE_VM, 0)
        try:
            abi.call("KVM_CREATE_IRQCHIP", second, abi.CREATE_IRQCHIP)
            self.record("irqchip", True, None)
        except abi.StepFailed as failure:
            self.record("irqchip", False, str(failure))
        finally:
            os.close(second)
        self.out["tests"]["vfio_device"] = abi.device_offered(self.fd, abi.DEVICE_VFIO)
