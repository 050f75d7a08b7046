# SPDX-License-Identifier: Apache-2.0
"""Work in child processes, all at the same time; what they import or print does not reach the calling process."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from multiprocessing.connection import Connection
from typing import Callable, NamedTuple, NoReturn, TypeVar

from ansible.module_utils.message import OperatorError

TIMEOUT = 300  # seconds; the imports take one or two on an idle machine

Part = TypeVar("Part")
Result = TypeVar("Result")


class Failed(NamedTuple):
    """The end of a child process without a result."""

    reason: str


def run_each(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result | Failed]:
    """Call work(part) in a child process for each part, and return the results in the order of the parts."""
    context = multiprocessing.get_context("fork")  # the child has the code already and imports nothing to run it
    children = []
    for part in parts:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(work, part, sender))
        child.start()
        sender.close()
        children.append((child, receiver))
    end = time.monotonic() + TIMEOUT
    results: list[Result | Failed] = []
    for child, receiver in children:
        try:
            if receiver.poll(max(0.0, end - time.monotonic())):
                results.append(receiver.recv())
            else:
                child.kill()
                results.append(Failed(f"no result after {TIMEOUT} s"))
        except EOFError:
            results.append(Failed("the process died without a result; is there memory left?"))
        child.join()
    return results


def _child(work: Callable[[Part], Result], part: Part, sender: Connection) -> NoReturn:
    """Send the result of the work; the output of the imported packages must not mix with that of the module."""
    with tempfile.TemporaryFile("w+") as output:
        sys.stdout = sys.stderr = output
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
        try:
            sender.send(work(part))
        except OperatorError as error:
            sender.send(Failed(str(error)))
        except BaseException:  # also SystemExit: a child without a result is reported
            sender.send(Failed(traceback.format_exc().strip().splitlines()[-1]))
    os._exit(0)  # no exit handlers: eventlet and others register some that wait
