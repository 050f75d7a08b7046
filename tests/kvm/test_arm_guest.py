# SPDX-License-Identifier: Apache-2.0
"""The arm64 guest of kvm_test_guest, run by QEMU: it writes its text to the serial port."""

from __future__ import annotations

import subprocess
import time

import machines
import pytest
from ansible.module_utils.kvm import test_guest

pytestmark = pytest.mark.slow


def test_the_arm_guest_writes_its_text(tmp_path):
    (tmp_path / "kernel").write_bytes(test_guest.arm_program())
    process = subprocess.Popen(
        [
            *(machines.emulator("qemu-system-aarch64"), "-accel", "tcg", "-machine", "virt", "-cpu", "cortex-a57"),
            *("-m", "128", "-nographic", "-nodefaults", "-serial", f"file:{tmp_path}/serial"),
            *("-kernel", str(tmp_path / "kernel")),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        text, end = "", time.monotonic() + 60
        while test_guest.ARM_TEXT not in text and time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
            text = (tmp_path / "serial").read_text() if (tmp_path / "serial").exists() else ""
        assert text == test_guest.ARM_TEXT
    finally:
        process.kill()
        process.wait()
