# SPDX-License-Identifier: Apache-2.0
"""Run a few machine instructions in this process: native speed, and what the CPUID instruction returns."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import time
from typing import Any

# fmt: off
LOOPS = {
    "x86_64": bytes.fromhex("48ffcf" "75fb" "31c0" "c3"),                    # dec rdi; jnz; xor eax,eax; ret
    "aarch64": struct.pack("<3I", 0xF1000400, 0x54FFFFE1, 0xD65F03C0),       # subs x0,x0,#1; b.ne; ret
}
# void cpuid(u32 leaf, u32 subleaf, u32 out[4])
X86_CPUID = bytes.fromhex("53" "89f8" "89f1" "4989d0" "0fa2" "418900" "41895804" "41894808" "4189500c" "5b" "c3")
# fmt: on


def executable(code: bytes) -> mmap.mmap | None:
    """Return a page that holds the code; None where a security policy forbids writable and executable memory."""
    rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    try:
        if platform.machine() == "x86_64":
            page = mmap.mmap(-1, mmap.PAGESIZE, prot=rights)
            page.write(code)
            return page
        # Elsewhere instruction caches are not coherent: the kernel cleans them for a mapped file.
        file = os.memfd_create("loop")
        try:
            os.write(file, code.ljust(mmap.PAGESIZE, b"\0"))
            return mmap.mmap(file, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE, prot=rights)
        finally:
            os.close(file)
    except (AttributeError, OSError, ValueError):
        return None


def address_of(memory: mmap.mmap) -> int:
    """Return the address of memory in this process."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def loop_rate(seconds: float) -> float | None:
    """Return the turns per CPU second of the two-instruction loop, best of a few runs; None where it cannot run."""
    code = LOOPS.get(platform.machine())
    page = executable(code) if code and ctypes.sizeof(ctypes.c_void_p) == 8 else None
    if page is None:
        return None
    function = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_ulong)(address_of(page))
    turns, best, end = 100000, 0.0, time.perf_counter() + seconds
    function(turns)
    while not best or time.perf_counter() < end:
        start = time.thread_time()
        function(turns)
        used = max(time.thread_time() - start, 1e-6)
        if used > 0.0003:  # shorter runs measure the clock
            best = max(best, turns / used)
        turns = int(min(max(turns * 2, 1), turns / used * seconds / 5, 2e8)) or 100000
    return best


def raw_cpuid() -> dict[str, Any] | None:
    """Return what CPUID returns, whatever the kernel shows: it hides vmx/svm when firmware has locked them."""
    if platform.machine() != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    page = executable(X86_CPUID)
    if page is None:
        return None
    function = ctypes.CFUNCTYPE(None, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)(address_of(page))
    registers = (ctypes.c_uint * 4)()

    def leaf(number: int, sub: int = 0) -> list[int]:
        function(number, sub, ctypes.addressof(registers))
        return list(registers)

    def text(*words: int) -> str:
        return struct.pack("<3I", *words).decode("latin1").strip("\0")

    highest, ebx, ecx, edx = leaf(0)
    features = leaf(1)
    found: dict[str, Any] = {
        "max_leaf": highest,
        "vendor": text(ebx, edx, ecx),
        "vmx": bool(features[2] >> 5 & 1),
        "svm": False,
        "hypervisor_bit": bool(features[2] >> 31 & 1),
    }
    extended = leaf(0x80000000)[0]
    if not 0x80000001 <= extended < 0x80010000:
        extended = 0
    if extended >= 0x80000001:
        found["svm"] = bool(leaf(0x80000001)[2] >> 2 & 1)
    if extended >= 0x80000008:
        found["phys_bits"] = leaf(0x80000008)[0] & 0xFF
    if extended >= 0x8000001F:
        memory_encryption = leaf(0x8000001F)
        for bit, name in ((0, "sme"), (1, "sev"), (3, "sev_es"), (4, "sev_snp")):
            found[name] = bool(memory_encryption[0] >> bit & 1)
        found["sev_asids"], found["sev_min_asid"] = memory_encryption[2], memory_encryption[3]
    if found["hypervisor_bit"]:
        found["hypervisor_vendor"] = text(*leaf(0x40000000)[1:])
    return found
