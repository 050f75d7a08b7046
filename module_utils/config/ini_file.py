# SPDX-License-Identifier: Apache-2.0
"""INI files as OpenStack reads them (oslo.config): render, parse, compare. Pure functions, no I/O.

Everything here works on one shape: {section: {option: [value, ...]}}, each value a str. An option that is given more
than once (MultiOpt) has more than one value. The module layers makes it of what a caller gives.
"""

from __future__ import annotations

from ansible.module_utils.config.masking import mask_changed, mask_value

HEADER = "# Managed by nova-ansible: what is changed here is overwritten. Change the inventory instead.\n"


def section_order(section: str) -> tuple:
    """Sort key of sections: DEFAULT first, then by name."""
    return (section != "DEFAULT", section)


def render(ini: dict) -> str:
    """Return the text of the file. Nothing in it depends on the order in which the caller put things together."""
    parts = [HEADER]
    for section in sorted(ini, key=section_order):
        parts.append(f"\n[{section}]\n")
        for option, values in sorted(ini[section].items()):
            parts.extend(f"{option} = {value}".rstrip() + "\n" for value in values)
    return "".join(parts)


def parse(text: str) -> dict:
    """Read any INI file leniently, comments dropped; what stands before the first section is section ""."""
    result, section, last = {}, "", None
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


def changed_options(before: dict, after: dict) -> list:
    """Return (section, option, old values, new values) of each option that differs, in the order of the file."""
    return [
        (section, option, before.get(section, {}).get(option, []), after.get(section, {}).get(option, []))
        for section in sorted({*before, *after}, key=section_order)
        for option in sorted({*before.get(section, {}), *after.get(section, {})})
        if before.get(section, {}).get(option, []) != after.get(section, {}).get(option, [])
    ]


def show_changes(before: dict, after: dict, assign: str = " = ", show=mask_value) -> tuple:
    """Return two texts with only the options that differ, shown by show(option, value), changed secrets marked."""
    texts, sections = ([], []), ([], [])
    for section, option, old, new in changed_options(before, after):

        def line(value, option=option):
            return f"{option}{assign}{show(option, value)}".rstrip()

        for text, seen, lines in zip(texts, sections, mask_changed(old, new, line)):
            if lines and section not in seen:
                seen.append(section)
                text.append(f"[{section}]")
            text.extend(lines)
    return tuple("".join(f"{line}\n" for line in text) for text in texts)
