# SPDX-License-Identifier: Apache-2.0
"""Call the kernel's KVM interface; its numbers are those of include/uapi/linux/kvm.h."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import struct
from typing import Union

# The direction bits of an ioctl number sit elsewhere on three architectures.
if platform.machine().startswith(("ppc", "mips", "sparc")):
    _NONE, _READ, _WRITE, _SHIFT = 1, 2, 4, 29
else:
    _NONE, _WRITE, _READ, _SHIFT = 0, 1, 2, 30


def _number(direction: int, number: int, size: int = 0) -> int:
    """Return the number of an ioctl of KVM."""
    return direction << _SHIFT | size << 16 | 0xAE << 8 | number


GET_API_VERSION = _number(_NONE, 0x00)
CREATE_VM = _number(_NONE, 0x01)
CHECK_EXTENSION = _number(_NONE, 0x03)
GET_VCPU_MMAP_SIZE = _number(_NONE, 0x04)
GET_SUPPORTED_CPUID = _number(_READ | _WRITE, 0x05, 8)
CREATE_VCPU = _number(_NONE, 0x41)
SET_USER_MEMORY_REGION = _number(_WRITE, 0x46, 32)
SET_TSS_ADDR = _number(_NONE, 0x47)
SET_IDENTITY_MAP_ADDR = _number(_WRITE, 0x48, 8)
CREATE_IRQCHIP = _number(_NONE, 0x60)
RUN = _number(_NONE, 0x80)
GET_REGS = _number(_READ, 0x81, 144)
SET_REGS = _number(_WRITE, 0x82, 144)
GET_SREGS = _number(_READ, 0x83, 312)
SET_SREGS = _number(_WRITE, 0x84, 312)
SET_CPUID2 = _number(_WRITE, 0x90, 8)
GET_TSC_KHZ = _number(_NONE, 0xA3)
GET_ONE_REG = _number(_WRITE, 0xAB, 16)
SET_ONE_REG = _number(_WRITE, 0xAC, 16)
ARM_VCPU_INIT = _number(_WRITE, 0xAE, 32)
ARM_PREFERRED_TARGET = _number(_READ, 0xAF, 32)
GET_STATS_FD = _number(_NONE, 0xCE)
CREATE_DEVICE = _number(_READ | _WRITE, 0xE0, 12)

API_VERSION = 12
MISC_MAJOR = 10

# KVM_CAP_*: what an operator or a diagnosis may want to know
# fmt: off
CAPABILITIES = {
    "irqchip": 0, "hlt": 1, "user_memory": 3, "set_tss_addr": 4, "ext_cpuid": 7, "nr_vcpus": 9,
    "nr_memslots": 10, "mp_state": 14, "coalesced_mmio": 15, "sync_mmu": 16, "user_nmi": 22,
    "irq_routing": 25, "mce": 31, "irqfd": 32, "pit2": 33, "ioeventfd": 36, "set_identity_map_addr": 37,
    "adjust_clock": 39, "vcpu_events": 41, "hyperv": 44, "xsave": 55, "xcrs": 56, "async_pf": 59,
    "tsc_control": 60, "get_tsc_khz": 61, "ppc_smt": 64, "max_vcpus": 66, "ppc_papr": 68, "one_reg": 70,
    "tsc_deadline_timer": 72, "signal_msi": 77, "ppc_alloc_htab": 80, "readonly_mem": 81,
    "irqfd_resample": 82, "ppc_htab_fd": 84, "arm_psci": 87, "device_ctrl": 89, "arm_el1_32bit": 93,
    "arm_psci_0_2": 102, "check_extension_vm": 105, "s390_vector_registers": 107, "x86_smm": 117,
    "split_irqchip": 121, "hyperv_synic": 123, "arm_pmu_v3": 126, "max_vcpu_id": 128, "x2apic_api": 129,
    "ppc_mmu_radix": 134, "ppc_mmu_hash_v3": 135, "immediate_exit": 136, "nested_state": 157,
    "ppc_nested_hv": 160, "arm_vm_ipa_size": 165, "manual_dirty_log_protect2": 168, "arm_sve": 170,
    "s390_protected": 180, "smaller_maxphyaddr": 185, "dirty_log_ring": 192, "sgx_attribute": 196,
    "vm_copy_enc_context_from": 197, "binary_stats_fd": 203, "exit_on_emulation_failure": 204,
    "arm_mte": 205, "vm_gpa_bits": 207, "xsave2": 208, "pmu_capability": 212, "vm_tsc_control": 214,
    "x86_notify_vmexit": 219, "vm_types": 235, "arm_el2": 240,
}
# fmt: on

EXIT_IO, EXIT_HLT, EXIT_MMIO, EXIT_SHUTDOWN, EXIT_FAIL_ENTRY, EXIT_INTERNAL_ERROR = 2, 5, 6, 8, 9, 17
# fmt: off
EXITS = {
    0: "UNKNOWN", 1: "EXCEPTION", EXIT_IO: "IO", 3: "HYPERCALL", 4: "DEBUG", EXIT_HLT: "HLT",
    EXIT_MMIO: "MMIO", 7: "IRQ_WINDOW_OPEN", EXIT_SHUTDOWN: "SHUTDOWN", EXIT_FAIL_ENTRY: "FAIL_ENTRY",
    10: "INTR", 11: "SET_TPR", 12: "TPR_ACCESS", 13: "S390_SIEIC", EXIT_INTERNAL_ERROR: "INTERNAL_ERROR",
    18: "OSI", 24: "SYSTEM_EVENT", 28: "ARM_NISV", 29: "X86_RDMSR", 30: "X86_WRMSR", 35: "RISCV_SBI",
    36: "RISCV_CSR", 37: "NOTIFY", 39: "MEMORY_FAULT",
}
# fmt: on
INTERNAL_ERRORS = {1: "EMULATION", 2: "SIMUL_EX", 3: "DELIVERY_EV", 4: "UNEXPECTED_EXIT_REASON"}

DEVICE_VFIO, DEVICE_ARM_VGIC_V2, DEVICE_ARM_VGIC_V3, DEVICE_ARM_VGIC_ITS = 4, 5, 7, 8


Argument = Union[int, bytes, bytearray]


class StepFailed(Exception):
    """A step of the probe was refused: its name and the errno."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step, self.errno = step, number


def errno_name(number: int) -> str:
    """Return the name of an errno, as "EACCES"."""
    return errno.errorcode.get(number, str(number))


def call(step: str, fd: int, request: int, argument: Argument = 0) -> int:
    """Call an ioctl, again after a signal, and return its result; raise StepFailed with the name of the step.

    A bytearray as argument is changed in place.
    """
    while True:
        try:
            result = fcntl.ioctl(fd, request, argument)
        except OSError as error:
            if error.errno != errno.EINTR:
                raise StepFailed(step, error.errno or 0) from error
        else:
            return result if isinstance(result, int) else 0


def capabilities(fd: int) -> dict[str, int]:
    """Return the capabilities that are there, with their values."""
    found = {}
    for name, number in CAPABILITIES.items():
        try:
            value = call(name, fd, CHECK_EXTENSION, number)
        except StepFailed:
            continue
        if value:
            found[name] = value
    return found


def device_offered(vm: int, kind: int) -> dict[str, object]:
    """Test whether the VM could create an in-kernel device; create nothing (KVM_CREATE_DEVICE_TEST)."""
    try:
        call("KVM_CREATE_DEVICE", vm, CREATE_DEVICE, struct.pack("=III", kind, 0, 1))
    except StepFailed as error:
        return {"ok": False, "got": errno_name(error.errno)}
    return {"ok": True}
