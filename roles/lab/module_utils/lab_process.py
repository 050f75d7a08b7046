# SPDX-License-Identifier: Apache-2.0
"""Background processes that continue after the module, commands, and access to network namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ansible.module_utils.host import atomic_file, commands, lock, output
from ansible.module_utils.host.commands import Done
from ansible.module_utils.message import Message, OperatorError

CLONE_NEWNET = 0x40000000
Result = TypeVar("Result")


class LabError(OperatorError):
    """A part of the lab does not work."""


def run(argv: list[str], check: bool = True, cwd: str | None = None, environment: dict[str, str] | None = None) -> Done:
    """Run a command and return how it ended; raise LabError if it failed and `check` is set."""
    done = commands.run(argv, cwd=cwd, environment=environment)
    if check and done.code != 0:
        last = " | ".join(output.tail(done.text, 5)) or "no output"
        raise LabError(Message(f"'{' '.join(argv)}' failed with exit code {done.code}: {last}"))
    return done


def start_time(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot; None if it does not run or is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def read_json(path: str) -> dict:
    """Return the data of a JSON file, or an empty dict if it is missing or incomplete."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def locked(path: str) -> Iterator[int]:
    """Hold a lock that labs share, however long another process has it, and give its file descriptor."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with lock.locked(path, timeout=None) as file:
        yield file.fileno()


def running(pidfile: str) -> int:
    """Return the pid of a pid file if that process still runs, else 0."""
    record = read_json(pidfile)
    pid = record.get("pid", 0)
    return pid if pid and start_time(pid) == record.get("start") else 0


def start(pidfile: str, argv: list, cwd: str, log: str, env: dict | None = None) -> int:
    """Start a background process in its own session, record it in the pid file, and return its pid.

    Not host/commands.py, which waits for a command: this one continues after the module.
    """
    with open(log, "ab") as stream:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            close_fds=True,
        )
    atomic_file.write(pidfile, json.dumps({"pid": process.pid, "start": start_time(process.pid), "argv": argv}))
    return process.pid


def wait_gone(pids: list, seconds: float) -> list:
    """Wait until processes have ended; return those that still run after the time (seconds)."""
    deadline = time.monotonic() + seconds
    while True:
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        left = [pid for pid in pids if start_time(pid) is not None]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def stop(pidfile: str, seconds: float = 3) -> bool:
    """Stop the process of a pid file; return whether it ran."""
    pid = running(pidfile)
    if pid:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if not wait_gone([pid], seconds):
                break
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pidfile)
    return bool(pid)


def tail(path: str, lines: int = 15) -> str:
    """Return the last lines of a log."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return "\n".join(output.tail(stream.read()[-8000:], lines))
    except OSError:
        return ""


def in_namespace(namespace: str, function: Callable[[], Result]) -> Result:
    """Return function(), called inside a network namespace by a thread of its own."""
    box: dict[str, Any] = {}

    def work() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
            try:
                if libc.setns(handle, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns to {namespace}")
            finally:
                os.close(handle)
            box["result"] = function()
        except Exception as error:  # handed to the caller below
            box["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in box:
        raise box["error"]
    return box["result"]


def first_line(address: str, port: int, timeout: float = 1.0) -> str:
    """Return the first line that a server sends, or an empty text."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(100).decode(errors="replace").strip()
    except OSError:
        return ""


def accepts(address: str, port: int, timeout: float = 1.0) -> bool:
    """Tell whether something listens on a TCP port."""
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return True
    except OSError:
        return False


def free_port(wanted: int, taken: set | None = None) -> int:
    """Return a TCP port of loopback on which nothing listens: the preferred one, or the next one."""
    for port in range(wanted, wanted + 200):
        if port in (taken or set()):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabError(Message(f"No free loopback port from {wanted} to {wanted + 199}; stop the programs that use them."))
