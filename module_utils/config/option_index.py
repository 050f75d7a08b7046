# SPDX-License-Identifier: Apache-2.0
"""Check the files of a host against the list of options of its release, before packages are installed.

The module option_export wrote the list on a machine with the packages of the release. It has names only, so values are
checked later, on the host.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from ansible.module_utils.config import layers
from ansible.module_utils.config.option_catalog import Catalog, Entry, NamedOption, group_key, resolve
from ansible.module_utils.config.option_check import OptionError, check_options
from ansible.module_utils.config.types import ConfigError, FileEntry
from ansible.module_utils.message import Message, located


class ListedNamespace(TypedDict):
    """A namespace of a list: its Debian package, and section -> option -> current place of an old name."""

    package: str
    sections: dict[str, dict[str, str]]


class OptionIndex(TypedDict):
    """A list of options, as roles/option_lists/files/ has it."""

    packages: dict[str, str]  # Debian package -> version
    namespaces: dict[str, ListedNamespace]
    auth_plugins: dict[str, list[str]]


class OperatorLayer(NamedTuple):
    """Options of the operator for one file."""

    label: str  # name and source of the layer, for messages
    path: str
    options: dict[str, Any]


class ListedOptions:
    """The options of some namespaces of a list, as a source for check_options."""

    def __init__(self, index: OptionIndex, release: str, namespaces: Iterable[str]) -> None:
        self.index = index
        self.label = release
        self.catalog = catalog(index, namespaces)

    def plugins(self) -> list[str]:
        """Return the names of all keystoneauth plugins."""
        return sorted(self.index["auth_plugins"])

    def plugin_options(self, auth_type: str) -> list[NamedOption] | None:
        """Return the options of a keystoneauth plugin, None for an unknown plugin."""
        names = self.index["auth_plugins"].get(auth_type)
        return None if names is None else [NamedOption(name, name.replace("-", "_")) for name in names]

    def declaring(self, section: str, option: str) -> list[str]:
        """Return the names of all namespaces that have an option."""
        rows = self.index["namespaces"].items()
        return sorted(name for name, row in rows if option in row["sections"].get(group_key(section), {}))


def catalog(index: OptionIndex, namespaces: Iterable[str]) -> Catalog:
    """Return the options of namespaces as option_catalog.flatten does, without definitions."""
    known: Catalog = {}
    for name in namespaces:
        for section, options in index["namespaces"][name]["sections"].items():
            entries = known.setdefault(section, {})
            for option, place in options.items():
                for spelling in (option, option.replace("-", "_")):
                    if not place or spelling not in entries:
                        entries[spelling] = Entry(None, place)
    return known


def check_host(
    files: Iterable[FileEntry],
    index: OptionIndex,
    release: str,
    installed: Mapping[str, str],
    operator_layers: Sequence[OperatorLayer] = (),
    extra_options: Collection[str] = (),
) -> list[Message]:
    """Return a message for each option of a host's files that the release does not have.

    installed: version of each package that the host has.
    operator_layers: the strongest first; a message names the layer that sets the option.
    extra_options: each "[section] option", that newer packages than those of the list have.
    """
    errors = []
    for file in files:
        namespaces, missing = resolve(file.get("validate") or [], index["namespaces"])
        if not namespaces or missing or is_checked_on_host(namespaces, index, installed):
            continue
        path = file["path"]
        try:
            options = layers.merge(file.get("layers") or [], path=path)
        except ConfigError as error:
            errors.append(error.message)
            continue
        found = check_options(options, ListedOptions(index, release, namespaces)).errors
        own = [layer for layer in operator_layers if layer.path == path]
        errors += [
            located(label_of(error, own) or path, error.message)
            for error in found
            if f"[{error.section}] {error.option}" not in extra_options
        ]
    return errors


def is_checked_on_host(namespaces: Iterable[str], index: OptionIndex, installed: Mapping[str, str]) -> bool:
    """Tell whether a host has the packages in other versions than the list; then the installed packages decide."""
    packages = {index["namespaces"][name]["package"] for name in namespaces}
    return packages <= set(installed) and any(installed[name] != index["packages"][name] for name in packages)


def label_of(error: OptionError, operator_layers: Sequence[OperatorLayer]) -> str:
    """Return the label of the operator's layer that sets an option, empty where none does."""
    for layer in operator_layers:
        for section, options in layer.options.items():
            same = group_key(section) == group_key(error.section)
            if same and (error.option is None or error.option in (options or {})):
                return layer.label
    return ""
