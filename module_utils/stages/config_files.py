# SPDX-License-Identifier: Apache-2.0
"""All configuration files of a host in one go; the module config_files documents options and results."""

from __future__ import annotations

import errno
from typing import Any

from ansible.module_utils.config import file_entries
from ansible.module_utils.config.formats import FORMATS
from ansible.module_utils.config.masking import mask_text

FILE_SPEC = {
    "path": {"type": "path", "required": True},
    "state": {"choices": ["file", "directory", "link", "absent"], "default": "file"},
    "layers": {"type": "list", "elements": "dict"},
    "format": {"choices": list(FORMATS), "default": "ini"},
    "text": {"type": "str"},
    "source": {"type": "path"},
    "target": {"type": "path"},
    "optional": {"type": "bool", "default": False},
    "owner": {"default": "root"},
    "group": {"default": "root"},
    "mode": {"type": "str"},
    "validate": {"type": "list", "elements": "str", "default": []},
}
ARGUMENT_SPEC = {
    "files": {"type": "list", "elements": "dict", "required": True, "options": FILE_SPEC},
    "validate_unchanged": {"type": "bool", "default": False},
    "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
}


def checked(files: list) -> dict:
    """Return what the option catalog says of files; the import is dear, and most runs have nothing to check."""
    if not files:
        return {"errors": [], "deprecated": [], "missing": {}}
    from ansible.module_utils.config.option_check import check_files

    return check_files(files)


def run(module: Any) -> None:
    """Look, check every option, write, and give the result to module.exit_json or module.fail_json."""
    secrets, entries = module.params["secrets"], module.params["files"]
    # Ansible would return the arguments, and with them every secret inside `files` that is not among `secrets`.
    result = {"invocation": {"module_args": {"files": [entry["path"] for entry in entries]}}}
    plans, problems = look_at(entries, module.check_mode)
    if problems:
        fail(module, "These files cannot be written.", problems, result)
    changes = [plan for plan in plans if plan["differs"]]
    to_check = [
        {"path": plan["path"], "ini": plan["merged"], "namespaces": plan["validate"]}
        for plan in plans
        if plan["validate"]
        and plan["state"] == "file"
        and (module.params["validate_unchanged"] or {"content", "kind"} & set(plan["differs"]))
    ]
    report = checked(to_check)
    if not module.check_mode:
        report["errors"] += [
            f"{path}: no installed package declares the namespace {', '.join(names)}; install the package "
            "(python3-...) or correct `validate`"
            for path, names in report["missing"].items()
        ]
    if report["errors"]:
        fail(module, "The installed release refuses these options.", report["errors"], result)
    if changes and not module.check_mode:
        try:
            file_entries.apply(changes)
        except OSError as error:
            hint = "; free some space" if error.errno == errno.ENOSPC else ""
            module.fail_json(msg=f"Cannot write the files: {error}{hint}. Run again once this is fixed.", **result)
    module.exit_json(
        changed=bool(changes),
        changed_paths=[plan["path"] for plan in changes],
        deprecated=[mask_text(text, secrets) for text in report["deprecated"]],
        validated=[file["path"] for file in to_check if file["path"] not in report["missing"]],
        not_validated=sorted(report["missing"]),
        diff=[file_entries.show(plan, secrets) for plan in changes],
        **result,
    )


def look_at(entries: list, check_mode: bool) -> tuple:
    """Return (the entries with what differs, all problems that keep them from being written)."""
    problems: list = []
    plans = [file_entries.plan_entry(entry, problems, check_mode) for entry in entries]
    paths = [plan["path"] for plan in plans]
    problems += [f"{path} is listed more than once" for path in sorted({p for p in paths if paths.count(p) > 1})]
    if not check_mode:
        problems += file_entries.place_problems([plan for plan in plans if plan["differs"]])
    return plans, problems


def fail(module: Any, what: str, problems: list, result: dict) -> None:
    """Fail with all problems in one message."""
    lines = [mask_text(problem, module.params["secrets"]) for problem in problems]
    module.fail_json(msg="\n  - ".join([f"{what} Nothing was changed:", *lines]), **result)
