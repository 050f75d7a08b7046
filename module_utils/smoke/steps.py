# SPDX-License-Identifier: Apache-2.0
"""Steps with a name, a duration and what was seen; and waiting with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from ansible.module_utils.message import Message, OperatorError

Found = TypeVar("Found")


class StepFailed(OperatorError):
    """A step saw something unexpected; `hints` are lines about where to look next."""

    def __init__(self, message: Message, hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.hints = [line for line in hints if line]


@dataclass
class Step:
    """A step, its duration in seconds, and what it saw."""

    name: str
    seconds: float = 0.0
    detail: str = ""
    ok: bool = False


class Steps:
    """The steps of a run in their order."""

    def __init__(self) -> None:
        self.done: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Measure a step: `with steps.step("lease") as step: ... step.detail = ...`; it is kept when it fails, too."""
        step, start = Step(name), time.monotonic()
        self.done.append(step)
        try:
            yield step
            step.ok = True
        finally:
            step.seconds = round(time.monotonic() - start, 2)

    def failed(self) -> Step | None:
        """Return the step that failed, or None."""
        return next((step for step in reversed(self.done) if not step.ok), None)

    def forget_failure(self) -> None:
        """Remove the failed step, before it is tried again in another way."""
        self.done = [step for step in self.done if step.ok]

    def lines(self) -> list[str]:
        """Return a table of the steps, one line each."""
        width = max((len(step.name) for step in self.done), default=0)
        return [
            f"{step.seconds:7.2f} s  {step.name:<{width}}  {step.detail if step.ok else 'FAILED'}" for step in self.done
        ]


def failure_message(failed: Step | None, error: Exception) -> Message:
    """Return the message of a failure: the step, what it saw, and where to look."""
    text = Message(str(error))
    if failed:
        text = Message(f"Step '{failed.name}' failed after {failed.seconds:.1f} s: {error}")
    return Message("\n".join([text, *(f"  {line}" for line in getattr(error, "hints", ()))]))


def wait_for(check: Callable[[], Found | None], seconds: float, interval: float = 1.0) -> Found | None:
    """Call a function until its result is true, and return that result; return None after this many seconds."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() + interval > end:
            return None
        time.sleep(interval)
