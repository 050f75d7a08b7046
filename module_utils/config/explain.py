# SPDX-License-Identifier: Apache-2.0
"""Explain where the options of configuration files come from, by the plans of hosts. Pure functions, no I/O.

An option is named by section and option with a dot between them, vnc.server_listen; in a format without sections by
its name alone.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.config import formats, layers
from ansible.module_utils.config.host_values import describe, is_host_value
from ansible.module_utils.config.types import ConfigError, FileEntry
from ansible.module_utils.message import Message

_EMPTY = '""'


def explain(plans: Mapping[str, Any], option: str = "", file: str = "", secrets: Iterable[str] = ()) -> list[str]:
    """Return lines that name for each host the value of an option, its layer, and the values that the layer overrides.

    plans: by host; only `files` is read. With a file alone, all options of the file are explained. Hosts with the same
    answer are named together. Raise ConfigError, with what there is instead, where there is no answer.
    """
    if not option and not file:
        raise ConfigError(
            Message(
                "give the option to explain, option=vnc.server_listen (section.option, DEFAULT.debug, in a file "
                "without sections only the name of the option), file=/etc/nova/nova.conf, or both"
            )
        )
    answers: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for host, plan in plans.items():
        for entry in entries_of(plan, file):
            lines = tuple(_entry_lines(entry, option, tuple(secrets)))
            if lines:
                answers.setdefault((entry["path"], lines), []).append(host)
    if not answers:
        raise ConfigError(_nothing_found(plans, option, file))
    result = []
    for (path, lines), hosts in sorted(answers.items(), key=lambda item: item[0][0]):
        result += [f"{', '.join(hosts)}: {path}", *(f"  {line}" for line in lines)]
    return result


def entries_of(plan: Mapping[str, Any], file: str = "") -> list[FileEntry]:
    """Return the entries of a plan, or those of one path."""
    return [entry for entry in plan.get("files") or [] if not file or entry["path"] == file]


def option_names(entry: FileEntry) -> dict[str, tuple[str, str]]:
    """Return {name to ask for: (section, option)} of all options that a layer of an entry sets or removes."""
    found = layers.names(entry.get("layers") or [], _format(entry), entry["path"])
    return {f"{section}.{option}" if section else option: (section, option) for section, option in found}


def _format(entry: FileEntry) -> str:
    return entry.get("format") or "ini"


def _history(entry: FileEntry, where: tuple[str, str]) -> list[layers.Setting]:
    return layers.history(entry.get("layers") or [], *where, _format(entry), entry["path"])


def _entry_lines(entry: FileEntry, option: str, secrets: tuple[str, ...]) -> list[str]:
    """Return the lines about one entry of one host; none where it does not have the option."""
    names = option_names(entry)
    if option:
        return _option_lines(entry, option, names[option], secrets) if option in names else []
    if entry.get("layers") is None:
        return [_without_options(entry)]
    lines = [
        line
        for name, where in names.items()
        if not all(setting.removed for setting in _history(entry, where))  # null alone: left out on this host
        for line in _option_lines(entry, name, where, secrets)
    ]
    return lines or [
        "no layer has an option for it" + ("; the file is not made until one has" if entry.get("optional") else "")
    ]


def _without_options(entry: FileEntry) -> str:
    state = entry.get("state") or "file"
    if state == "link":
        return f"a link to {entry.get('target')}"
    if state != "file":
        return {"directory": "a directory", "absent": "removed"}.get(state, state)
    return f"copied on the host from {entry['source']}" if entry.get("source") else "a whole text, without options"


def _option_lines(entry: FileEntry, name: str, where: tuple[str, str], secrets: tuple[str, ...]) -> list[str]:
    def shown(values: list[Any]) -> str:
        texts = [_text(where[1], value, _format(entry), secrets) for value in values]
        return texts[0] if len(texts) == 1 else f"[{', '.join(text or _EMPTY for text in texts)}]"

    decisive, *overridden = _history(entry, where)
    lines = (
        [f"{name}: removed by {_origin(decisive)}"]
        if decisive.removed
        else [f"{name} = {shown(decisive.values)}", f"  from {_origin(decisive)}"]
    )
    for setting in overridden:
        what = "its removal by" if setting.removed else f"{shown(setting.values)} from"
        lines.append(f"  instead of {what} {_origin(setting)}")
    return lines


def _origin(setting: layers.Setting) -> str:
    return f"{setting.name} ({setting.source})" if setting.source else setting.name


def _text(option: str, value: Any, file_format: str, secrets: tuple[str, ...]) -> str:
    if is_host_value(value):
        return describe(value)
    masked = formats.mask(option, value, file_format, secrets)
    return (masked or _EMPTY) if isinstance(masked, str) else json.dumps(masked, ensure_ascii=False)


def _nothing_found(plans: Mapping[str, Any], option: str, file: str) -> Message:
    """Return why there is no answer, with what there is instead."""
    paths = sorted({entry["path"] for plan in plans.values() for entry in entries_of(plan)})
    if not file or file in paths:
        return _no_option(plans, option, file)
    near = difflib.get_close_matches(file, paths, 3)
    instead = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(paths) or 'none'}"
    return Message(f"no host has the file {file}; {instead}")


def _no_option(plans: Mapping[str, Any], option: str, file: str) -> Message:
    """Return the message about an option that no layer has, with what there is instead."""
    names: dict[str, str] = {}
    sections: dict[str, dict[str, None]] = {}  # section -> paths, in their order
    for plan in plans.values():
        for entry in entries_of(plan, file):
            for name, (section, key) in option_names(entry).items():
                names[name] = key
                if section:
                    sections.setdefault(section, {})[entry["path"]] = None
    parts = []
    near = [name for name, key in names.items() if option in (key, name.lower())]
    near += [name for name in difflib.get_close_matches(option, names, 5) if name not in near]
    if near:
        parts.append(f"similar names: {', '.join(near)}")
    requested = next((section for section in sections if option.startswith(f"{section}.")), None)
    if requested:
        parts.append(f"section [{requested}] is in {', '.join(sections[requested])}")
    elif not near:
        parts.append(f"sections are {', '.join(sorted(sections))}" if sections else "an option is named section.option")
    where = f"in {file}" if file else "in any file"
    return Message(
        f"no layer has the option {option} {where}; {'; '.join(parts)}; "
        "an option that no layer sets has the default of its service"
    )
