# SPDX-License-Identifier: Apache-2.0
"""Check the operator's options of a host against the list of its release, before the packages are there to judge.

Pure functions, no I/O; they run on the control node.
"""

from __future__ import annotations

from ansible.module_utils.config import option_index

ADVICE = (
    "Correct each name in the inventory, or take it out. (docs/releases.md names the packages whose options these are; "
    "what newer packages have besides goes into preflight_extra_options.)"
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


def label(layer: dict) -> str:
    """Return the name of a layer, with the file that it comes from."""
    return f"{layer['name']}, {layer['source']}" if layer.get("source") else layer["name"]


def problems(files: list, listed: dict, release: str, versions: dict, besides: list) -> list:
    """Return a sentence about the options of a host that its release does not have, or nothing.

    `listed` is the list of the release, `versions` the packages of it that the host has.
    """
    taken, rows = [], []
    for file in checkable(files):
        layers = [{key: layer[key] for key in layer if key != "operator"} for layer in file["layers"]]
        taken.append({"path": file["path"], "validate": file["validate"], "layers": layers})
        rows += [
            {"name": label(layer), "options": layer["options"], "file": file["path"]}
            for layer in reversed(file["layers"])
            if layer.get("operator") and layer.get("options")
        ]
    errors = option_index.check_host(taken, listed, release, versions, rows, besides)
    return [f"{'; '.join(errors)}. {ADVICE}"] if errors else []
