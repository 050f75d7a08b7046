# SPDX-License-Identifier: Apache-2.0
"""Values that only the host knows: {"from_host": "cpus", "divide_by": 2, "min": 1, "max": 8}. Pure functions, no I/O.

A plan is made on the control node; such a value stays in it until the host resolves it with its own facts.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.config.types import ConfigError, HostValue
from ansible.module_utils.message import Message

KEYS = {"from_host", "divide_by", "min", "max", "join"}


def is_host_value(value: Any) -> bool:
    """Tell whether the host decides a value."""
    return isinstance(value, dict) and "from_host" in value


def find(value: Any) -> HostValue | None:
    """Return the first value inside a value that the host decides, or None."""
    if is_host_value(value):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return next((found for found in map(find, parts) if found), None)


def resolve(value: Any, facts: dict[str, Any]) -> Any:
    """Return a copy of a value in which the facts replace each value that the host decides.

    Raise ConfigError, naming the value, when the facts do not have it or do not fit it.
    """
    if is_host_value(value):
        return _decide(value, facts)
    if isinstance(value, dict):
        return {key: resolve(item, facts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, facts) for item in value]
    return value


def describe(spec: HostValue) -> str:
    """Return how the host decides a value: "decided on the host: cpus / 2, at least 1, at most 8"."""
    text = f"decided on the host: {spec['from_host']}"
    for key, form in (("divide_by", " / {}"), ("join", ", joined by {!r}"), ("min", ", at least {}")):
        text += form.format(spec[key]) if spec.get(key) is not None else ""
    return text + (f", at most {spec['max']}" if spec.get("max") is not None else "")


def _decide(spec: HostValue, facts: dict[str, Any]) -> Any:
    unknown = sorted(set(spec) - KEYS)
    if unknown:
        raise ConfigError(
            Message(f"{spec!r} has unknown keys {', '.join(unknown)}; known keys are {', '.join(sorted(KEYS))}")
        )
    found = _look_up(str(spec["from_host"]), facts)
    if found is None or found == []:
        return None
    if spec.get("join") is not None:
        if not isinstance(found, list):
            raise ConfigError(
                Message(f"{spec['from_host']} is {found!r} on this host; only a list can be joined, take out join")
            )
        return str(spec["join"]).join(str(item) for item in found)
    return _within_limits(spec, found)


def _look_up(path: str, facts: dict[str, Any]) -> Any:
    found: Any = facts
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            known = ", ".join(sorted(found)) if isinstance(found, dict) else "nothing"
            raise ConfigError(Message(f"the host has no value {path}: {key} is not among {known}"))
        found = found[key]
    return found


def _within_limits(spec: HostValue, found: Any) -> Any:
    numbers = {key: spec[key] for key in ("divide_by", "min", "max") if spec.get(key) is not None}
    for name, number in {**numbers, spec["from_host"]: found}.items() if numbers else ():
        if isinstance(number, bool) or not isinstance(number, int):
            raise ConfigError(Message(f"{describe(spec)}: {name} is {number!r}; it must be a whole number"))
    if "divide_by" in numbers:
        if numbers["divide_by"] < 1:
            raise ConfigError(Message(f"{describe(spec)}: divide_by must be at least 1"))
        found //= numbers["divide_by"]
    found = max(found, numbers["min"]) if "min" in numbers else found
    return min(found, numbers["max"]) if "max" in numbers else found
