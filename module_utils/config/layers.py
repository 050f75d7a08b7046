# SPDX-License-Identifier: Apache-2.0
"""Options of a file in named layers: merge them, and explain which layer decides an option. Pure functions, no I/O.

A later layer wins, null removes what an earlier one sets, a list repeats an option. The types are in config/types.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ansible.module_utils.config.formats import FLAT, FORMATS
from ansible.module_utils.config.host_values import is_host_value
from ansible.module_utils.config.types import ConfigError, FileEntry, HostValue, Layer, Options, Override
from ansible.module_utils.message import Message, located

LAYER_KEYS = {"name", "source", "options", "operator"}


class Setting(NamedTuple):
    """The values that one layer gives an option, as in merged options; empty where it removes the option."""

    name: str
    source: str | None
    values: list[Any]

    @property
    def removed(self) -> bool:
        """Tell whether the layer removes the option."""
        return not self.values


def merge(layers: Iterable[Layer], file_format: str = "ini", path: str = "") -> Options:
    """Return the options of all layers together; an option keeps the place at which it first came up.

    Raise ConfigError that names file, layer, section and option.
    """
    result: Options = {}
    for _layer, options in read_all(layers, file_format, path):
        for section, values in options.items():
            for option, value in values.items():
                if value:
                    result.setdefault(section, {})[option] = value
                else:
                    result.get(section, {}).pop(option, None)
    return {section: options for section, options in result.items() if options}


def names(layers: Iterable[Layer], file_format: str = "ini", path: str = "") -> list[tuple[str, str]]:
    """Return (section, option) of each option that a layer sets or removes, in the order of the layers."""
    rows = read_all(layers, file_format, path)
    found = [
        (section, option) for _layer, sections in rows for section, values in sections.items() for option in values
    ]
    return list(dict.fromkeys(found))


def history(
    layers: Iterable[Layer], section: str, option: str, file_format: str = "ini", path: str = ""
) -> list[Setting]:
    """Return the values of an option in each layer that has it: the deciding layer first, then those it overrides."""
    found = [
        Setting(layer["name"], layer.get("source"), options[section][option])
        for layer, options in read_all(layers, file_format, path)
        if option in options.get(section, {})
    ]
    return found[::-1]


def add_overrides(files: Sequence[FileEntry], overrides: Iterable[Override]) -> tuple[list[FileEntry], list[str]]:
    """Return the entries with the operator's layers appended, and the paths that no entry has.

    overrides: the strongest last. Raise ConfigError where the options have a wrong shape, or the file has no options.
    """
    entries = {entry["path"]: entry for entry in files}
    unknown: dict[str, None] = {}
    for override in overrides:
        if not isinstance(override.get("files"), (dict, type(None))):
            raise ConfigError(Message(f'layer "{override["name"]}": files must map paths to options'))
        for path, options in (override.get("files") or {}).items():
            if path in entries:
                entries[path] = _overridden(entries[path], override, options)
            else:
                unknown[path] = None
    return [entries[entry["path"]] for entry in files], list(unknown)


def _overridden(entry: FileEntry, override: Override, options: dict[str, Any] | None) -> FileEntry:
    """Return an entry with one more layer."""
    path, layers = entry["path"], entry.get("layers")
    if layers is None:
        contents = {"text": entry.get("text"), "source": entry.get("source"), "target": entry.get("target")}
        kind = next((key for key, value in contents.items() if value is not None), "no options")
        raise ConfigError(
            Message(
                f'{path}: layer "{override["name"]}" overrides options, but the file is not made of options '
                f"(it is given as {kind})"
            )
        )
    layer: Layer = {
        "name": override["name"],
        "source": override.get("source"),
        "options": options,
        "operator": True,
    }
    read(layer, entry.get("format") or "ini", path)
    return {**entry, "layers": [*layers, layer]}


def read_all(layers: Iterable[Layer], file_format: str, path: str) -> list[tuple[Layer, Options]]:
    """Return each layer with its options in the shape of merged options; no values mean that it removes the option."""
    if file_format not in FORMATS:
        text = Message(f"format {file_format} is unknown; choose one of {', '.join(FORMATS)}")
        raise ConfigError(located(path, text))
    if not isinstance(layers, (list, tuple)):
        text = Message(f"layers must be a list of layers, not a {type(layers).__name__}")
        raise ConfigError(located(path, text))
    return [(layer, read(layer, file_format, path)) for layer in layers]


def read(layer: Layer, file_format: str, path: str) -> Options:
    """Return the options of one layer in the shape of merged options."""
    if not isinstance(layer, dict) or not LAYER_KEYS >= set(layer) or not layer.get("name"):
        text = Message(f"a layer must be {{name, source, options}}, not {_shape(layer)}")
        raise ConfigError(located(path, text))
    try:
        return _options(layer.get("options"), file_format)
    except ConfigError as error:
        raise ConfigError(located(path, located(f'layer "{layer["name"]}"', error))) from None


def _options(given: Any, file_format: str) -> Options:
    flat = file_format in FLAT
    result: Options = {}
    for section, options in ({"": given} if flat else _dict(given, "options", "sections")).items():
        for option, value in _dict(options, "options" if flat else f"[{section}]", "names and values").items():
            shown = str(option) if flat else f"[{section}] {option}"
            values = _raw(value) if file_format == "yaml" else _texts(value, shown)
            result.setdefault(str(section), {})[str(option)] = values
    return result


def _dict(value: Any, what: str, content: str) -> dict[str, Any]:
    """Return a dict of names; raise ConfigError for anything else, and for names that YAML did not read as text."""
    if value is None:
        return {}
    if not isinstance(value, dict) or is_host_value(value):
        raise ConfigError(Message(f"{what} must be a dict of {content}, not {_shape(value)}"))
    for name in value:
        if isinstance(name, bool) or name is None:
            raise ConfigError(Message(f"the name {name!r} is not a text; put it in quotes"))
    return value


def _shape(value: Any) -> str:
    """Return what kind of value it is, without its content: that may be a secret."""
    if isinstance(value, dict):
        return f"{{{', '.join(map(str, value))}}}"
    known = (kind.__name__ for kind in (list, bool, int, float, str) if isinstance(value, kind))  # Ansible subclasses
    return f"a {next(known, type(value).__name__)}"


def _raw(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _texts(value: Any, shown: str) -> list[str | HostValue]:
    return [_text(item, shown) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _text(value: Any, shown: str) -> str | HostValue:
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_host_value(value):
        return value
    if isinstance(value, (dict, list)):
        kind = "dict" if isinstance(value, dict) else "list"
        raise ConfigError(
            Message(
                f"{shown} holds a {kind}; give a plain value, or a list of plain values to repeat the option "
                "(a dict option of oslo.config is written as one text: 'key:value,key:value')"
            )
        )
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ConfigError(Message(f"{shown} holds a line break; a value is one line"))
    return text
