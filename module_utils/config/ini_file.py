# SPDX-License-Identifier: Apache-2.0
"""INI files as OpenStack reads them (oslo.config): render, parse, compare. Pure functions, no I/O.

Options have the shape that layers.merge returns. An option that is given more than once (MultiOpt) has several values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from ansible.module_utils.config.masking import mask_changed, mask_value
from ansible.module_utils.config.types import Options

HEADER = "# Managed by nova-ansible: what is changed here is overwritten. Change the inventory instead.\n"


def section_order(section: str) -> tuple[bool, str]:
    """Return the sort key of a section: DEFAULT first, then by name."""
    return (section != "DEFAULT", section)


def render(options: Options) -> str:
    """Return the text of a file; the order of the options that are given does not matter."""
    parts = [HEADER]
    for section in sorted(options, key=section_order):
        parts.append(f"\n[{section}]\n")
        for option, values in sorted(options[section].items()):
            parts.extend(f"{option} = {value}".rstrip() + "\n" for value in values)
    return "".join(parts)


def parse(text: str) -> Options:
    """Read any INI file leniently, without comments; options above the first section are in section ""."""
    result: Options = {}
    section, last = "", None
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0] in " \t" and last:  # a continuation of the value before
            last[-1] += f" {stripped}"
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            section, last = stripped[1:-1], None
            continue
        ends = [position for position in (stripped.find("="), stripped.find(":")) if position > 0]
        option, value = (stripped[: min(ends)], stripped[min(ends) + 1 :]) if ends else (stripped, "")
        last = result.setdefault(section, {}).setdefault(option.strip(), [])
        last.append(value.strip())
    return result


def changed_options(before: Options, after: Options) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield (section, option, old values, new values) of each option that differs, in the order of the file."""
    for section in sorted({*before, *after}, key=section_order):
        old, new = before.get(section, {}), after.get(section, {})
        for option in sorted({*old, *new}):
            if old.get(option, []) != new.get(option, []):
                yield section, option, old.get(option, []), new.get(option, [])


def show_changes(
    before: Options, after: Options, assign: str = " = ", show: Callable[[str, str], str] = mask_value
) -> tuple[str, str]:
    """Return two texts with only the options that differ, shown by show(option, value), changed secrets marked."""
    old_lines: list[str] = []
    new_lines: list[str] = []
    for section, option, old, new in changed_options(before, after):

        def line(value: str, option: str = option) -> str:
            return f"{option}{assign}{show(option, value)}".rstrip()

        for side, shown in zip((old_lines, new_lines), mask_changed(old, new, line)):
            head = f"[{section}]"
            if shown and head not in side:
                side.append(head)
            side.extend(shown)
    return _joined(old_lines), _joined(new_lines)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
