# SPDX-License-Identifier: Apache-2.0
"""Probe KVM: everything that touches /dev/kvm runs in a child process with a hard deadline.

The caller cannot hang and nothing is left behind: the child is killed at the deadline, dies with its parent, holds
none of the caller's files, and its VMs end with it.
"""

from __future__ import annotations

import errno
import grp
import json
import os
import platform
import pwd
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ansible.module_utils.kvm import abi
from ansible.module_utils.kvm.classify import FLOOR_WITHOUT_SHARE, INTERPRETED_SHARE, classify, ratios
from ansible.module_utils.kvm.pace import Pace, Report
from ansible.module_utils.kvm.tree import describe_node

if TYPE_CHECKING:
    from ansible.module_utils.kvm.guest import Machine

USER_DEADLINE = 1.0  # seconds
DOUBTFUL_RATIO = 2 * FLOOR_WITHOUT_SHARE  # of native speed: below, it is measured once more
# Shares of the deadline: after the first no new measurement starts; a guest test may use the second in CPU time.
SOFT_SHARE, PATIENCE = 0.75, 0.15
PR_SET_PDEATHSIG = 1


def in_child(work: Callable[[Report], dict[str, Any]], deadline: float) -> dict[str, Any]:
    """Run work(report) in a forked child; return its result, or what stopped it within the deadline (seconds)."""
    start = time.perf_counter()
    parent = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _detach(parent, writer, deadline)
            _send(writer, {"result": work(lambda step: _send(writer, {"at": step}))})
        finally:
            os._exit(0)
    os.close(writer)
    received, late = _receive(reader, start + deadline)
    os.close(reader)
    starved = late and _starved(child, deadline)
    status = _reap(child, late)
    result, step = None, None
    for message in _messages(received):
        result, step = message.get("result", result), message.get("at", step)
    if result is not None:
        return result
    if late:
        return {"failed_step": "deadline", "at": step, "starved": starved, "error": f"no answer in {deadline:g} s"}
    return {"failed_step": "child", "at": step, "error": f"the probe process died, status {status}"}


def _detach(parent: int, writer: int, deadline: float) -> None:
    """Make the child independent: one that is stuck must neither hold the caller's output open nor outlive it."""
    os.closerange(3, writer)
    os.closerange(writer + 1, 1024)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    limit = int(deadline) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass
    if os.getppid() != parent:
        os._exit(1)


