# SPDX-License-Identifier: Apache-2.0
"""A throw-away virtual machine and its vCPUs; what is the same on every architecture."""

from __future__ import annotations

import collections
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import time

from ansible.module_utils.kvm import abi
from ansible.module_utils.kvm.native import address_of

MASK64 = 0xFFFFFFFFFFFFFFFF
ALIGN = 2 << 20  # s390x wants memory on a 1 MiB boundary, huge pages on 2 MiB
# slice: of each speed measurement; patience: CPU time that a test may use; give_up: when nothing more is begun
Pace = collections.namedtuple("Pace", "slice patience give_up")

# Not fcntl.ioctl(): KVM_RUN has to come back with EINTR, whatever a Python release makes of that.
_ioctl = ctypes.CDLL(None, use_errno=True).ioctl
_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)


def queue_seconds():
    """Time that this thread was ready to run and did not; None where the kernel does not say."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


class Ticks:
    """Signals that fetch a running guest back. They repeat: a lone one can come just before KVM_RUN and be lost."""

    def __init__(self, interval):
        self.interval = interval

    def __enter__(self):
        signal.signal(signal.SIGALRM, lambda number, frame: None)
        signal.setitimer(signal.ITIMER_REAL, self.interval, self.interval)

    def __exit__(self, *exception):
        signal.setitimer(signal.ITIMER_REAL, 0)


class EmulationCounter:
    """KVM's own count of instructions that it interpreted (KVM_GET_STATS_FD, Linux 5.14 and newer)."""

    def __init__(self, vcpu_fd):
        self.fd = self.offset = None
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

    def read(self):
        return None if self.offset is None else struct.unpack("=Q", os.pread(self.fd, 8, self.offset))[0]


class Vcpu:
    """A vCPU; the architecture adds load() (state and first instruction) and counter()."""

    def __init__(self, machine, prepare=None):
        self.machine = machine
        self.fd = abi.call("KVM_CREATE_VCPU", machine.fd, abi.CREATE_VCPU, machine.vcpus)
        machine.vcpus += 1
        if prepare:
            prepare(self.fd)
        self.shared = mmap.mmap(self.fd, machine.shared_size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.emulated = EmulationCounter(self.fd)

    def run(self):
        """Enter the guest once; says why it came back."""
        if _ioctl(self.fd, abi.RUN, 0) < 0:
            number = ctypes.get_errno()
            if number in (errno.EINTR, errno.EAGAIN):
                return {"exit": "INTR"}
            return {"exit": "ERRNO", "errno": abi.errno_name(number), "error": os.strerror(number)}
        reason = struct.unpack_from("=I", self.shared, 8)[0]
        return dict(self.describe(reason), exit=abi.EXITS.get(reason, str(reason)))

    def describe(self, reason):
        if reason == abi.EXIT_MMIO:
            address, data, length, write = struct.unpack_from("=Q8sIB", self.shared, 32)
            return {"gpa": address, "write": bool(write), "value": int.from_bytes(data[:length], "little")}
        return {}

    def run_until_exit(self):
        """Enter the guest until it says something, or until it has used up the pace's patience.

        Patience is CPU time: on a busy host a sound guest may not get to run for long. "starved" tells that case.
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
        waited = passed - used if queued is None else queue_seconds() - queued
        starved = used < pace.patience and used + waited >= passed / 2
        return {"exit": "TIMEOUT", "cpu_seconds": round(used, 4), "seconds": round(passed, 4), "starved": starved}

    def rate(self, seconds, instructions_per_turn):
        """Turns per CPU second of a loop that counts a register down for ever.

        The clock is CPU time (it includes the guest's) and the best of several slices counts, so other work
        on the host does not show; a starved vCPU that has not run yet is waited for.
        """
        tick = max(seconds / 6, 0.004)
        emulated = self.emulated.read()
        first = last = self.counter()
        cpu_first = cpu_last = time.thread_time()
        start = time.perf_counter()
        best, reply = 0.0, {"exit": "INTR"}
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
        result = {
            "iterations": turns,
            "per_second": round(best),
            "seconds": round(time.perf_counter() - start, 4),
            "cpu_seconds": round(cpu_last - cpu_first, 4),
        }
        if emulated is not None and turns:
            share = (self.emulated.read() - emulated) / (turns * instructions_per_turn)
            result["emulated_share"] = round(min(1.0, share), 6)
        if reply["exit"] != "INTR":
            result["stopped_by"] = reply
        return result

    def round_trip_ns(self, seconds, wanted):
        """CPU time of one exit to this process and back."""
        trips, start, cpu = 0, time.perf_counter(), time.thread_time()
        while time.perf_counter() - start < seconds and self.run()["exit"] == wanted:
            trips += 1
        return round((time.thread_time() - cpu) / trips * 1e9) if trips else None


class Machine:
    """A VM with 2 MiB of memory. The architecture adds programs and probe()."""

    base = 0

    def __init__(self, kvm, out, step, pace, kind=0):
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

    def prepare(self):
        """What must be said to the VM before it gets memory."""

    def record(self, name, passed, got, first=None):
        """Note a test; `first` is what a failed first attempt said."""
        self.out["tests"][name] = {"ok": True} if passed else {"ok": False, "got": got}
        if passed and first:
            self.out["tests"][name]["first"] = first
        return passed

    def twice(self, name, attempt):
        """attempt(vcpu or None) gives (passed, what was said); a failure counts if it repeats with a new vCPU."""
        passed, said = attempt(None)
        if passed:
            return self.record(name, True, said)
        again, then = attempt(self.new_vcpu())
        return self.record(name, again, then, first=said)
