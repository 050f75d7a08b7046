# SPDX-License-Identifier: Apache-2.0
"""Compare values with the argument specs of the roles, without a secret in any message. Pure functions."""

from __future__ import annotations

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentTypeError, ArgumentValueError

MASK = "********"


def secret_paths(specs: dict) -> list:
    """Return the path, [variable, key, ...], of every option that a spec marks no_log."""
    return [path for name, option in sorted(specs.items()) for path in _paths(option, [name])]


def _paths(option: dict, path: list) -> list:
    if option.get("no_log"):
        return [path]
    inner = option.get("options") or {}
    return [found for key, sub in sorted(inner.items()) for found in _paths(sub, [*path, key])]


def is_secret(option: dict) -> bool:
    """Return whether the value of an option is a secret, or holds one."""
    return bool(_paths(option, []))


def secret_texts(option: dict, value) -> set:
    """Return every text of a value that a message must not show.

    Where a value that should hold a secret has not the shape of its spec, that is each of its texts.
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


def _texts(value) -> set:
    if isinstance(value, dict):
        return {text for item in value.values() for text in _texts(item)}
    if isinstance(value, (list, tuple)):
        return {text for item in value for text in _texts(item)}
    return set() if value is None or isinstance(value, bool) or value == "" else {str(value)}


def mask(message: str, secrets: set) -> str:
    """Return a message with each secret hidden, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, MASK)
    return message


def option_errors(name: str, option: dict, value) -> list:
    """Return what is wrong with the value of a variable, as sentences; none for a null and for a value of the host."""
    if value is None or (isinstance(value, dict) and "from_host" in value):
        return []
    shapes = shape_errors(name, option, value)
    if shapes:
        return shapes
    errors = ArgumentSpecValidator({name: option}).validate({name: value}).errors
    return [_sentence(name, option, value, error) for error in errors]


def shape_errors(name: str, option: dict, value) -> list:
    """Return where a list or a dict is wanted and something else is given.

    The validator would take a text apart, but roles take the value as it is.
    """
    kind = {"list": list, "dict": dict}.get(option.get("type"))
    if kind and value is not None and not isinstance(value, kind):
        return [f"{name} is {MASK if is_secret(option) else value}; it must be of type {option['type']}"]
    inner = (option.get("options") or {}) if kind is dict and value is not None else {}
    return [error for key in inner if key in value for error in shape_errors(f"{name}.{key}", inner[key], value[key])]


def _sentence(name: str, option: dict, value, error: Exception) -> str:
    shown = MASK if is_secret(option) else value
    if isinstance(error, ArgumentValueError) and not option.get("options") and not isinstance(value, (list, dict)):
        return f"{name} is {shown}; choose one of {', '.join(str(choice) for choice in option['choices'])}"
    if isinstance(error, ArgumentTypeError) and "found in" not in str(error):
        return f"{name} is {shown}; it must be of type {option['type']}"
    return f"{name}: {mask(str(error), secret_texts(option, value))}"
