# SPDX-License-Identifier: Apache-2.0
"""Read the kernel's messages about virtualization, if its log is readable and still reaches back to the boot."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterable
from typing import NamedTuple

INTERESTING = re.compile(
    r"\bkvm\b|kvm_|\bVMX\b|\bSVM\b|\bSEV\b|\bTDX\b|HYP mode|started at EL[12]|hypervisor ext|disabled by bios"
    r"|AMD-Vi|DMAR:",
    re.IGNORECASE,
)
# per-guest noise that would push out the messages of the boot
NOISE = re.compile(
    r"vcpu\d|ignored (rd|wr)msr|unhandled (rd|wr)msr|kvm-clock|kvm-guest|KVM SMP mode|Booting paravirtualized|KVM only"
    r"|INTERNAL_ERROR"
)
LINES, SECONDS = 24, 1.0  # the ring buffer is finite; on an overloaded host reading it takes long


class KernelLog(NamedTuple):
    """The state of the log (read, denied or absent) and its lines."""

    state: str
    lines: list[str]


def interesting(lines: Iterable[str]) -> list[str]:
    """Return the first lines about virtualization, each once; the first ones are of the boot."""
    found: list[str] = []
    for line in lines:
        line = line.strip()
        if INTERESTING.search(line) and not NOISE.search(line) and line not in found:
            found.append(line[:300])
            if len(found) == LINES:
                break
    return found


def read_log(path: str = "/dev/kmsg") -> KernelLog:
    """Return what the kernel wrote to its log, within SECONDS."""
    try:
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return KernelLog("denied" if error.errno in (errno.EPERM, errno.EACCES) else "absent", [])
    lines: list[str] = []
    end = time.perf_counter() + SECONDS
    try:
        while time.perf_counter() < end:
            try:
                record = os.read(log, 8192)
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.EINVAL):  # overwritten meanwhile; longer than our buffer
                    continue
                return KernelLog("read" if error.errno == errno.EAGAIN else "denied", lines)
            if not record:
                break
            lines += kernel_message(record)
    finally:
        os.close(log)
    return KernelLog("read", lines)


def kernel_message(record: bytes) -> list[str]:
    """Return the text of a record of the log if the kernel wrote it (facility 0); any user may write the others."""
    level, separator, message = record.decode("utf-8", "replace").split("\n")[0].partition(";")
    priority = level.split(",")[0]
    return [message] if separator and priority.isdigit() and int(priority) < 8 else []
