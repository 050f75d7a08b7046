# SPDX-License-Identifier: Apache-2.0
"""Check the shape of config_overrides, {path: {section: {option: value}}}. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.module_utils.message import Message


def override_problems(layers: Iterable[dict[str, Any]]) -> list[Message]:
    """Return the problems in the shape of the layers, {name, source, files}, each once."""
    problems = [
        Message(f"config_overrides of {layer['name']} ({layer['source']}): {problem}")
        for layer in layers
        for problem in shape_problems(layer["files"])
    ]
    return list(dict.fromkeys(problems))


def shape_problems(files: object) -> list[Message]:
    """Return the problems in the shape of one layer."""
    if not isinstance(files, dict):
        return [Message("it must map the absolute path of a file to its options")]
    problems = []
    for path, options in files.items():
        if not str(path).startswith("/"):
            problems.append(Message(f"{path} is not the absolute path of a file, such as /etc/nova/nova.conf"))
        if options is not None and not isinstance(options, dict):
            problems.append(
                Message(f"{path} must hold {{section: {{option: value}}}}, or {{option: value}} in a flat file")
            )
        elif options and not str(path).endswith((".yaml", ".yml", ".json")):
            problems += nested_values(str(path), options)
    return problems


def nested_values(path: str, options: dict[str, Any]) -> list[Message]:
    """Return a problem for each option whose value is a dict or a list of lists: a file of sections cannot hold it."""
    return [
        Message(
            f"{path}: [{section}] {option} holds a {kind(value)}; give a plain value, or a list of plain values to "
            "repeat the option"
        )
        for section, inner in options.items()
        if isinstance(inner, dict)
        for option, value in inner.items()
        if not is_plain(value)
    ]


def kind(value: object) -> str:
    """Return the kind of a nested value; Ansible has subclasses of both types."""
    return "dict" if isinstance(value, dict) else "list"


def is_plain(value: object) -> bool:
    """Return whether an option can have a value: a plain one, or a list of plain ones."""
    values = value if isinstance(value, list) else [value]
    return not any(isinstance(item, (dict, list)) for item in values)
