# SPDX-License-Identifier: Apache-2.0
"""The keys of a component and of its parts, with the type of each value. Pure functions, no I/O.

A component is a dict (`<role>_component`), a service is a row of its catalog. An unknown key or a value of another type
is an error that names component, service and key. Types are checked as each key is read: Ansible renders a template
when its value is read, and a host must not need, or get, the data of services that run elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.message import Message, OperatorError

text, number, array, table, either = (str,), (int,), (list, tuple), (Mapping,), (int, str, Mapping)
SCHEMA: dict[str, dict[str, tuple[type, ...]]] = {
    "component": {
        "source": text, "services": table, "catalog": table, "drop_in": text, "package_list": text, "debconf": array,
        "layers": table, "common_layers": array, "release": table, "messaging": table, "common_files": array,
        "files": table, "extends": table, "singletons": table,
    },
    "service": {
        "packages": array, "unit": text, "sockets": array, "stage": text, "files": array, "layers": array,
        "compute_layers": array, "file_layers": table, "uwsgi": table, "port": number, "ready": table, "queue": text,
        "stops": array, "base_units": array, "requires": table, "prepare": array, "finish": array, "reload": array,
        "removed_after": text, "replaced_by": text,
    },
    "uwsgi": {
        "name": text, "user": text, "application": table, "processes": either, "ini": text, "default": text,
        "log": text, "options": table,
    },
    "ready": {"path": text, "status": array},
    "step": {"name": text, "module": text, "args": table},
    "singletons": {
        "databases": array, "messaging_users": array, "schema": array, "identity": table, "cells": table,
    },
}  # fmt: skip
NAMES = {str: "a text", int: "a number", list: "a list", Mapping: "a dict"}


class ComponentError(OperatorError, ValueError):
    """A component that its role declares wrongly; the text names component, service and key."""


def check(kind: str, value: object, where: str) -> None:
    """Raise ComponentError unless a value is a dict with known keys."""
    if not isinstance(value, Mapping):
        raise ComponentError(Message(f"{where} must be a dict, not {value!r}"))
    unknown = sorted(set(value) - set(SCHEMA[kind]))
    if unknown:
        known = ", ".join(sorted(SCHEMA[kind]))
        raise ComponentError(Message(f"{where}: unknown key {', '.join(unknown)}; known are {known}"))


def get(kind: str, value: Mapping[str, Any], key: str, where: str, default: Any = None) -> Any:
    """Return value[key], the default where it is missing or null. Raise ComponentError where it has another type."""
    if key not in value or value[key] is None:
        return default
    found, types = value[key], SCHEMA[kind][key]
    if not isinstance(found, types) or isinstance(found, bool) or (types == array and isinstance(found, str)):
        raise ComponentError(Message(f"{where}: {key} must be {NAMES[types[0]]}, not {found!r}"))
    return found
