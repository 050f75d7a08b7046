# SPDX-License-Identifier: Apache-2.0
"""Compare values with the argument specs of the roles, without a secret in any message. Pure functions."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentTypeError, ArgumentValueError
from ansible.module_utils.message import Message

MASK = "********"
Option = dict  # an option of an argument spec: type, description, choices, options ...


def secret_paths(specs: dict[str, Option]) -> list[list[str]]:
    """Return the path, [variable, key, ...], of every option that a spec marks no_log."""
    return [path for name, option in sorted(specs.items()) for path in _paths(option, [name])]


def _paths(option: Option, path: list[str]) -> list[list[str]]:
    if option.get("no_log"):
        return [path]
    inner = option.get("options") or {}
    return [found for key, sub in sorted(inner.items()) for found in _paths(sub, [*path, key])]


def is_secret(option: Option) -> bool:
    """Return whether the value of an option is a secret or has one in it."""
    return bool(_paths(option, []))


def secret_texts(option: Option, value: Any) -> set[str]:
    """Return every text of a value that a message must not show.

    Where a value with secrets does not match its spec, these are all of its texts.
    """
    if not is_secret(option):
        return set()
    inner = option.get("options")
    if option.get("no_log") or not inner or not isinstance(value, dict):
        return _texts(value)
    return {
        text
        for key, item in value.items()
        for text in (secret_texts(inner[key], item) if key in inner else _texts(item))
    }


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {text for item in value.values() for text in _texts(item)}
    if isinstance(value, (list, tuple)):
        return {text for item in value for text in _texts(item)}
    return set() if value is None or isinstance(value, bool) or value == "" else {str(value)}


def mask(message: str, secrets: set[str]) -> str:
    """Return a message with each secret masked, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, MASK)
    return message


def option_errors(name: str, option: Option, value: Any) -> list[Message]:
    """Return the problems of a variable's value; a null and a value of the host (`from_host`) have none."""
    if value is None or (isinstance(value, dict) and "from_host" in value):
        return []
    shapes = shape_errors(name, option, value)
    if shapes:
        return shapes
    errors = ArgumentSpecValidator({name: option}).validate({name: value}).errors
    return [_sentence(name, option, value, error) for error in errors]


def shape_errors(name: str, option: Option, value: Any) -> list[Message]:
    """Return the places where a value should be a list or a dict and is not.

    Ansible's validator would split a text, but roles use the value unchanged.
    """
    kind = {"list": list, "dict": dict}.get(option.get("type", ""))
    if kind and value is not None and not isinstance(value, kind):
        return [_type_error(name, option, value)]
    inner = (option.get("options") or {}) if kind is dict and value is not None else {}
    return [error for key in inner if key in value for error in shape_errors(f"{name}.{key}", inner[key], value[key])]


def _type_error(name: str, option: Option, value: Any) -> Message:
    return Message(f"{name} is {MASK if is_secret(option) else value}; it must be of type {option['type']}")


def _sentence(name: str, option: Option, value: Any, error: Exception) -> Message:
    if isinstance(error, ArgumentValueError) and not option.get("options") and not isinstance(value, (list, dict)):
        choices = ", ".join(str(choice) for choice in option["choices"])
        return Message(f"{name} is {MASK if is_secret(option) else value}; choose one of {choices}")
    if isinstance(error, ArgumentTypeError) and "found in" not in str(error):
        return _type_error(name, option, value)
    return Message(f"{name}: {mask(str(error), secret_texts(option, value))}")
