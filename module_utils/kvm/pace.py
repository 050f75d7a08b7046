# SPDX-License-Identifier: Apache-2.0
"""What a probe and its guests share: how long measurements take, and how a step is reported."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Pace(NamedTuple):
    """Seconds of a speed measurement, CPU seconds that a test may use, and the time when no new work starts."""

    slice: float
    patience: float
    give_up: float  # of time.perf_counter()


class Report(Protocol):
    """Name the step at hand, for the case that it never ends."""

    def __call__(self, step: str, /) -> None:
        """Report a step."""
