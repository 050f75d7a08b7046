# SPDX-License-Identifier: Apache-2.0
"""Run commands: as another user where wanted, with a time limit where wanted, never through a shell."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible.module_utils.message import Message

GRACE = 5  # seconds that a command gets to end by itself after a signal
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMED_OUT, NOT_FOUND = 124, 127  # the codes that timeout(1) and a shell use


class Done(NamedTuple):
    """How a command ended: exit code (negative: number of a signal), standard output, standard error."""

    code: int
    out: str
    err: str = ""

    @property
    def text(self) -> str:
        """Return what the command wrote to standard error, or else to standard output."""
        return self.err.strip() or self.out.strip()

    @property
    def ending(self) -> str:
        """Return how the command ended, for a message."""
        return f"was killed by signal {-self.code}" if self.code < 0 else f"ended with {self.code}"


def run(
    argv: Sequence[str],
    *,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    text_in: str | None = None,
    merge: bool = False,
    cwd: str | None = None,
    keep_fds: Sequence[int] = (),
) -> Done:
    """Run a command and return how it ended; a missing command or user is code 127, a timeout code 124.

    user: run as this user, with a clean environment, in /; by default as the caller, with the caller's environment.
    environment: variables to add. Messages are always in English.
    timeout: seconds after which the command and its children are stopped.
    text_in: standard input; by default there is none.
    merge: put standard error into `out`, in the order in which it was written.
    keep_fds: file descriptors that stay open in the command: a lock held on one of them lasts as long as the command,
    even when this process is killed.
    """
    options: dict[str, Any] = {"cwd": cwd, "env": {**os.environ, "LC_ALL": "C.UTF-8"}}
    try:
        if user:
            options = _as_user(user)
    except KeyError:
        what = Message(f"user '{user}' does not exist; is the service's package installed?")
        return _failed(merge, NOT_FOUND, "", what)
    options["env"].update(environment or {})
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if text_in is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            start_new_session=timeout is not None,
            pass_fds=keep_fds,
            text=True,
            errors="replace",
            **options,
        )
    except OSError as error:
        what = Message(f"command '{argv[0]}' cannot be run ({error.strerror}); is its package installed?")
        return _failed(merge, NOT_FOUND, "", what)
    try:
        out, err = process.communicate(text_in, timeout=timeout)
        return Done(process.returncode, out, err or "")
    except subprocess.TimeoutExpired:
        out, err = _stop(process)
        limit = Message(f"stopped after {timeout:g} s")
        return _failed(merge, TIMED_OUT, out, f"{err}\n{limit}".lstrip())
    except BaseException:  # a signal raised in this process: the command must not outlive it
        process.terminate()
        process.communicate()
        raise


def _as_user(user: str) -> dict[str, Any]:
    """Return the options of Popen that run a command as a user; raise KeyError when there is no such user."""
    account = pwd.getpwnam(user)
    clean = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": account.pw_dir, "USER": user, "LOGNAME": user}
    identity: dict[str, Any] = {}
    if os.geteuid() == 0 and account.pw_uid != 0:
        groups = os.getgrouplist(user, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    return {"env": clean, "cwd": "/", **identity}


def _failed(merge: bool, code: int, out: str, what: str) -> Done:
    """Return the end of a command, with the reason after what it wrote."""
    return Done(code, f"{out}\n{what}".lstrip(), "") if merge else Done(code, out, what)


def _stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Stop a command and its children; return what it wrote."""
    texts = ("", "")
    for number in (signal.SIGTERM, signal.SIGKILL):  # su passes on the first, and leaves its child alone at the second
        try:
            os.killpg(process.pid, number)
            out, err = process.communicate(timeout=GRACE)
            return out, err or ""
        except ProcessLookupError:
            return texts
        except subprocess.TimeoutExpired as error:
            texts = (_decoded(error.output), _decoded(error.stderr))
    for stream in (process.stdout, process.stderr):  # a child in another session holds them open
        if stream:
            stream.close()
    return texts


def _decoded(data: bytes | str | None) -> str:
    """Return output as text; what a timed out command wrote comes as bytes."""
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""
