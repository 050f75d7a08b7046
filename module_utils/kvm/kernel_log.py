# SPDX-License-Identifier: Apache-2.0
"""What the kernel said about virtualization, if its log may be read and still reaches back to the boot."""

from __future__ import annotations

import errno
import os
import re
import time

INTERESTING = re.compile(
    r"\bkvm\b|kvm_|\bVMX\b|\bSVM\b|\bSEV\b|\bTDX\b|HYP mode|started at EL[12]|hypervisor ext|disabled by bios"
    r"|AMD-Vi|DMAR:",
    re.IGNORECASE,
)
# per-guest noise that would push out what was said at boot
NOISE = re.compile(
    r"vcpu\d|ignored (rd|wr)msr|unhandled (rd|wr)msr|kvm-clock|kvm-guest|KVM SMP mode|Booting paravirtualized|KVM only"
    r"|INTERNAL_ERROR"
)
LINES, SECONDS = 24, 1.0  # the ring buffer is finite; on a starved host reading it takes its time


def interesting(lines):
    """The lines that matter, once each, the first ones (they are of the boot)."""
    found = []
    for line in lines:
        line = line.strip()
        if INTERESTING.search(line) and not NOISE.search(line) and line not in found:
            found.append(line[:300])
            if len(found) == LINES:
                break
    return found


def read_log(path="/dev/kmsg"):
    """(state, lines); state is read, denied or absent."""
    try:
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return ("denied" if error.errno in (errno.EPERM, errno.EACCES) else "absent"), []
    lines, end = [], time.perf_counter() + SECONDS
    try:
        while time.perf_counter() < end:
            try:
                record = os.read(log, 8192)
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.EINVAL):  # overwritten meanwhile; longer than our buffer
                    continue
                return ("read" if error.errno == errno.EAGAIN else "denied"), lines
            if not record:
                break
            text = record.decode("utf-8", "replace").split("\n")[0]
            level, separator, message = text.partition(";")
            # facility 0 is the kernel; anyone may write the others
            if separator and level.split(",")[0].isdigit() and int(level.split(",")[0]) < 8:
                lines.append(message)
    finally:
        os.close(log)
    return "read", lines
