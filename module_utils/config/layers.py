# SPDX-License-Identifier: Apache-2.0
"""Options of a file in named layers: merge them, and say which layer decides an option. Pure functions, no I/O.

A layer is {name, source, options}, and operator: true where it comes from config_overrides. options are
{section: {option: value}}, in a flat format {option: value}. A later layer wins, null removes what an earlier one sets,
a list repeats an option.

Merged options have one shape in all formats, {section: {option: [value, ...]}}; a flat format has the section "".
A value is a text, or a dict that only the host can resolve (host_values); in YAML it is whatever the layer holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.module_utils.config.formats import FLAT, FORMATS
from ansible.module_utils.config.host_values import is_host_value

LAYER_KEYS = {"name", "source", "options", "operator"}


def merge(layers: Iterable[dict], file_format: str = "ini", path: str = "") -> dict:
    """Return the options that the layers make together; options keep the place at which they came up first.

    Raises ValueError with a text that names file, layer, section, option and what is wrong.
    """
    result: dict = {}
    for _layer, options in read_all(layers, file_format, path):
        for section, values in options.items():
            for option, value in values.items():
                if value:
                    result.setdefault(section, {})[option] = value
                else:
                    result.get(section, {}).pop(option, None)
    return {section: options for section, options in result.items() if options}


def names(layers: Iterable[dict], file_format: str = "ini", path: str = "") -> list:
    """Return (section, option) of each option that a layer sets or removes, in the order of the layers."""
    rows = read_all(layers, file_format, path)
    found = [
        (section, option) for _layer, sections in rows for section, values in sections.items() for option in values
    ]
    return list(dict.fromkeys(found))


def explain(layers: Iterable[dict], section: str, option: str, file_format: str = "ini", path: str = "") -> dict | None:
    """Return which layer decides an option, and what it overrode, the latest first; None where no layer has it.

    The result is {name, source, value, removed, overrode: [{name, source, value, removed}]}. value is a list as in
    merged options, empty where the layer removes the option.
    """
    found = [
        {"name": layer["name"], "source": layer.get("source"), "value": values[section][option]}
        for layer, values in read_all(layers, file_format, path)
        if option in values.get(section, {})
    ]
    for row in found:
        row["removed"] = not row["value"]
    return {**found[-1], "overrode": found[-2::-1]} if found else None


def add_overrides(files: list, overrides: list) -> tuple:
    """Return (the file entries with the operator's layers appended, the paths that no entry has).

    overrides are {name, source, files: {path: options}}, the strongest last. Raises ValueError where the options have
    a wrong shape, or where the file is not made of options.
    """
    entries = {entry["path"]: entry for entry in files}
    unknown: dict = {}
    for override in overrides:
        if not isinstance(override.get("files"), (dict, type(None))):
            raise ValueError(f'layer "{override["name"]}": files must map paths to options')
        for path, options in (override.get("files") or {}).items():
            if path not in entries:
                unknown[path] = None
                continue
            entry = entries[path]
            if entry.get("layers") is None:
                kind = next((key for key in ("text", "source", "target") if entry.get(key) is not None), "no options")
                raise ValueError(
                    f'{path}: layer "{override["name"]}" overrides options, but the file is not made of options '
                    f"(it is given as {kind})"
                )
            layer = {"name": override["name"], "source": override.get("source"), "options": options, "operator": True}
            read(layer, entry.get("format") or "ini", path)
            entries[path] = {**entry, "layers": [*entry["layers"], layer]}
    return [entries[entry["path"]] for entry in files], list(unknown)


def read_all(layers: Iterable[dict], file_format: str, path: str) -> list:
    """Return (layer, its options in the common shape) of each layer; an option without values is one it removes."""
    if file_format not in FORMATS:
        raise ValueError(f"{_where(path)}format {file_format} is unknown; choose one of {', '.join(FORMATS)}")
    if not isinstance(layers, (list, tuple)):
        raise ValueError(f"{_where(path)}layers must be a list of layers, not a {type(layers).__name__}")
    return [(layer, read(layer, file_format, path)) for layer in layers]


def read(layer: dict, file_format: str, path: str) -> dict:
    """Return the options of one layer in the common shape."""
    if not isinstance(layer, dict) or not LAYER_KEYS >= set(layer) or not layer.get("name"):
        raise ValueError(f"{_where(path)}a layer must be {{name, source, options}}, not {_shape(layer)}")
    where = f'{_where(path)}layer "{layer["name"]}": '
    flat = file_format in FLAT
    try:
        sections = {"": layer.get("options")} if flat else _dict(layer.get("options"), "options must hold sections")
        result: dict = {}
        for section, options in sections.items():
            holder = "options must hold options" if flat else f"[{section}] must hold options"
            for option, value in _dict(options, holder).items():
                shown = str(option) if flat else f"[{section}] {option}"
                values = _raw(value) if file_format == "yaml" else _texts(value, shown)
                result.setdefault(str(section), {})[str(option)] = values
        return result
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None


def _where(path: str) -> str:
    return f"{path}: " if path else ""


def _dict(value: Any, what: str) -> dict:
    """Return a dict of names; raise ValueError for anything else, and for names that YAML did not read as text."""
    if value is None:
        return {}
    if not isinstance(value, dict) or is_host_value(value):
        raise ValueError(f"{what} as a dict, not {_shape(value)}")
    for name in value:
        if isinstance(name, bool) or name is None:
            raise ValueError(f"the name {name!r} is no text; put it in quotes")
    return value


def _shape(value: Any) -> str:
    """Return what a value looks like, without what it holds: that may be a secret."""
    if isinstance(value, dict):
        return f"{{{', '.join(map(str, value))}}}"
    known = (kind.__name__ for kind in (list, bool, int, float, str) if isinstance(value, kind))  # Ansible has its own
    return f"a {next(known, type(value).__name__)}"


def _raw(value: Any) -> list:
    return [] if value is None else [value]


def _texts(value: Any, shown: str) -> list:
    return [_text(item, shown) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _text(value: Any, shown: str) -> str | dict:
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_host_value(value):
        return value
    if isinstance(value, (dict, list)):
        raise ValueError(
            f"{shown} holds a {'dict' if isinstance(value, dict) else 'list'}; give a plain value, or a list of plain "
            "values to repeat the option (a dict option of oslo.config is written as one text: 'key:value,key:value')"
        )
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError(f"{shown} holds a line break; a value is one line")
    return text
