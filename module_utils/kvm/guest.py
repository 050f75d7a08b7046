# SPDX-License-Identifier: Apache-2.0
"""A temporary virtual machine and its vCPUs: the part that all architectures share."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.kvm import abi
from ansible.module_utils.kvm.native import address_of
from ansible.module_utils.kvm.pace import Pace, Report

MASK64 = 0xFFFFFFFFFFFFFFFF
ALIGN = 2 << 20  # s390x wants memory on a 1 MiB boundary, huge pages on 2 MiB

# A reply is why a guest stopped: {exit: name of the exit, and its details}. A test's attempt returns whether the reply
# is the wanted one, and the reply.

# Not fcntl.ioctl(): KVM_RUN has to return EINTR, whatever a release of Python does with that.
_ioctl = ctypes.CDLL(None, use_errno=True).ioctl
_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)


def queue_seconds() -> float | None:
    """Return how long this thread was ready to run and did not; None where the kernel does not count it."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


class Ticks:
    """Signals that interrupt a running guest. They repeat: a single one can come just before KVM_RUN and be lost."""

    def __init__(self, interval: float) -> None:
        self.interval = interval

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: None)
        signal.setitimer(signal.ITIMER_REAL, self.interval, self.interval)

    def __exit__(self, *exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


class EmulationCounter:
    """KVM's own count of instructions that it interpreted (KVM_GET_STATS_FD, Linux 5.14 and newer)."""

    def __init__(self, vcpu_fd: int) -> None:
        self.offset: int | None = None
        try:
            self.fd = fcntl.ioctl(vcpu_fd, abi.GET_STATS_FD, 0)
        except OSError:
            return
        _flags, name_size, count, _id, descriptors, data = struct.unpack("=6I", os.pread(self.fd, 24, 0))
        size = 16 + name_size
        table = os.pread(self.fd, count * size, descriptors)
        for start in range(0, len(table) - size + 1, size):
            if table[start + 16 : start + size].split(b"\0")[0] == b"insn_emulation":
                self.offset = data + struct.unpack_from("=I", table, start + 8)[0]

    def read(self) -> int | None:
        """Return the count; None where the kernel has none."""
        return None if self.offset is None else struct.unpack("=Q", os.pread(self.fd, 8, self.offset))[0]


class Vcpu:
    """A vCPU. The architecture adds counter() and a way to load a program."""

    def __init__(self, machine: Machine, prepare: Callable[[int], object] | None = None) -> None:
        self.machine = machine
        self.fd = abi.call("KVM_CREATE_VCPU", machine.fd, abi.CREATE_VCPU, machine.vcpus)
        machine.vcpus += 1
        if prepare:
            prepare(self.fd)
        self.shared = mmap.mmap(self.fd, machine.shared_size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.emulated = EmulationCounter(self.fd)

    def counter(self) -> int:
        """Return the register that the loops count down."""
        raise NotImplementedError

    def run(self) -> dict[str, Any]:
        """Enter the guest once, and return why it stopped."""
        if _ioctl(self.fd, abi.RUN, 0) < 0:
            number = ctypes.get_errno()
            if number in (errno.EINTR, errno.EAGAIN):
                return {"exit": "INTR"}
            return {"exit": "ERRNO", "errno": abi.errno_name(number), "error": os.strerror(number)}
        reason = struct.unpack_from("=I", self.shared, 8)[0]
        return dict(self.describe(reason), exit=abi.EXITS.get(reason, str(reason)))

    def describe(self, reason: int) -> dict[str, Any]:
        """Return the details of an exit."""
        if reason == abi.EXIT_MMIO:
            address, data, length, write = struct.unpack_from("=Q8sIB", self.shared, 32)
            return {"gpa": address, "write": bool(write), "value": int.from_bytes(data[:length], "little")}
        return {}

    def run_until_exit(self) -> dict[str, Any]:
        """Enter the guest until it exits, or until it has used up the pace's patience; return the reply.

        Patience is CPU time: on a busy host a sound guest may hardly get to run. "starved" marks that case.
        """
        pace, queued = self.machine.pace, queue_seconds()
        start, cpu_start = time.perf_counter(), time.thread_time()
        with Ticks(0.005):
            while True:
                reply = self.run()
                if reply["exit"] != "INTR":
                    return reply
                used, passed = time.thread_time() - cpu_start, time.perf_counter() - start
                if used >= pace.patience or start + passed >= pace.give_up:
                    break
        queued_now = queue_seconds()
        waited = passed - used if queued is None or queued_now is None else queued_now - queued
        starved = used < pace.patience and used + waited >= passed / 2
        return {"exit": "TIMEOUT", "cpu_seconds": round(used, 4), "seconds": round(passed, 4), "starved": starved}

    def rate(self, seconds: float, instructions_per_turn: int) -> dict[str, Any]:
        """Return the turns per CPU second of an endless loop that counts a register down.

        The clock is CPU time (it includes the guest's) and the best of several slices counts, so other work
        on the host does not show; a starved vCPU that has not run yet is waited for.
        """
        tick = max(seconds / 6, 0.004)
        emulated = self.emulated.read()
        first = last = self.counter()
        cpu_first = cpu_last = time.thread_time()
        start = time.perf_counter()
        best = 0.0
        reply: dict[str, Any] = {"exit": "INTR"}
        with Ticks(tick):
            while reply["exit"] == "INTR":
                elapsed = time.perf_counter() - start
                if elapsed >= (seconds if best else 8 * seconds) or start + elapsed >= self.machine.pace.give_up:
                    break
                reply = self.run()
                now, cpu = self.counter(), time.thread_time()
                if cpu - cpu_last > 0.0005:
                    best = max(best, ((last - now) & MASK64) / (cpu - cpu_last))
                    last, cpu_last = now, cpu
        turns = (first - self.counter()) & MASK64
        result: dict[str, Any] = {
            "iterations": turns,
            "per_second": round(best),
            "seconds": round(time.perf_counter() - start, 4),
            "cpu_seconds": round(cpu_last - cpu_first, 4),
        }
        if emulated is not None and turns:
            share = ((self.emulated.read() or 0) - emulated) / (turns * instructions_per_turn)
            result["emulated_share"] = round(min(1.0, share), 6)
        if reply["exit"] != "INTR":
            result["stopped_by"] = reply
        return result

    def round_trip_ns(self, seconds: float, wanted: str) -> int | None:
        """Return the CPU time, in ns, of one exit to this process and back; None where there was no such exit."""
        trips, start, cpu = 0, time.perf_counter(), time.thread_time()
        while time.perf_counter() - start < seconds and self.run()["exit"] == wanted:
            trips += 1
        return round((time.thread_time() - cpu) / trips * 1e9) if trips else None


class Machine:
    """A VM with 2 MiB of memory. The architecture adds programs, probe(), new_vcpu() and kernel_loop()."""

    base = 0

    def __init__(self, kvm: int, out: dict[str, Any], step: Report, pace: Pace, kind: int = 0) -> None:
        self.kvm, self.out, self.step, self.pace = kvm, out, step, pace
        self.vcpus = 0
        self.fd = abi.call("KVM_CREATE_VM", kvm, abi.CREATE_VM, kind)
        self.prepare()
        self.mapping = mmap.mmap(-1, 2 * ALIGN)
        skip = -address_of(self.mapping) % ALIGN
        self.memory = memoryview(self.mapping)[skip : skip + ALIGN]
        abi.call(
            "KVM_SET_USER_MEMORY_REGION",
            self.fd,
            abi.SET_USER_MEMORY_REGION,
            struct.pack("=IIQQQ", 0, 0, self.base, ALIGN, address_of(self.mapping) + skip),
        )
        self.shared_size = abi.call("KVM_GET_VCPU_MMAP_SIZE", kvm, abi.GET_VCPU_MMAP_SIZE)

    def prepare(self) -> None:
        """Set what the VM needs before it gets memory."""

    def probe(self) -> None:
        """Run guest code and record what it does."""
        raise NotImplementedError

    def new_vcpu(self) -> Vcpu:
        """Return one more vCPU."""
        raise NotImplementedError

    def kernel_loop(self, vcpu: Any, seconds: float) -> dict[str, Any]:
        """Return the speed of 64-bit kernel-mode code on a vCPU of this architecture."""
        raise NotImplementedError

    def record(self, name: str, passed: bool, got: object, first: object = None) -> bool:
        """Record a test and return whether it passed; `first` is the reply of a failed first attempt."""
        self.out["tests"][name] = {"ok": True} if passed else {"ok": False, "got": got}
        if passed and first:
            self.out["tests"][name]["first"] = first
        return passed

    def twice(self, name: str, vcpu: Any, attempt: Callable[[Any], tuple[bool, dict[str, Any]]]) -> bool:
        """Record attempt(vcpu) and return whether it passed; a failure counts if a new vCPU repeats it."""
        passed, reply = attempt(vcpu)
        if passed:
            return self.record(name, True, reply)
        again, second = attempt(self.new_vcpu())
        return self.record(name, again, second, first=reply)
