# SPDX-License-Identifier: Apache-2.0
"""Run a command as another user of the machine, with a clean environment and a limit of time."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess

PATIENCE = 5  # seconds that a stopped command gets to end by itself
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(argv, user="root", environment=None, timeout=900, keep_fds=()):
    """(return code, what it wrote); code 124 = stopped after the timeout, 127 = no such command or user.

    keep_fds stay open in the command: a lock held on one of them lasts as long as the command lives,
    even when this process is killed.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return 127, f"there is no user '{user}' on this machine: is the service's package installed?"
    clean = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": account.pw_dir, "USER": user, "LOGNAME": user}
    identity = {}
    if os.geteuid() == 0 and account.pw_uid != 0:
        identity = {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": os.getgrouplist(user, account.pw_gid),
        }
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean, **(environment or {})},
            cwd="/",
            start_new_session=True,
            pass_fds=keep_fds,
            text=True,
            errors="replace",
            **identity,
        )
    except FileNotFoundError:
        return 127, f"there is no command '{argv[0]}' on this machine: is its package installed?"
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        return 124, f"{stopped(process)}\nstopped after {timeout} s"


def stopped(process):
    """End a command and its children; what it wrote."""
    output = ""
    for number in (signal.SIGTERM, signal.SIGKILL):  # su passes on the first, and leaves its child alone at the second
        try:
            os.killpg(process.pid, number)
            output, _ = process.communicate(timeout=PATIENCE)
            return output
        except ProcessLookupError:
            return output
        except subprocess.TimeoutExpired as error:
            output = (error.output or b"").decode(errors="replace")
    process.stdout.close()  # a child in another session holds it open
    return output


def ended(code):
    """How a command ended, for a person."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"


def telling(output, lines=8):
    """What a person needs of an output: the line of its last exception or error, then its last lines."""
    said = [line.rstrip() for line in output.splitlines() if line.strip()]
    errors = [line for line in said if re.match(r"(\w+\.)*\w*(Error|Exception)\b|error:", line.lstrip(), re.IGNORECASE)]
    last = said[-lines:]
    return "\n".join(([] if not errors or errors[-1] in last else [errors[-1]]) + last)
