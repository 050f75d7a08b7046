# SPDX-License-Identifier: Apache-2.0
"""Check the operator's options of a host against the list of its release, before the packages are there to judge.

Pure functions, no I/O; they run on the control node.
"""

from __future__ import annotations

from ansible.module_utils import host_values, option_lists

ADVICE = (
    "Correct each name in the inventory, or take it out. (docs/releases.md names the packages whose options these are; "
    "what newer packages have besides goes into preflight_options_besides.)"
)


def checkable(files: list) -> list:
    """Return the files with options of the operator that a list of options can judge."""
    return [
        file
        for file in files
        if file.get("validate")
        and file.get("format", "ini") == "ini"
        and any(layer.get("operator") and layer.get("options") for layer in file.get("layers") or [])
    ]


def merged(layers: list) -> dict:
    """Return the options of all layers; of one that several name, the last one's value."""
    result: dict = {}
    for layer in layers:
        for section, options in (layer.get("options") or {}).items():
            result.setdefault(section, {}).update(options or {})
    return result


def named(value: object, facts: dict) -> object:
    """Return options in which what the host decides is a value: names are what is checked."""
    if host_values.is_host_value(value):
        try:
            return host_values.resolve(value, facts)
        except ValueError:
            return host_values.describe(value)
    if isinstance(value, dict):
        return {key: named(item, facts) for key, item in value.items()}
    return value


def label(layer: dict) -> str:
    """Return the name of a layer, with the file that it comes from."""
    return f"{layer['name']}, {layer['source']}" if layer.get("source") else layer["name"]


def problems(files: list, listed: dict, release: str, versions: dict, besides: list, facts: dict) -> list:
    """Return a sentence about the options of a host that its release does not have, or nothing.

    `listed` is the list of the release, `versions` the packages of it that the host has.
    """
    taken, rows = [], []
    for file in checkable(files):
        taken.append({"path": file["path"], "validate": file["validate"], "ini": named(merged(file["layers"]), facts)})
        rows += [
            {"name": label(layer), "options": layer["options"], "file": file["path"]}
            for layer in reversed(file["layers"])
            if layer.get("operator") and layer.get("options")
        ]
    errors = option_lists.check_host(taken, listed, release, versions, rows, besides)
    return [f"{'; '.join(errors)}. {ADVICE}"] if errors else []
