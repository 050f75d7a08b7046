# SPDX-License-Identifier: Apache-2.0
"""Unpack machines/*.yml, one file for each machine of the KVM tests, into trees that kvm_verify takes as `root`.

A machine has four keys:

description  what is true of it, for people
want         what kvm_verify has to find
parts        names of the parts of machines/common.yml that it is made of
files        paths with their content, merged over the parts: mappings key by key, anything else replaces; null removes

Content is a text, which gets a final line break, `{exact: TEXT}`, which gets none, or a mapping: it becomes JSON, and
`/proc/cpuinfo` becomes `each` once for every one of `processors` ("{n}" is its number) with the text `then` after it.
`{without: WORDS, with: WORDS}` in place of a text takes words out of the text of the parts and appends others.
`/dev.json` lists device nodes, which a tree cannot hold; `/fixture` has what a running machine would answer: see
module_utils/kvm/tree.py.

To add a machine, write `machines/NN-name.yml` next to the one that it resembles and run
`pytest tests/unit/kvm`: every machine is checked against its `want`. To look at a tree:
`python tests/unit/kvm/machine_trees.py DIRECTORY [NAME ...]`.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

DIRECTORY = Path(__file__).parent / "machines"
COLUMN = 16  # where the kernel puts the colons of /proc/cpuinfo, with tabs


class Machine(NamedTuple):
    """A machine as its file describes it, with its parts merged in."""

    name: str
    description: str
    want: dict[str, Any]
    files: dict[str, Any]


def load(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.cache
def machines() -> dict[str, Machine]:
    """Return every machine by its name; raise ValueError where a file has other keys or names an unknown part."""
    parts = load(DIRECTORY / "common.yml")
    found = {}
    for path in sorted(DIRECTORY.glob("[0-9]*.yml")):
        content = load(path)
        if content.keys() != {"description", "want", "parts", "files"} or not parts.keys() >= set(content["parts"]):
            raise ValueError(f"{path} needs description, want, parts (of {', '.join(parts)}) and files")
        files: dict[str, Any] = {}
        for layer in [*(parts[name] for name in content["parts"]), content["files"]]:
            files = merge(files, layer)
        found[path.stem] = Machine(path.stem, content["description"], content["want"], files)
    return found


def merge(base: Any, change: Any) -> Any:
    """Return what a later layer makes of an earlier one."""
    if not isinstance(change, Mapping):
        return change
    if isinstance(base, str) and change.keys() <= {"without", "with"}:
        gone = change.get("without", "").split()
        return " ".join([*(word for word in base.split() if word not in gone), *change.get("with", "").split()])
    result = dict(base) if isinstance(base, Mapping) else {}
    for key, value in change.items():
        result[key] = merge(result.get(key), value)
    return {key: value for key, value in result.items() if value is not None}


def content(path: str, value: Any) -> str:
    """Return the text of a file."""
    if not isinstance(value, Mapping):
        return f"{value}".rstrip("\n") + "\n"
    if "exact" in value:
        return value["exact"]
    if path == "/proc/cpuinfo":
        return cpuinfo(**value)
    return json.dumps(value, indent=1) + "\n"


def cpuinfo(processors: int, each: Mapping[str, Any], then: str = "") -> str:
    """Return /proc/cpuinfo of a machine with so many processors of one kind."""
    lines = []
    for number in range(processors):
        for name, value in each.items():
            tabs = "\t" * -(-(COLUMN - len(name)) // 8)
            lines.append(f"{name}{tabs}: {value}".replace("{n}", str(number)).rstrip(" "))
        lines.append("")
    return "\n".join(lines) + "\n" + then


def unpack(machine: Machine, target: Path) -> Path:
    """Write the tree of a machine below a directory and return its root."""
    root = target / machine.name
    for path, value in machine.files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content(path, value), encoding="utf-8")
    return root


@functools.cache
def unpacked() -> Path:
    """Return the directory with the trees of all machines: made once in a process, gone at its end."""
    holder = tempfile.TemporaryDirectory(prefix="kvm-machines-")
    for machine in machines().values():
        unpack(machine, Path(holder.name))
    _kept.append(holder)
    return Path(holder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []  # a directory is removed when nothing refers to it


def main(target: str, names: Iterable[str]) -> None:
    """Unpack machines by name, by default all, into a directory."""
    for name in names or machines():
        print(unpack(machines()[name], Path(target)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
