# SPDX-License-Identifier: Apache-2.0
"""Say where the options of configuration files come from, by the plans of hosts. Pure functions, no I/O.

An option is named by section and option with a dot between them, vnc.server_listen, in a flat format by itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.config import formats, layers
from ansible.module_utils.config.host_values import describe, is_host_value

USAGE = (
    "say what to explain: option=vnc.server_listen (section.option, DEFAULT.debug, in a file without sections only the "
    "name of the option), file=/etc/nova/nova.conf, or both"
)


def explain(plans: dict, option: str = "", file: str = "", secrets: Iterable[str] = ()) -> list:
    """Return lines that say for each host which value an option has, from which layer, and what that overrode.

    plans are {host: plan}, of which only `files` is read. With file alone, all options of the file are explained.
    Hosts with the same answer are named together. Raises ValueError that says what there is instead.
    """
    if not option and not file:
        raise ValueError(USAGE)
    answers: dict = {}
    for host, plan in plans.items():
        for entry in entries_of(plan, file):
            lines = tuple(_entry_lines(entry, option, tuple(secrets)))
            if lines:
                answers.setdefault((entry["path"], lines), []).append(host)
    if not answers:
        raise ValueError(_nothing_found(plans, option, file))
    result = []
    for (path, lines), hosts in sorted(answers.items(), key=lambda item: item[0][0]):
        result += [f"{', '.join(hosts)}: {path}", *(f"  {line}" for line in lines)]
    return result


def entries_of(plan: dict, file: str = "") -> list:
    """Return the entries of a plan, or those of one path."""
    return [entry for entry in plan.get("files") or [] if not file or entry["path"] == file]


def option_names(entry: dict) -> dict:
    """Return {name as one asks for it: (section, option)} of all options that a layer of an entry sets or removes."""
    if entry.get("layers") is None:
        return {}
    found = layers.names(entry["layers"], entry.get("format") or "ini", entry["path"])
    return {f"{section}.{option}" if section else option: (section, option) for section, option in found}


def _entry_lines(entry: dict, option: str, secrets: tuple) -> list:
    """Return the lines about one entry of one host; none where it does not have the option."""
    names = option_names(entry)
    if option:
        return _option_lines(entry, option, names[option], secrets) if option in names else []
    if entry.get("layers") is None:
        return [_without_options(entry)]
    ever_set = [(name, where) for name, where in names.items() if _is_ever_set(entry, where)]
    lines = [line for name, where in ever_set for line in _option_lines(entry, name, where, secrets)]
    return lines or [
        "no layer has an option for it" + ("; the file is not made until one has" if entry.get("optional") else "")
    ]


def _without_options(entry: dict) -> str:
    state = entry.get("state") or "file"
    if state == "link":
        return f"a link to {entry.get('target')}"
    if state != "file":
        return {"directory": "a directory", "absent": "removed"}.get(state, state)
    return f"copied on the host from {entry['source']}" if entry.get("source") else "a whole text, without options"


def _is_ever_set(entry: dict, where: tuple) -> bool:
    """Tell whether a layer gives the option a value; one that only has null is what a component leaves out here."""
    found = layers.explain(entry["layers"], *where, entry.get("format") or "ini", entry["path"])
    return bool(found) and not all(row["removed"] for row in [found, *found["overrode"]])


def _option_lines(entry: dict, name: str, where: tuple, secrets: tuple) -> list:
    file_format = entry.get("format") or "ini"
    found = layers.explain(entry["layers"], *where, file_format, entry["path"])
    if found is None:
        return []

    def shown(value: list) -> str:
        return _shown(where[1], value, file_format, secrets)

    origin = f"{found['name']}{_source(found)}"
    lines = (
        [f"{name}: removed by {origin}"]
        if found["removed"]
        else [f"{name} = {shown(found['value'])}", f"  from {origin}"]
    )
    for row in found["overrode"]:
        what = f"its removal by {row['name']}" if row["removed"] else f"{shown(row['value'])} from {row['name']}"
        lines.append(f"  instead of {what}{_source(row)}")
    return lines


def _source(row: dict) -> str:
    return f" ({row['source']})" if row["source"] else ""


def _shown(option: str, values: list, file_format: str, secrets: tuple) -> str:
    """Return values on one line, secrets hidden; a list is shown as one."""
    texts = [_text(option, value, file_format, secrets) for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(text or _EMPTY for text in texts)}]"


_EMPTY = '""'


def _text(option: str, value: Any, file_format: str, secrets: tuple) -> str:
    if is_host_value(value):
        return describe(value)
    masked = formats.mask(option, value, file_format, secrets)
    return (masked or _EMPTY) if isinstance(masked, str) else json.dumps(masked, ensure_ascii=False)


def _nothing_found(plans: dict, option: str, file: str) -> str:
    """Return why there is no answer, with what there is instead."""
    paths = sorted({entry["path"] for plan in plans.values() for entry in entries_of(plan)})
    if file and file not in paths:
        near = difflib.get_close_matches(file, paths, 3)
        return f"no host has the file {file}; " + (
            f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(paths) or 'none'}"
        )
    names: dict = {}
    sections: dict = {}
    for plan in plans.values():
        for entry in entries_of(plan, file):
            for name, (section, key) in option_names(entry).items():
                names[name] = key
                if section:
                    sections.setdefault(section, {})[entry["path"]] = None
    where = f"in {file}" if file else "in any file"
    parts = [f"no layer has the option {option} {where}"]
    near = [name for name, key in names.items() if option in (key, name.lower())]
    near += [name for name in difflib.get_close_matches(option, names, 5) if name not in near]
    if near:
        parts.append(f"near names are {', '.join(near)}")
    asked = next((section for section in sections if option.startswith(f"{section}.")), None)
    if asked:
        parts.append(f"section [{asked}] is in {', '.join(sections[asked])}")
    elif not near:
        parts.append(f"sections are {', '.join(sorted(sections))}" if sections else "an option is named section.option")
    return "; ".join([*parts, "what no layer sets has the default of its service"])
