# SPDX-License-Identifier: Apache-2.0
"""Processes that outlive the module which starts them, and looks into a network namespace."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000


class LabError(Exception):
    """Something of the lab does not work; the text says what, and what to do."""


def run(argv: list, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
    """Run a command; its failure becomes a LabError that quotes the last lines it wrote."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **kwargs)
    if check and done.returncode != 0:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise LabError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {tail or 'no output'}")
    return done


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when there is none (a zombie counts as none)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def read_json(path: str) -> dict:
    """Return a file's data, or an empty dict where it is missing or half written."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return {}


def write_file(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all."""
    temporary = f"{path}.new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


@contextlib.contextmanager
def locked(path: str):
    """Let one process at a time into what the labs share; a child that is given the descriptor keeps the lock."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


def running(pidfile: str) -> int:
    """Return the pid that a pid file names if that very process still runs, else 0."""
    record = read_json(pidfile)
    pid = record.get("pid", 0)
    return pid if pid and start_time(pid) == record.get("start") else 0


def start(pidfile: str, argv: list, cwd: str, log: str, env: dict | None = None) -> int:
    """Start a process in the background, in a session of its own, and write down which one it is."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=True,
        )
    write_file(pidfile, json.dumps({"pid": process.pid, "start": start_time(process.pid), "argv": argv}))
    return process.pid


def wait_gone(pids: list, seconds: float) -> list:
    """Wait until processes ended; return those that did not within the time."""
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
    """Stop the process that a pid file names, by its pid; return whether it ran."""
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
            return "\n".join(stream.read()[-8000:].splitlines()[-lines:])
    except OSError:
        return ""


def in_namespace(namespace: str, function):
    """Return function() as run inside a network namespace, by a thread that moves there and ends."""
    box: dict = {}

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
    """Return what a server says first, or an empty text."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(100).decode(errors="replace").strip()
    except OSError:
        return ""


def accepts(address: str, port: int, timeout: float = 1.0) -> bool:
    """Return whether something listens at a TCP port."""
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return True
    except OSError:
        return False


def free_port(wanted: int, taken: set | None = None) -> int:
    """Return the wanted loopback TCP port, or the next one that nobody listens at."""
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
    raise LabError(f"No free loopback port between {wanted} and {wanted + 199}; end what uses them.")
