# SPDX-License-Identifier: Apache-2.0
"""The formats of configuration files: the text of merged options, and the difference to an older text. No I/O.

ini         sections as oslo.config reads them; sorted, DEFAULT first
systemd     sections as systemd reads them; Unit first, Install last, options in the order of the layers
properties  `name = value` (rabbitmq.conf, libvirtd.conf); a value is written as given, so a reader that needs quotes
            gets them from the layer: host_uuid_source: '"machine-id"'
shell       NAME="value", as shells and systemd's EnvironmentFile= read it
flags       `name value` (memcached.conf: -m 64); true writes the name alone, false leaves it out
yaml        a mapping; each name is an option, its value any YAML
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.config import ini_file
from ansible.module_utils.config.host_values import describe, find
from ansible.module_utils.config.ini_file import HEADER
from ansible.module_utils.config.masking import mask_changed, mask_line, mask_texts, mask_value
from ansible.module_utils.config.types import ConfigError, Options
from ansible.module_utils.message import Message

FORMATS = ("ini", "systemd", "properties", "shell", "flags", "yaml")
FLAT = ("properties", "shell", "flags", "yaml")
NAMES = {
    "ini": r"[^\s#;\[=:][^\n\r=:]*",
    "systemd": r"[A-Za-z][\w\-]*",
    "properties": r"[^\s#=]+",
    "shell": r"(?:export )?[A-Za-z_]\w*",
    "flags": r"[^\s#]+",
    "yaml": r".+",
}
_PLAIN_KEY = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_][\w\-]*", re.IGNORECASE)
# Characters that JSON leaves as they are, but YAML does not accept.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def render(options: Options, file_format: str = "ini") -> str:
    """Return the text of a file; raise ConfigError for an option that the format cannot hold."""
    for section, values in options.items():
        if file_format not in FLAT and not re.fullmatch(r"[^\s\]][^\n\r\]]*", section):
            raise ConfigError(Message(f"[{section}] is not a valid section name; correct it in the layer that has it"))
        for option, value in values.items():
            _check(f"[{section}] {option}" if section else option, option, value, file_format)
    if file_format == "ini":
        return ini_file.render(options)
    if file_format == "systemd":
        return HEADER + _systemd(options)
    lines = _yaml(_mapping(options), "") if file_format == "yaml" else _lines(options, file_format)
    return HEADER + "".join(f"{line}\n" for line in lines)


def show_changes(
    before: str, after: str, options: Options, file_format: str = "ini", secrets: Iterable[str] = ()
) -> tuple[str, str]:
    """Return the lines or options that differ between two versions of a file, secrets hidden, changed secrets marked.

    options: those that `after` was rendered from.
    """
    if file_format in ("ini", "systemd"):
        return ini_file.show_changes(
            ini_file.parse(before),
            options,
            " = " if file_format == "ini" else "=",
            lambda option, value: mask(option, value, file_format, secrets),
        )
    old, new = (_without_comments(text) for text in (before, after))
    if file_format == "yaml":  # a line means little without the lines around it
        return mask_texts("\n".join(old), "\n".join(new), secrets)
    changed = ([line for line in old if line not in new], [line for line in new if line not in old])
    shown = mask_changed(*changed, lambda line: mask_line(line, secrets))
    return _joined(shown[0]), _joined(shown[1])


def mask(option: str, value: Any, file_format: str = "ini", secrets: Iterable[str] = ()) -> Any:
    """Return the value of an option without its secrets."""
    if isinstance(value, dict):
        return {key: mask(str(key), item, file_format, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(option, item, file_format, secrets) for item in value]
    if file_format == "systemd" and option == "Environment":
        try:
            return " ".join(mask_line(word, secrets) for word in shlex.split(str(value)))
        except ValueError:
            return mask_line(str(value), secrets)
    return mask_value(option, value, secrets) if isinstance(value, str) else value


def _check(shown: str, option: str, values: list[Any], file_format: str) -> None:
    """Raise ConfigError for an option that the format cannot hold; `shown` is its name in the message."""
    if not re.fullmatch(NAMES[file_format], option):
        raise ConfigError(
            Message(f"{shown!r} is not a valid option name in a file of format {file_format}; correct it")
        )
    if file_format == "shell" and len(values) > 1:
        raise ConfigError(
            Message(f"{shown} holds a list; a shell variable has one value, and only the last one would count")
        )
    for value in values:
        undecided = find(value)
        if undecided:
            raise ConfigError(
                Message(f"{shown} is {describe(undecided)}; it has to be resolved before the file is written")
            )
        if file_format == "systemd" and value.endswith("\\"):
            raise ConfigError(
                Message(f"{shown} ends with a backslash; systemd would take the next line as part of the value")
            )


def _systemd(options: Options) -> str:
    parts = []
    for section in sorted(options, key=lambda name: (name != "Unit", name == "Install")):
        lines = [f"{option}={value}\n" for option, values in options[section].items() for value in values]
        parts.append("".join([f"\n[{section}]\n", *lines]))
    return "".join(parts)


def _lines(options: Options, file_format: str) -> list[str]:
    write = {"properties": _property, "shell": _assignment, "flags": _flag}[file_format]
    rows = [(option, value) for values in options.values() for option, items in values.items() for value in items]
    return [line for line in (write(option, value) for option, value in rows) if line]


def _property(option: str, value: str) -> str:
    return f"{option} = {value}".rstrip()


def _assignment(option: str, value: str) -> str:
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'{option}="{escaped}"'


def _flag(option: str, value: str) -> str:
    return {"true": option, "": option, "false": ""}.get(value, f"{option} {value}")


def _mapping(options: Options) -> dict[str, Any]:
    return {option: values[0] for section in options.values() for option, values in section.items()}


def _yaml(value: Any, indent: str) -> list[str]:
    """Return the lines of a block of YAML; texts are written as in JSON, which is valid YAML."""
    if not isinstance(value, (dict, list)) or not value:
        return [f"{indent}{_scalar(value)}"]
    lines: list[str] = []
    for key, item in value.items() if isinstance(value, dict) else [(None, item) for item in value]:
        head = f"{indent}-" if key is None else f"{indent}{_key(key)}:"
        if isinstance(item, (dict, list)) and item:
            lines += [head, *_yaml(item, f"{indent}  ")]
        else:
            lines.append(f"{head} {_scalar(item)}")
    return lines


def _key(key: Any) -> str:
    return str(key) if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else _scalar(key)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        text = repr(float(value))
        return text if "." in text else text.replace("e", ".0e")
    if value is None or isinstance(value, (bool, int)) or value in ({}, []):
        return json.dumps(value)
    raise ConfigError(Message(f"{value!r} cannot be written as YAML; put it in quotes"))


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
