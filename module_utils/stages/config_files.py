# SPDX-License-Identifier: Apache-2.0
"""Write all configuration files of a host in one go; the module config_files documents options and results."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.config import file_entries
from ansible.module_utils.config.file_entries import Change
from ansible.module_utils.config.formats import FORMATS
from ansible.module_utils.config.masking import mask_text
from ansible.module_utils.config.types import CheckReport, FileEntry, FileToCheck
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

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


def run(module: AnsibleModule) -> None:
    """Compare, check every option, write, and give the result to module.exit_json or module.fail_json."""
    secrets, entries = module.params["secrets"], module.params["files"]
    # Ansible would return the arguments, and with them every secret inside `files` that is not among `secrets`.
    result = {"invocation": {"module_args": {"files": [entry["path"] for entry in entries]}}}
    plans, problems = compare(entries, module.check_mode)
    if problems:
        fail(module, Message("These files cannot be written. Nothing was changed:"), problems, result)
    changes = [plan for plan in plans if plan.differs]
    to_check = files_to_check(plans, module.params["validate_unchanged"])
    report = checked(to_check)
    errors = report.errors + ([] if module.check_mode else missing_namespaces(report))
    if errors:
        fail(module, Message("The installed release refuses these options. Nothing was changed:"), errors, result)
    if changes and not module.check_mode:
        write(module, changes, result)
    module.exit_json(
        changed=bool(changes),
        changed_paths=[change.path for change in changes],
        deprecated=[mask_text(text, secrets) for text in report.deprecated],
        validated=[file.path for file in to_check if file.path not in report.missing],
        not_validated=sorted(report.missing),
        diff=[file_entries.show(change, secrets) for change in changes],
        **result,
    )


def compare(entries: list[FileEntry], check_mode: bool) -> tuple[list[Change], list[Message]]:
    """Return the entries with their present and wanted states, and all problems that keep them from being written."""
    plans: list[Change] = []
    problems: list[Message] = []
    for entry in entries:
        plan, found = file_entries.plan(entry, check_mode)
        plans.append(plan)
        problems += found
    paths = [plan.path for plan in plans]
    repeated = sorted({path for path in paths if paths.count(path) > 1})
    problems += [Message(f"{path} is listed more than once; merge its entries into one") for path in repeated]
    if not check_mode:
        problems += file_entries.place_problems([plan for plan in plans if plan.differs])
    return plans, problems


def files_to_check(plans: list[Change], unchanged_too: bool) -> list[FileToCheck]:
    """Return the files whose options are looked up: those that change, or all."""
    return [
        FileToCheck(plan.path, plan.wanted.options, plan.entry["validate"])
        for plan in plans
        if plan.entry["validate"] and plan.state == "file" and (unchanged_too or plan.is_new_content)
    ]


def checked(files: list[FileToCheck]) -> CheckReport:
    """Return the result of the check; its import is expensive, and most runs have nothing to check."""
    if not files:
        return CheckReport([], [], {})
    from ansible.module_utils.config.installed_options import check_files

    return check_files(files)


def missing_namespaces(report: CheckReport) -> list[Message]:
    """Return an error for each file whose namespaces are not installed."""
    return [
        Message(
            f"{path}: no installed package declares the namespace {', '.join(names)}; install the package "
            "(python3-...) or correct `validate`"
        )
        for path, names in report.missing.items()
    ]


def write(module: AnsibleModule, changes: list[Change], result: dict[str, Any]) -> None:
    """Put the changes in place."""
    try:
        file_entries.apply(changes)
    except OSError as error:
        hint = "; free some space" if error.errno == errno.ENOSPC else ""
        module.fail_json(msg=Message(f"Cannot write the files: {error}{hint}. Run again once this is fixed."), **result)


def fail(module: AnsibleModule, what: Message, problems: list[Message], result: dict[str, Any]) -> NoReturn:
    """Fail with all problems in one message."""
    lines = [mask_text(problem, module.params["secrets"]) for problem in problems]
    module.fail_json(msg=Message("\n  - ".join([what, *lines])), **result)
