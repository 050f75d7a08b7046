# SPDX-License-Identifier: Apache-2.0
"""The lock, held by real processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from ansible.module_utils.host.lock import Busy, locked


def test_a_second_run_is_refused_and_the_message_names_the_file(tmp_path):
    path = str(tmp_path / "made/lock")
    with locked(path):
        with pytest.raises(Busy, match=f"another run has held {path} for 0 s"):
            with locked(path):
                pass
    with locked(path):
        pass


def test_a_run_waits_until_the_timeout(tmp_path):
    path = str(tmp_path / "lock")
    released = threading.Event()

    def hold():
        with locked(path):
            released.set()
            time.sleep(0.6)

    thread = threading.Thread(target=hold)
    thread.start()
    released.wait()
    with locked(path, timeout=5):
        pass
    thread.join()


def test_a_child_keeps_the_lock_of_a_parent_that_is_gone(tmp_path):
    path = str(tmp_path / "lock")
    with locked(path) as file:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[file.fileno()])
    with pytest.raises(Busy):
        with locked(path):
            pass
    child.communicate(b"\n")
    with locked(path):
        pass
