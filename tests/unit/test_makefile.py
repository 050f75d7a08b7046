# SPDX-License-Identifier: Apache-2.0
"""What the Makefile gives to the commands that it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not os.path.exists("/usr/sbin/chroot"), reason="not a Debian machine")
def test_root_with_the_path_of_a_user_finds_what_a_lab_calls():
    done = subprocess.run(
        [shutil.which("make"), "-s", "--eval", "seen: ; @command -v chroot", "seen"],
        cwd=ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() in ("/usr/sbin/chroot", "/sbin/chroot"), done.stderr
