# SPDX-License-Identifier: Apache-2.0
"""What the Makefile gives to the commands that it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run_in_recipe(command: str, env: dict) -> str:
    """Return the output of a command that the Makefile runs with this environment."""
    done = subprocess.run(
        [shutil.which("make"), "-s", "--eval", f"seen: ; @{command}", "seen"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() + done.stderr


@pytest.mark.skipif(not os.path.exists("/usr/sbin/chroot"), reason="not a Debian machine")
def test_root_with_the_path_of_a_user_finds_what_a_lab_calls():
    found = run_in_recipe("command -v chroot", {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    assert found in ("/usr/sbin/chroot", "/sbin/chroot")


@pytest.mark.parametrize("env", [{"LANG": "xx_XX.UTF-8"}, {"LC_ALL": "xx_XX.UTF-8"}, {"LC_ALL": "C"}, {}])
def test_a_locale_that_this_machine_lacks_does_no_harm(env):
    program = "import locale; locale.setlocale(locale.LC_ALL, str()); print(locale.getlocale()[1])"
    assert run_in_recipe(f"/usr/bin/python3 -c '{program}'", env) == "UTF-8"
