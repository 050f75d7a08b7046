# SPDX-License-Identifier: Apache-2.0
"""A catalog of options: the names that a service accepts, by section, with definitions. Pure functions, no I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:  # Python 3.8 has no TypeAlias
    from typing import TypeAlias


class Option(Protocol):
    """The attributes of an oslo.config Opt that are used here."""

    name: str
    dest: str
    type: Callable[[str], Any] | None
    secret: bool
    deprecated_opts: list[Any]
    deprecated_for_removal: bool
    deprecated_reason: str | None


@dataclass
class NamedOption:
    """An option of which only the name is known."""

    name: str
    dest: str
    type: Callable[[str], Any] | None = None
    secret: bool = False
    deprecated_opts: list[Any] = field(default_factory=list)
    deprecated_for_removal: bool = False
    deprecated_reason: str | None = None


class Entry(NamedTuple):
    """A name in a catalog; `moved` is the current "[section] option" of an old name."""

    option: Option | None = None  # None where only the name is known
    moved: str = ""


Catalog: TypeAlias = "dict[str, dict[str, Entry]]"


def group_key(group: Any) -> str:
    """Return the section name under which oslo.config looks up a group; only DEFAULT has to be in capitals."""
    name = getattr(group, "name", group) or "DEFAULT"
    return name if name == "DEFAULT" else name.lower()


def flatten(pairs: Iterable[tuple[Any, Iterable[Option]]]) -> Catalog:
    """Return the catalog of [(group, [option, ...]), ...], as an entry point of oslo.config.opts declares options."""
    catalog: Catalog = {}
    read = [(group, list(options)) for group, options in pairs]
    for group, options in read:
        section = catalog.setdefault(group_key(group), {})
        for option in options:
            section[option.dest] = section[option.name] = Entry(option)
    for group, options in read:
        for option in options:
            for old in option.deprecated_opts or []:
                if not old.name and not old.group:
                    continue
                section = catalog.setdefault(group_key(old.group or group), {})
                moved = Entry(option, f"[{group_key(group)}] {option.dest}")
                section.setdefault(old.name or option.dest, moved)
                section.setdefault((old.name or option.dest).replace("-", "_"), moved)
    return catalog


def places(catalog: Catalog) -> dict[str, dict[str, str]]:
    """Return {section: {option: current place of an old name}}; of two spellings of a name only that with dashes."""
    return {
        section: {
            name: entry.moved
            for name, entry in entries.items()
            if not any("-" in other and other.replace("-", "_") == name for other in entries)
        }
        for section, entries in catalog.items()
        if entries
    }


def resolve(wanted: Iterable[str], known: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the known namespaces that names or patterns (neutron.*) match, and the patterns that match none."""
    found = {name: fnmatch.filter(known, name) for name in wanted}
    return sorted({name for names in found.values() for name in names}), [name for name in found if not found[name]]
