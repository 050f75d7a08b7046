# SPDX-License-Identifier: Apache-2.0
"""Locks between processes: a file that is locked as long as a process holds it open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import IO

from ansible.module_utils.message import Message, OperatorError

INTERVAL = 0.2  # seconds between two attempts


class Busy(OperatorError):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path: str, timeout: float | None = 0) -> Iterator[IO[str]]:
    """Hold the lock at a path while the block runs, and give the open file.

    timeout: seconds to wait for another process before Busy is raised; None waits as long as it takes.
    A child that inherits the file descriptor keeps the lock, even when this process is killed.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        _take(file, path, timeout)
        yield file


def _take(file: IO[str], path: str, timeout: float | None) -> None:
    """Take the lock, or raise Busy."""
    if timeout is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Busy(
                    Message(
                        f"another run has held {path} for {timeout:g} s; wait until it ends (fuser {path} names it)"
                    )
                ) from None
        time.sleep(INTERVAL)