def _send(writer: int, message: dict[str, Any]) -> None:
    """Write a message to the parent."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def _messages(received: bytes) -> Iterator[dict[str, Any]]:
    """Give the messages that are whole."""
    for line in received.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _receive(reader: int, end: float) -> tuple[bytes, bool]:
    """Return everything that the child wrote, and whether the deadline came first."""
    received = b""
    while True:
        left = end - time.perf_counter()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return received, True
        data = os.read(reader, 65536)
        if not data:
            return received, False
        received += data


def _starved(child: int, deadline: float) -> bool:
    """Tell whether a child that is late was mostly waiting for a processor; False where that is unknown."""
    try:
        with open(f"/proc/{child}/schedstat", encoding="ascii") as file:
            used, queued = (int(word) / 1e9 for word in file.read().split()[:2])
        with open(f"/proc/{child}/stat", encoding="utf-8", errors="replace") as file:
            runnable = file.read().rpartition(")")[2].split()[0] == "R"  # queued does not count the wait at hand
    except (OSError, ValueError, IndexError):
        return False
    return used < deadline / 2 and (runnable or queued >= (deadline - used) / 2)


def _reap(child: int, kill: bool) -> int | None:
    """Kill the child where wanted, and return its status; None if it does not end."""
    if kill:
        os.kill(child, signal.SIGKILL)
    end = time.perf_counter() + 0.5  # a process in uninterruptible sleep is left to the kernel
    while time.perf_counter() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    return None


def guarded(out: dict[str, Any], work: Callable[[], None]) -> None:
    """Run a step of the probe; add what it raises to the findings."""
    try:
        work()
    except abi.StepFailed as failure:
        out.update(failed_step=failure.step, errno=abi.errno_name(failure.errno), error=os.strerror(failure.errno))
    except OSError as error:
        name = error.errno and abi.errno_name(error.errno)
        out.update(failed_step=out.pop("doing", "os"), errno=name, error=str(error.strerror))
    except ImportError as error:
        out.update(failed_step="internal", error=f"this Python lacks {error.name}")
    except Exception as error:  # the findings so far are worth more than a traceback
        out.update(failed_step="internal", error=f"{type(error).__name__}: {error}")
    out.pop("doing", None)


def open_kvm(device: str, out: dict[str, Any]) -> int:
    """Return the open KVM device; raise OSError or StepFailed, also where the node is another device."""
    out["doing"] = "stat"
    out["device"] = describe_node(os.stat(device))
    out["doing"] = "open"
    kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    step = "KVM_GET_API_VERSION"
    if not out["device"]["chr"] or out["device"]["major"] != abi.MISC_MAJOR:
        # another driver may give these ioctl numbers another meaning
        raise abi.StepFailed(step, errno.ENOTTY)
    out["api_version"] = abi.call(step, kvm, abi.GET_API_VERSION)
    return kvm


def create_vm(kvm: int) -> None:
    """Create a VM and close it."""
    os.close(abi.call("KVM_CREATE_VM", kvm, abi.CREATE_VM, 0))


def _probe(device: str, level: str, pace: Pace, report: Report) -> dict[str, Any]:
    """Return the findings of the child."""
    out: dict[str, Any] = {
        "arch": platform.machine(),
        "level": level,
        "caps": {},
        "vm_caps": {},
        "tests": {},
        "rates": {},
        "notes": [],
        "guest_cpu": {},
    }
    start = time.perf_counter()

    def work() -> None:
        report("open")
        kvm = open_kvm(device, out)
        out["caps"] = abi.capabilities(kvm)
        report("KVM_CREATE_VM")
        if level == "open" or out["api_version"] != abi.API_VERSION:
            create_vm(kvm)
        else:
            _run_guest(kvm, out, report, pace)

    guarded(out, work)
    out["seconds"] = round(time.perf_counter() - start, 4)
    return out


def _run_guest(kvm: int, out: dict[str, Any], report: Report, pace: Pace) -> None:
    """Run guest code and measure it, and the native speed before and after."""
    create_vm(kvm)  # alone first, before what only guest code needs
    machine_class = _machine_class(out["arch"])
    from ansible.module_utils.kvm.native import loop_rate

    machine = machine_class(kvm, out, report, pace)
    out["vm_caps"] = {
        name: value for name, value in abi.capabilities(machine.fd).items() if value != out["caps"].get(name)
    }
    report("native speed")
    speeds = [loop_rate(pace.slice / 3)]
    try:
        machine.probe()
    finally:
        report("native speed")
        speeds.append(loop_rate(pace.slice / 3))
        native = max(speed or 0 for speed in speeds)
        if native:
            out["native_per_second"] = round(native)
    report("long mode loop again")
    _measure_again(machine, out, pace.slice)


def _measure_again(machine: Machine, out: dict[str, Any], slice_seconds: float) -> None:
    """Measure once more a guest that looks slow though nothing was interpreted: it may only have been disturbed."""
    loop, ratio = out["rates"].get("long64"), ratios(out).get("long64")
    doubtful = loop and "stopped_by" not in loop and ratio is not None and ratio < DOUBTFUL_RATIO
    if doubtful and loop.get("emulated_share", 0) <= INTERPRETED_SHARE:
        again = machine.kernel_loop(machine.new_vcpu(), 4 * slice_seconds)
        if "stopped_by" not in again and again["per_second"] > loop["per_second"]:
            out["rates"]["long64"] = dict(again, first=loop["per_second"])


def _machine_class(arch: str) -> type[Machine]:
    """Return the class of guests of an architecture; imported late: it needs ctypes."""
    if arch == "x86_64":
        from ansible.module_utils.kvm.guest_x86_64 import X86Machine

        return X86Machine
    if arch == "aarch64":
        from ansible.module_utils.kvm.guest_aarch64 import ArmMachine

        return ArmMachine
    from ansible.module_utils.kvm.guest_other import OtherMachine

    return OtherMachine


def probe(
    device: str = "/dev/kvm", level: str = "full", slice_seconds: float = 0.025, deadline: float = 2.0
) -> dict[str, Any]:
    """Open the node, create a VM, and (level full) run guest code and measure it; return the findings."""
    start = time.perf_counter()
    give_up = start + SOFT_SHARE * deadline

    def work(report: Report) -> dict[str, Any]:
        return _probe(device, level, Pace(slice_seconds, PATIENCE * deadline, give_up), report)

    found = in_child(work, deadline)
    found["ratios"] = ratios(found)
    found["class"], found["reason"] = classify(found)
    found["wall_seconds"] = round(time.perf_counter() - start, 4)
    return found


def _try_as(name: str, device: str) -> dict[str, Any]:
    """Become a user, open the node and create a VM; return what came of it."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {"exists": False, "open": None}
    groups = os.getgrouplist(name, entry.pw_gid)
    found: dict[str, Any] = {"exists": True, "uid": entry.pw_uid, "gids": sorted(groups), "open": None}
    try:
        found["in_node_group"] = os.stat(device).st_gid in groups
    except OSError:
        found["in_node_group"] = None
    if os.geteuid() == 0:
        os.setgroups(groups)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    elif os.geteuid() != entry.pw_uid:
        found["why"] = "only root can try as another user"
        return found
    attempt: dict[str, Any] = {}
    guarded(attempt, lambda: create_vm(open_kvm(device, attempt)))
    found["open"] = "ok"
    if "failed_step" in attempt:
        found.update(open=attempt.get("errno") or "failed", step=attempt["failed_step"], error=attempt["error"])
    return found


def try_as(name: str, device: str = "/dev/kvm") -> dict[str, Any]:
    """Return {exists, uid, gids, in_node_group, open} of a user; open is ok, an errno or None (not tried)."""
    found = in_child(lambda report: _try_as(name, device), USER_DEADLINE)
    if "failed_step" in found:
        return {"exists": None, "open": None, "why": found["error"]}
    return found


def group_name(gid: int | None) -> str | None:
    """Return the name of a group; None where there is none."""
    try:
        return None if gid is None else grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return None
