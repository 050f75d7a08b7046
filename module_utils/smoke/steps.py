# SPDX-License-Identifier: Apache-2.0
"""Steps with a name, a duration and a word on what was seen; and waiting with a limit."""

from __future__ import annotations

import time
from contextlib import contextmanager


class StepFailed(Exception):
    """What was seen instead of what had to be, and where to look next."""

    def __init__(self, seen, look=()):
        super().__init__(seen)
        self.look = [line for line in look if line]


class Steps:
    def __init__(self):
        self.done = []

    @contextmanager
    def step(self, name):
        """`with steps.step("lease") as entry: ... entry["detail"] = ...`; it counts also when it fails."""
        entry, began = {"name": name, "seconds": 0.0, "detail": "", "ok": False}, time.monotonic()
        self.done.append(entry)
        try:
            yield entry
            entry["ok"] = True
        finally:
            entry["seconds"] = round(time.monotonic() - began, 2)

    def failed(self):
        """The step that did not end well, or None."""
        return next((entry for entry in reversed(self.done) if not entry["ok"]), None)

    def forget_failure(self):
        """Before what failed is tried again in another way."""
        self.done = [entry for entry in self.done if entry["ok"]]

    def lines(self):
        width = max((len(entry["name"]) for entry in self.done), default=0)
        return [
            f"{entry['seconds']:7.2f} s  {entry['name']:<{width}}  {entry['detail'] if entry['ok'] else 'FAILED'}"
            for entry in self.done
        ]


def message(failed, error):
    """The error text that a person reads: the step, what was seen, where to look."""
    text = [f"Step '{failed['name']}' failed after {failed['seconds']:.1f} s: {error}" if failed else str(error)]
    text += [f"  {line}" for line in getattr(error, "look", ())]
    return "\n".join(text)


def wait(check, seconds, interval=1.0):
    """check() until it gives something true, which is returned; None when the time is over."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() + interval > end:
            return None
        time.sleep(interval)
