# SPDX-License-Identifier: Apache-2.0
"""The data that configuration is made of: file entries, layers of options, merged options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from ansible.module_utils.message import Message, OperatorError

if TYPE_CHECKING:  # Python 3.8 has neither TypeAlias nor dict[...]
    from typing import TypeAlias

HostValue: TypeAlias = "dict[str, Any]"
"""A value that the host decides, see host_values."""

Options: TypeAlias = "dict[str, dict[str, list[Any]]]"
"""Merged options: {section: {option: [value, ...]}}; a format without sections has the section "".

A value is a text, or a HostValue until the host has resolved it. In YAML it is any value.
"""


class _Layer(TypedDict):
    name: str


class Layer(_Layer, total=False):
    """Options of a file and their origin; a later layer wins over an earlier one."""

    source: str | None  # the file, or file and line, in which an operator finds the options
    options: dict[str, Any] | None  # {section: {option: value}}; in a format without sections {option: value}
    operator: bool  # the options come from config_overrides


class _FileEntry(TypedDict):
    path: str


class FileEntry(_FileEntry, total=False):
    """A file, directory or link of a host, as the module config_files takes it; library/config_files.py has details."""

    state: str
    layers: list[Layer] | None
    format: str
    text: str | None
    source: str | None
    target: str | None
    optional: bool
    owner: str
    group: str
    mode: str | None
    validate: list[str]


class Override(TypedDict):
    """A layer of config_overrides: options for several files."""

    name: str
    source: str | None
    files: dict[str, dict[str, Any] | None] | None


class FileToCheck(NamedTuple):
    """A file whose options are to be looked up in the namespaces that declare them."""

    path: str
    options: Options
    namespaces: list[str]


class CheckReport(NamedTuple):
    """The result of the check of several files; `missing` maps a path to its namespaces that are not installed."""

    errors: list[Message]
    deprecated: list[Message]
    missing: dict[str, list[str]]


class ConfigError(OperatorError, ValueError):
    """Options that cannot be merged, resolved or written, or a question about options without an answer."""
