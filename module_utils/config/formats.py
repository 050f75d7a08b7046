# SPDX-License-Identifier: Apache-2.0
"""The formats in which configuration files are written: text of merged options, and what differs. No I/O.

ini         sections as oslo.config reads them; sorted, DEFAULT first
systemd     sections as systemd reads them; Unit first, Install last, options in the order of the layers
properties  `name = value` (rabbitmq.conf, libvirtd.conf); a value is written as it is given, with quotes where the
            reader wants them: host_uuid_source: '"machine-id"'
shell       NAME="value", as shells and systemd's EnvironmentFile= read it
flags       `name value` (memcached.conf: -m 64); true is the name alone, false leaves it out
yaml        a mapping; each name is an option, its value any YAML

Merged options are {section: {option: [value, ...]}}, see layers.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from ansible.module_utils.config import ini_file
from ansible.module_utils.config.host_values import describe, find
from ansible.module_utils.config.ini_file import HEADER
from ansible.module_utils.config.masking import mask_changed, mask_line, mask_texts, mask_value

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
# What JSON leaves as it is and YAML does not take.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def render(options: dict, file_format: str = "ini") -> str:
    """Return the text of a file. Raises ValueError that names an option which the format cannot hold."""
    for section, values in options.items():
        if file_format not in FLAT and not re.fullmatch(r"[^\s\]][^\n\r\]]*", section):
            raise ValueError(f"[{section}] is not a name of a section")
        for option, value in values.items():
            _check(f"[{section}] {option}" if section else option, option, value, file_format)
    if file_format == "ini":
        return ini_file.render(options)
    if file_format == "systemd":
        return HEADER + _systemd(options)
    lines = _yaml(_mapping(options), "") if file_format == "yaml" else _lines(options, file_format)
    return HEADER + "".join(f"{line}\n" for line in lines)


def show_changes(before: str, after: str, options: dict, file_format: str = "ini", secrets=()) -> tuple:
    """Return two texts with what differs between two versions of a file, secrets hidden, changed secrets marked.

    options are those that the version after was made from.
    """
    if file_format in ("ini", "systemd"):
        return ini_file.show_changes(
            ini_file.parse(before),
            options,
            " = " if file_format == "ini" else "=",
            lambda option, value: mask(option, value, file_format, secrets),
        )
    old, new = (_without_comments(text) for text in (before, after))
    if file_format == "yaml":  # a line says little without those around it
        return mask_texts("\n".join(old), "\n".join(new), secrets)
    changed = ([line for line in old if line not in new], [line for line in new if line not in old])
    shown = mask_changed(*changed, lambda line: mask_line(line, secrets))
    return tuple("".join(f"{line}\n" for line in lines) for lines in shown)


def mask(option: str, value: Any, file_format: str = "ini", secrets=()) -> Any:
    """Return the value of an option as it may be shown."""
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


def _check(shown: str, option: str, values: list, file_format: str) -> None:
    if not re.fullmatch(NAMES[file_format], option):
        raise ValueError(f"{shown!r} is not a name of an option in a file of format {file_format}")
    if file_format == "shell" and len(values) > 1:
        raise ValueError(f"{shown} holds a list; a shell variable has one value, only the last would count")
    for value in values:
        undecided = find(value)
        if undecided:
            raise ValueError(f"{shown} is {describe(undecided)}; it has to be resolved before the file is written")
        if file_format == "systemd" and value.endswith("\\"):
            raise ValueError(f"{shown} ends with a backslash; systemd would take the next line as part of the value")


def _systemd(options: dict) -> str:
    parts = []
    for section in sorted(options, key=lambda name: (name != "Unit", name == "Install")):
        lines = [f"{option}={value}\n" for option, values in options[section].items() for value in values]
        parts.append("".join([f"\n[{section}]\n", *lines]))
    return "".join(parts)


def _lines(options: dict, file_format: str) -> list:
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


def _mapping(options: dict) -> dict:
    return {option: values[0] for section in options.values() for option, values in section.items()}


def _yaml(value: Any, indent: str) -> list:
    """Return the lines of a block of YAML; texts are written as JSON writes them, which is YAML too."""
    if not isinstance(value, (dict, list)) or not value:
        return [f"{indent}{_scalar(value)}"]
    lines = []
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
    raise ValueError(f"{value!r} cannot be written as YAML; put it in quotes")


def _without_comments(text: str) -> list:
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
