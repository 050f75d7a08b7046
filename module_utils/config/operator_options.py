# SPDX-License-Identifier: Apache-2.0
"""Check the operator's options of a host against the list of its release, before its packages are installed.

Pure functions, no I/O; they run on the control node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ansible.module_utils.config.option_index import OperatorLayer, OptionIndex, check_host
from ansible.module_utils.config.types import FileEntry, Layer
from ansible.module_utils.message import Message

ADVICE = Message(
    "Correct each name in the inventory, or take it out. (docs/releases.md names the packages that have these options; "
    "add options that newer packages introduce to preflight_extra_options.)"
)


def checkable(files: Iterable[FileEntry]) -> list[FileEntry]:
    """Return the files with options of the operator that can be checked against a list."""
    return [
        file for file in files if file.get("validate") and file.get("format", "ini") == "ini" and operator_layers(file)
    ]


def operator_layers(file: FileEntry) -> list[Layer]:
    """Return the layers of a file that have options of the operator."""
    return [layer for layer in file.get("layers") or [] if layer.get("operator") and layer.get("options")]


def label(layer: Layer) -> str:
    """Return the name of a layer, with the file that it comes from."""
    return f"{layer['name']}, {layer['source']}" if layer.get("source") else layer["name"]


def problems(
    files: Iterable[FileEntry],
    index: OptionIndex,
    release: str,
    versions: Mapping[str, str],
    extra_options: Collection[str],
) -> list[Message]:
    """Return one message with all options of a host that its release does not have, or none.

    versions: of the packages in the list, as the host has them.
    """
    files = checkable(files)
    rows = [
        OperatorLayer(label(layer), file["path"], layer.get("options") or {})
        for file in files
        for layer in reversed(operator_layers(file))
    ]
    errors = check_host(files, index, release, versions, rows, extra_options)
    return [Message(". ".join(["; ".join(errors), ADVICE]))] if errors else []
