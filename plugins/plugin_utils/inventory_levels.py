# SPDX-License-Identifier: Apache-2.0
"""One variable at every level of an inventory, which Ansible itself would let one level replace in another.

Everything that reads Ansible's internals for the action cloud_model is here: where variables come from, and in which
order groups win.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ansible._internal._datatag._tags import Origin
from ansible.inventory.helpers import sort_groups
from ansible.vars.hostvars import HostVars
from ansible.vars.plugins import get_vars_from_path


class Levels:
    """The levels of an inventory at which a variable can be set."""

    def __init__(self, hostvars: HostVars, name: str) -> None:
        self.manager = hostvars._variable_manager
        self.inventory = hostvars._inventory
        self.loader = hostvars._loader
        self.name = name
        self._known: dict[tuple, list] = {}

    def folders(self) -> list[str]:
        """Return the folders whose group_vars and host_vars are read, the weakest first."""
        sources = [source for source in self.inventory._sources if source and os.path.exists(source)]
        folders = [source if os.path.isdir(source) else os.path.dirname(source) for source in sources]
        return list(dict.fromkeys([*folders, self.loader.get_basedir()]))

    def groups(self, host: str) -> list[str]:
        """Return the groups of a host without `all`, the weakest first."""
        groups = sort_groups(self.inventory.get_host(host).get_groups())
        return [group.name for group in groups if group.name != "all"]

    def of_group(self, name: str) -> list[tuple]:
        """Return (value, source) at each place where a group has the variable, the weakest first."""
        return self._of("group", self.inventory.groups[name])

    def of_host(self, name: str) -> list[tuple]:
        """Return (value, source) at each place where a host itself has the variable, the weakest first."""
        return self._of("host", self.inventory.get_host(name))

    def of_run(self) -> list[tuple]:
        """Return (value, source) of the extra variables."""
        extra = self.manager.extra_vars
        return [(extra[self.name], source_of(extra, self.name, "--extra-vars"))] if self.name in extra else []

    def _of(self, kind: str, entity) -> list[tuple]:
        key = (kind, entity.name)
        if key not in self._known:
            found = []
            if self.name in entity.vars:
                found.append((entity.vars[self.name], source_of(entity.vars, self.name, f"{kind} {entity.name}")))
            for folder in self.folders():
                found += self._in_folder(folder, kind, entity)
            self._known[key] = found
        return self._known[key]

    def _in_folder(self, folder: str, kind: str, entity) -> Iterator[tuple]:
        """Yield what the files of a folder say, one by one; what another vars plugin says if no file has it."""
        merged = get_vars_from_path(self.loader, folder, [entity], "task")
        if self.name not in merged:
            return
        place = os.path.join(os.path.realpath(folder), f"{kind}_vars")
        files = self.loader.find_vars_files(place, entity.name) if os.path.isdir(place) else []
        alone = False
        for path in files:
            data = self.loader.load_from_file(path, cache="all", unsafe=True, trusted_as_template=True) or {}
            if self.name in data:
                alone = True
                yield data[self.name], source_of(data, self.name, str(path))
        if not alone:
            yield merged[self.name], source_of(merged, self.name, f"{kind} {entity.name}")


def file_of(value) -> str | None:
    """Return the path of the file that a value was read from, where Ansible knows it."""
    origin = Origin.get_tag(value)
    return origin.path if origin else None


def source_of(variables: dict, name: str, otherwise: str) -> str:
    """Return file:line of a variable, relative to the current folder where it is below, else what is known of it."""
    key = next((key for key in variables if key == name), name)
    origin = Origin.get_tag(key) or Origin.get_tag(variables[name])
    if not origin or not origin.path:
        return otherwise
    path, here = Path(origin.path), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}:{origin.line_num}" if origin.line_num else str(shown)
