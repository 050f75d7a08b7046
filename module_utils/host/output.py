# SPDX-License-Identifier: Apache-2.0
"""The lines of an output that say why something failed."""

from __future__ import annotations

import re

_ERROR = re.compile(r"\s*((\w+\.)*\w*(Error|Exception)\b|error:)", re.IGNORECASE)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not empty, without trailing white space."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def tail(text: str, limit: int = 8, without: re.Pattern[str] | None = None) -> list[str]:
    """Return the last lines of a text, without those that a pattern finds."""
    return [line for line in lines_of(text) if not (without and without.search(line))][-limit:]


def error_tail(text: str, limit: int = 8) -> list[str]:
    """Return the line of the last exception or error, then the last lines."""
    lines = lines_of(text)
    errors = [line for line in lines if _ERROR.match(line)]
    last = lines[-limit:]
    return last if not errors or errors[-1] in last else [errors[-1], *last]


def blocks(text: str, starting: re.Pattern[str], limit: int = 15) -> list[str]:
    """Return the lines that a pattern finds, each with the indented lines below it; else the last lines."""
    found, inside = [], False
    for line in lines_of(text):
        inside = bool(starting.search(line)) or (inside and line.startswith(" "))
        if inside:
            found.append(line)
    return found[:limit] or tail(text, limit)
