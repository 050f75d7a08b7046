# SPDX-License-Identifier: Apache-2.0
"""Values of a plan that only the host knows: how they are written, shown and resolved. Pure functions, no I/O.

Such a value is {"from_host": "<dotted path of a fact>"}, and may have "divide_by", "min", "max" (numbers) or "join"
(a list becomes a text).
"""

from __future__ import annotations

from typing import Any

KEYS = {"from_host", "divide_by", "min", "max", "join"}


def is_host_value(value: Any) -> bool:
    """Tell whether a value is one that the host decides."""
    return isinstance(value, dict) and "from_host" in value and set(value) <= KEYS


def resolve(value: Any, facts: dict) -> Any:
    """Return a copy of a value in which everything that the host decides is decided by its facts."""
    if is_host_value(value):
        return decided(value, facts)
    if isinstance(value, dict):
        return {key: resolve(item, facts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, facts) for item in value]
    return value


def decided(spec: dict, facts: dict) -> Any:
    """Return what the facts make of one value; None where the fact is null or an empty list that is joined."""
    found = fact(spec["from_host"], facts)
    if found is None:
        return None
    if "join" in spec:
        return spec["join"].join(str(item) for item in found) or None
    if spec.get("divide_by") is not None:
        found = int(found) // int(spec["divide_by"])
    if spec.get("min") is not None:
        found = max(found, spec["min"])
    if spec.get("max") is not None:
        found = min(found, spec["max"])
    return found


def fact(path: str, facts: dict) -> Any:
    """Return the fact at a dotted path; raise ValueError where there is none."""
    found: Any = facts
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            raise ValueError(f"from_host: {path} is not a fact of this host; it has {', '.join(sorted(facts))}")
        found = found[key]
    return found


def describe(spec: dict) -> str:
    """Return how a value is decided, for a person."""
    text = f"decided on the host: {spec['from_host']}"
    if spec.get("divide_by") is not None:
        text += f" / {spec['divide_by']}"
    for key, words in (("min", "at least"), ("max", "at most")):
        if spec.get(key) is not None:
            text += f", {words} {spec[key]}"
    return text
