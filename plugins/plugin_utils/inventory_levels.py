# SPDX-License-Identifier: Apache-2.0
"""Read one variable at every level of an inventory; Ansible itself lets one level replace another.

Everything that reads Ansible's internals for the action cloud_model is here: the origin of variables, and the order in
which groups win.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ansible._internal._datatag._tags import Origin
from ansible.inventory.group import Group
from ansible.inventory.helpers import sort_groups
from ansible.inventory.host import Host
from ansible.vars.hostvars import HostVars
from ansible.vars.plugins import get_vars_from_path


class Value(NamedTuple):
    """A value of the variable, and its source for messages: file:line, or the name of the level."""

    value: Any
    source: str


class Levels:
    """The levels of an inventory at which a variable can be set."""

    def __init__(self, hostvars: HostVars, name: str) -> None:
        self.manager = hostvars._variable_manager
        self.inventory = hostvars._inventory
        self.loader = hostvars._loader
        self.name = name
        self._known: dict[tuple[str, str], list[Value]] = {}

    def directories(self) -> list[str]:
        """Return the directories whose group_vars and host_vars are read, the weakest first."""
        sources = [source for source in self.inventory._sources if source and os.path.exists(source)]
        directories = [source if os.path.isdir(source) else os.path.dirname(source) for source in sources]
        return list(dict.fromkeys([*directories, self.loader.get_basedir()]))

    def groups(self, host: str) -> list[str]:
        """Return the groups of a host without `all`, the weakest first."""
        groups = sort_groups(self.inventory.get_host(host).get_groups())
        return [group.name for group in groups if group.name != "all"]

    def of_group(self, name: str) -> list[Value]:
        """Return the values that a group has in any place, the weakest first."""
        return self._of("group", self.inventory.groups[name])

    def of_host(self, name: str) -> list[Value]:
        """Return the values that a host itself has in any place, the weakest first."""
        return self._of("host", self.inventory.get_host(name))

    def of_run(self) -> list[Value]:
        """Return the value among the extra variables, if any."""
        extra = self.manager.extra_vars
        return [Value(extra[self.name], source_of(extra, self.name, "--extra-vars"))] if self.name in extra else []

    def _of(self, kind: str, entity: Group | Host) -> list[Value]:
        key = (kind, entity.name)
        if key not in self._known:
            found = []
            if self.name in entity.vars:
                source = source_of(entity.vars, self.name, f"{kind} {entity.name}")
                found.append(Value(entity.vars[self.name], source))
            for directory in self.directories():
                found += self._in_directory(directory, kind, entity)
            self._known[key] = found
        return self._known[key]

    def _in_directory(self, directory: str, kind: str, entity: Group | Host) -> Iterator[Value]:
        """Yield the values in the files of a directory; the one of another vars plugin if no file has the variable."""
        merged = get_vars_from_path(self.loader, directory, [entity], "task")
        if self.name not in merged:
            return
        place = os.path.join(os.path.realpath(directory), f"{kind}_vars")
        files = self.loader.find_vars_files(place, entity.name) if os.path.isdir(place) else []
        in_file = False
        for path in files:
            data = self.loader.load_from_file(path, cache="all", unsafe=True, trusted_as_template=True) or {}
            if self.name in data:
                in_file = True
                yield Value(data[self.name], source_of(data, self.name, str(path)))
        if not in_file:
            yield Value(merged[self.name], source_of(merged, self.name, f"{kind} {entity.name}"))


def file_of(value: object) -> str | None:
    """Return the path of the file that a value was read from, None where Ansible does not know it."""
    origin = Origin.get_tag(value)
    return origin.path if origin else None


def source_of(variables: dict[str, Any], name: str, fallback: str) -> str:
    """Return file:line of a variable, relative to the current directory where it is below, else the fallback."""
    key = next((key for key in variables if key == name), name)
    origin = Origin.get_tag(key) or Origin.get_tag(variables[name])
    if not origin or not origin.path:
        return fallback
    path, here = Path(origin.path), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}:{origin.line_num}" if origin.line_num else str(shown)
