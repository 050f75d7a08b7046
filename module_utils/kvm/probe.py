# SPDX-License-Identifier: Apache-2.0
"""The functional probe: everything that touches /dev/kvm, in a child process with a hard deadline.

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
import stat
import time

from ansible.module_utils.kvm import abi
from ansible.module_utils.kvm.classify import FLOOR_WITHOUT_SHARE, INTERPRETED_SHARE, classify, ratios

USER_DEADLINE = 1.0
DOUBTFUL_RATIO = 2 * FLOOR_WITHOUT_SHARE  # of native speed: below, it is measured once more
# Shares of the deadline: no new measurement is begun after the one, a guest's test may use the other of CPU time.
SOFT_SHARE, PATIENCE = 0.75, 0.15
PR_SET_PDEATHSIG = 1


def in_child(work, deadline):
    """work(report) in a forked child; its result, or what stopped it. report(text) names the step at hand."""
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
    for line in received.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        result, step = message.get("result", result), message.get("at", step)
    if result is not None:
        return result
    if late:
        return {"failed_step": "deadline", "at": step, "starved": starved, "error": f"no answer in {deadline:g} s"}
    return {"failed_step": "child", "at": step, "error": f"the probe process died, status {status}"}


def _detach(parent, writer, deadline):
    """A child that is stuck for ever must not hold the caller's output open, nor outlive the caller."""
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


def _send(writer, message):
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def _receive(reader, end):
    """(everything the child wrote, whether the deadline came first)"""
    received = b""
    while True:
        left = end - time.perf_counter()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return received, True
        data = os.read(reader, 65536)
        if not data:
            return received, False
        received += data


def _starved(child, deadline):
    """Whether a child that is late was mostly waiting for a processor; not known is no."""
    try:
        with open(f"/proc/{child}/schedstat", encoding="ascii") as file:
            used, queued = (int(word) / 1e9 for word in file.read().split()[:2])
        with open(f"/proc/{child}/stat", encoding="utf-8", errors="replace") as file:
            runnable = file.read().rpartition(")")[2].split()[0] == "R"  # queued does not count the wait at hand
    except (OSError, ValueError, IndexError):
        return False
    return used < deadline / 2 and (runnable or queued >= (deadline - used) / 2)


def _reap(child, kill):
    if kill:
        os.kill(child, signal.SIGKILL)
    end = time.perf_counter() + 0.5  # a process in uninterruptible sleep is left to the kernel
    while time.perf_counter() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    return None


def guarded(out, work):
    """Run a step of the probe; whatever it raises becomes part of the findings."""
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
    return out


def open_kvm(device, out):
    """The open KVM device; makes sure first that the node is what it says."""
    out["doing"] = "stat"
    node = os.stat(device)
    out["device"] = {
        "chr": stat.S_ISCHR(node.st_mode),
        "major": os.major(node.st_rdev),
        "minor": os.minor(node.st_rdev),
        "mode": f"{stat.S_IMODE(node.st_mode):04o}",
        "uid": node.st_uid,
        "gid": node.st_gid,
    }
    out["doing"] = "open"
    kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    if not out["device"]["chr"] or out["device"]["major"] != abi.MISC_MAJOR:
        # another driver may take our numbers for something else
        raise abi.StepFailed("KVM_GET_API_VERSION", errno.ENOTTY)
    out["api_version"] = abi.call("KVM_GET_API_VERSION", kvm, abi.GET_API_VERSION)
    return kvm


def create_vm(kvm):
    os.close(abi.call("KVM_CREATE_VM", kvm, abi.CREATE_VM, 0))


def _probe(device, level, pace, report):
    out = {
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

    def work():
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


def _run_guest(kvm, out, report, pace):
    create_vm(kvm)  # the plain question first, before what only guest code needs
    machine_class = _machine_class(out["arch"])
    from ansible.module_utils.kvm.guest import Pace
    from ansible.module_utils.kvm.native import loop_rate

    machine = machine_class(kvm, out, report, Pace(*pace))
    out["vm_caps"] = {
        name: value for name, value in abi.capabilities(machine.fd).items() if value != out["caps"].get(name)
    }
    report("native speed")
    speeds = [loop_rate(pace[0] / 3)]
    try:
        machine.probe()
    finally:
        report("native speed")
        speeds.append(loop_rate(pace[0] / 3))
        native = max(speed or 0 for speed in speeds)
        if native:
            out["native_per_second"] = round(native)
    report("long mode loop again")
    _measure_again(machine, out, pace[0])


def _measure_again(machine, out, slice_seconds):
    """A guest that looks slow though nothing was interpreted may only have been disturbed: the better run counts."""
    loop, ratio = out["rates"].get("long64"), ratios(out).get("long64")
    doubtful = loop and "stopped_by" not in loop and ratio is not None and ratio < DOUBTFUL_RATIO
    if doubtful and loop.get("emulated_share", 0) <= INTERPRETED_SHARE:
        again = machine.kernel_loop(machine.new_vcpu(), 4 * slice_seconds)
        if "stopped_by" not in again and again["per_second"] > loop["per_second"]:
            out["rates"]["long64"] = dict(again, first=loop["per_second"])


def _machine_class(arch):
    if arch == "x86_64":
        from ansible.module_utils.kvm.guest_x86_64 import X86Machine

        return X86Machine
    if arch == "aarch64":
        from ansible.module_utils.kvm.guest_aarch64 import ArmMachine

        return ArmMachine
    from ansible.module_utils.kvm.guest_other import OtherMachine

    return OtherMachine


def probe(device="/dev/kvm", level="full", slice_seconds=0.025, deadline=2.0):
    """Open the node, create a VM, and (level full) run guest code and measure it."""
    start = time.perf_counter()
    pace = (slice_seconds, PATIENCE * deadline, start + SOFT_SHARE * deadline)
    found = in_child(lambda report: _probe(device, level, pace, report), deadline)
    found["ratios"] = ratios(found)
    found["class"], found["reason"] = classify(found)
    found["wall_seconds"] = round(time.perf_counter() - start, 4)
    return found


def _try_as(name, device):
    """As that user: open the node and create a VM."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {"exists": False, "open": None}
    groups = os.getgrouplist(name, entry.pw_gid)
    found = {"exists": True, "uid": entry.pw_uid, "gids": sorted(groups), "open": None}
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
    attempt = {}
    guarded(attempt, lambda: create_vm(open_kvm(device, attempt)))
    found["open"] = "ok"
    if "failed_step" in attempt:
        found.update(open=attempt.get("errno") or "failed", step=attempt["failed_step"], error=attempt["error"])
    return found


def try_as(name, device="/dev/kvm"):
    """Whether a user can open the node and create a VM: {exists, uid, gids, in_node_group, open: ok|errno|None}."""
    found = in_child(lambda report: _try_as(name, device), USER_DEADLINE)
    if "failed_step" in found:
        return {"exists": None, "open": None, "why": found["error"]}
    return found


def group_name(gid):
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, TypeError, OverflowError):
        return None
