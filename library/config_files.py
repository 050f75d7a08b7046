# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import stat

from ansible.module_utils import ini_file
from ansible.module_utils.atomic_file import replace_all
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.masking import mask_text, mask_texts
from ansible.module_utils.option_catalogue import check_files

DOCUMENTATION = r"""
module: config_files
short_description: All configuration files of a host in one call
description:
  - Writes files, makes directories and removes files, given as one list, in one call.
  - With O(files[].validate), each option of a changed INI file is looked up in the option catalogue of the installed
    OpenStack release before anything is written. Where one option of one file is wrong, no file is replaced.
  - All new contents are written beside their targets before the first file is replaced, each by a rename.
  - A symbolic link at the place of a file is replaced by the file; it is never written through.
author: nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Owners, groups and folders that do not exist yet are predicted."}
  diff_mode: {support: full, description: "Only options or lines that differ; secrets are masked on both sides."}
options:
  files:
    description: What shall be there, written in the order given.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      state:
        description: V(absent) removes a file, a link or an empty directory.
        type: str
        choices: [file, directory, absent]
        default: file
      ini:
        description:
          - Sections of options. V(null) drops an option, a list repeats it, booleans become V(true) and V(false).
          - Sections and options are sorted, V(DEFAULT) first; a section without options is dropped.
        type: dict
      text: {description: The whole content of a file that is no INI file., type: str}
      source:
        description: File on the managed host whose content is taken over, such as a packaged C(api-paste.ini).
        type: path
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode:
        description: Octal, in quotes, with a leading zero. By default V(0640) for a file, V(0755) for a directory.
        type: str
      validate:
        description:
          - Namespaces of C(oslo.config.opts) which declare the options of this file, such as V(nova.conf), or patterns
            of them, such as V(neutron.*). The message about an unknown option names the namespace that has it.
          - A namespace that is not installed is an error; in check mode the file is listed in RV(not_validated).
        type: list
        elements: str
        default: []
  validate_unchanged:
    description: Check the options of files that do not change as well; an upgrade needs it.
    type: bool
    default: false
  secrets:
    description: Texts that are masked in everything this module returns.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write the configuration of Placement
  config_files:
    files:
      - path: /etc/placement/placement.conf
        ini:
          DEFAULT: {debug: false}
          placement_database: {connection: "mysql+pymysql://placement:{{ placement_password }}@10.77.0.11/placement"}
          keystone_authtoken: {auth_type: password, username: placement, password: "{{ placement_password }}"}
        group: placement
        validate: [placement.conf, keystonemiddleware.auth_token, oslo.log]
      - {path: /etc/systemd/system/placement-api.service.d, state: directory}
      - path: /etc/systemd/system/placement-api.service.d/limits.conf
        text: |
          [Service]
          TimeoutStopSec=65
        mode: "0644"
    secrets: ["{{ placement_password }}"]
"""

RETURN = r"""
changed_paths:
  description: Paths whose content, owner, group or mode changed, or in check mode would change.
  returned: success
  type: list
  elements: str
  sample: [/etc/placement/placement.conf]
deprecated:
  description: Accepted options of the checked files which the installed release calls deprecated, with what to use.
  returned: success
  type: list
  elements: str
  sample: ["/etc/nova/nova.conf: [glance] api_servers will be removed: use the catalogue"]
validated:
  description: Files whose options were looked up in the installed release's catalogue.
  returned: success
  type: list
  elements: str
not_validated:
  description: Files that a run would check, but that check mode could not, as their packages are not installed yet.
  returned: success
  type: list
  elements: str
diff:
  description: Per changed path what differs, with secrets masked.
  returned: success
  type: list
  elements: dict
"""

FILE_SPEC = {
    "path": {"type": "path", "required": True},
    "state": {"choices": ["file", "directory", "absent"], "default": "file"},
    "ini": {"type": "dict"},
    "text": {"type": "str"},
    "source": {"type": "path"},
    "owner": {"default": "root"},
    "group": {"default": "root"},
    "mode": {"type": "str"},
    "validate": {"type": "list", "elements": "str", "default": []},
}
DEFAULT_MODES = {"file": "0640", "directory": "0755", "absent": "0000"}
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


def read_now(path: str, state: str) -> dict:
    """Return what lies at path: kind (None for nothing), owner ids, mode and the text of a file."""
    try:
        # a link to a directory is an operator's way to put it on another disk, one in place of a file is replaced
        status = os.stat(path) if state == "directory" and os.path.isdir(path) else os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": None, "uid": None, "gid": None, "mode": None, "text": ""}
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    now = {"kind": kind, "uid": status.st_uid, "gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode), "text": ""}
    if kind == "file":
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            now["text"] = file.read()
    return now


def account_id(find, name: str):
    """Return the numeric id of a user or group, or None when it does not exist."""
    try:
        return int(name) if name.isdigit() else find(name)[2]
    except KeyError:
        return None


def plan_entry(entry: dict, problems: list, check_mode: bool) -> dict:
    """Add to an entry what is there now (now), what is wanted (text, uid, gid, bits) and what differs."""
    path, state = entry["path"], entry["state"]
    given = [key for key in ("ini", "text", "source") if entry[key] is not None]
    if not path.startswith("/"):
        problems.append(f"path {path} is not absolute; give it with a leading /")
    if len(given) != (1 if state == "file" else 0):
        takes = "one of ini, text, source" if state == "file" else "no content"
        problems.append(f"{path}: state {state} takes {takes}")
    if entry["validate"] and entry["ini"] is None:
        problems.append(f"{path}: validate needs `ini`; other files have no options to look up")
    mode = entry["mode"] or DEFAULT_MODES[state]
    if not re.fullmatch(r"0[0-7]{3,4}", mode):
        problems.append(f'{path}: mode {mode} must be octal text in quotes with a leading zero, such as "0640"')
        mode = "0000"
    plan = {**entry, "now": read_now(path, state), "bits": int(mode, 8), "new": "", "options": {}}
    plan["uid"] = account_id(pwd.getpwnam, entry["owner"])
    plan["gid"] = account_id(grp.getgrnam, entry["group"])
    if state != "absent" and not check_mode:
        for what, name, number in (("user", entry["owner"], plan["uid"]), ("group", entry["group"], plan["gid"])):
            if number is None:
                problems.append(f"{path}: {what} {name} does not exist; install the package that makes it first")
    try:
        if entry["ini"] is not None:
            plan["options"] = ini_file.normalise(entry["ini"])
            plan["new"] = ini_file.render(plan["options"])
        elif entry["source"] is not None:
            plan["new"] = read_source(entry["source"], plan["now"]["text"], check_mode)
        else:
            plan["new"] = entry["text"] or ""
    except (OSError, ValueError) as error:
        problems.append(f"{path}: {error}")
    return {**plan, "differs": differs(plan)}


def read_source(source: str, otherwise: str, check_mode: bool) -> str:
    """Return the text of a file of a package; in check mode the package may not be there yet."""
    try:
        with open(source, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        if check_mode:
            return otherwise
        raise


def differs(plan: dict) -> list:
    """Return what differs: any of content, kind, owner, group, mode."""
    now, state = plan["now"], plan["state"]
    if state == "absent":
        return ["kind"] if now["kind"] else []
    if now["kind"] != state:
        return ["kind"]
    pairs = {"content": (now["text"], plan["new"])} if state == "file" else {}
    pairs.update(owner=(now["uid"], plan["uid"]), group=(now["gid"], plan["gid"]), mode=(now["mode"], plan["bits"]))
    return [name for name, (old, new) in pairs.items() if old != new]


def owner_line(uid, gid, mode, names=()) -> str:
    """Return the line in which a diff shows owner, group and mode."""
    shown = []
    for find, number, name in zip((pwd.getpwuid, grp.getgrgid), (uid, gid), names or (None, None)):
        try:
            shown.append(name or find(number)[0])
        except KeyError:
            shown.append(str(number))
    return f"# owner {shown[0]}:{shown[1]} mode {mode:04o}\n"


def show(plan: dict, secrets: list) -> dict:
    """Return the diff of one changed path."""
    now, path = plan["now"], plan["path"]
    old, new = (text.encode("utf-8", "replace").decode() for text in (now["text"], plan["new"]))
    if not {"content", "kind"} & set(plan["differs"]):
        before, after = "", ""
    elif plan["ini"] is not None:
        before, after = ini_file.show_changes(ini_file.parse(old), plan["options"], secrets)
        if "content" in plan["differs"] and before == after:
            before, after = "# the same options in another layout\n", "# the layout of nova-ansible\n"
    else:
        before, after = mask_texts(old, new, secrets)
    if now["kind"] and (set(plan["differs"]) - {"content"} or plan["state"] == "absent"):
        before = owner_line(now["uid"], now["gid"], now["mode"]) + before
    if plan["state"] != "absent" and set(plan["differs"]) - {"content"}:
        after = owner_line(plan["uid"], plan["gid"], plan["bits"], (plan["owner"], plan["group"])) + after
    headers = [f"{path} ({kind or 'absent'})" for kind in (now["kind"], plan["state"])]
    return {"before_header": headers[0], "after_header": headers[1], "before": before, "after": after}


def set_attributes(plan: dict) -> None:
    """Set owner, group and mode of what lies there; a link put there meanwhile is not followed."""
    follow = os.O_NOFOLLOW if plan["state"] == "file" else os.O_DIRECTORY
    descriptor = os.open(plan["path"], os.O_RDONLY | follow)
    try:
        os.fchown(descriptor, plan["uid"], plan["gid"])
        os.fchmod(descriptor, plan["bits"])
    finally:
        os.close(descriptor)


def apply(plans: list) -> None:
    """Make the directories, then replace all files, then set owners and modes, then remove."""
    for plan in plans:
        if plan["state"] == "directory":
            os.makedirs(plan["path"], exist_ok=True)
            set_attributes(plan)
    new = [plan for plan in plans if plan["state"] == "file" and {"content", "kind"} & set(plan["differs"])]
    replace_all([(p["path"], p["new"].encode("utf-8", "surrogateescape"), p["uid"], p["gid"], p["bits"]) for p in new])
    for plan in plans:
        if plan["state"] == "file" and plan not in new:
            set_attributes(plan)
        elif plan["state"] == "absent":
            os.rmdir(plan["path"]) if plan["now"]["kind"] == "directory" else os.unlink(plan["path"])


def place_problems(plans: list) -> list:
    """Return why files cannot be put where they shall go; folders that an entry makes count as there."""
    made = {f"{plan['path']}/" for plan in plans if plan["state"] == "directory"}
    problems = []
    for plan in plans:
        path, now = plan["path"], plan["now"]["kind"]
        parent = os.path.dirname(path)
        if plan["state"] == "file" and now == "directory":
            problems.append(f"{path} is a directory; remove it, a file shall be there")
        elif plan["state"] == "directory" and now in ("file", "link", "other"):
            problems.append(f"{path} is a {now}; remove it, a directory shall be there")
        elif (
            plan["state"] == "file" and not os.path.isdir(parent) and not any(p.startswith(f"{parent}/") for p in made)
        ):
            problems.append(
                f"{path}: folder {parent} does not exist; install the package that brings it, or list it before "
                "with `state: directory`"
            )
        elif plan["state"] == "absent" and now == "directory" and os.listdir(path):
            problems.append(f"{path} is a directory that is not empty; list what is in it, or remove it by hand")
    return problems


class QuietModule(AnsibleModule):
    """Keeps its arguments out of the target's journal: `files` may hold secrets that nobody named among `secrets`."""

    def _log_invocation(self):
        self.log(f"config_files: {', '.join(entry['path'] for entry in self.params['files'])}")


def main():
    module = QuietModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": FILE_SPEC},
            "validate_unchanged": {"type": "bool", "default": False},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    secrets, check_mode = module.params["secrets"], module.check_mode
    # Ansible would return the arguments, and with them every secret inside `files` that is not among `secrets`.
    result = {"invocation": {"module_args": {"files": [entry["path"] for entry in module.params["files"]]}}}

    def fail(what: str, problems: list):
        lines = [mask_text(problem, secrets) for problem in problems]
        module.fail_json(msg="\n  - ".join([f"{what} Nothing was changed:", *lines]), **result)

    problems = []
    plans = [plan_entry(entry, problems, check_mode) for entry in module.params["files"]]
    paths = [plan["path"] for plan in plans]
    problems += [f"{path} is listed more than once" for path in sorted({p for p in paths if paths.count(p) > 1})]
    changes = [plan for plan in plans if plan["differs"]]
    if not check_mode:
        problems += place_problems(changes)
    if problems:
        fail("These files cannot be written.", problems)

    to_check = [
        {"path": plan["path"], "ini": plan["options"], "namespaces": plan["validate"]}
        for plan in plans
        if plan["validate"] and (module.params["validate_unchanged"] or {"content", "kind"} & set(plan["differs"]))
    ]
    report = check_files(to_check)
    if not check_mode:
        report["errors"] += [
            f"{path}: no installed package declares the namespace {', '.join(names)}; install the package "
            "(python3-...) or correct `validate`"
            for path, names in report["missing"].items()
        ]
    if report["errors"]:
        fail("The installed release refuses these options.", report["errors"])

    if changes and not check_mode:
        try:
            apply(changes)
        except OSError as error:
            hint = "; free some space" if error.errno == errno.ENOSPC else ""
            module.fail_json(msg=f"Cannot write the files: {error}{hint}. Run again when this is mended.", **result)
    module.exit_json(
        changed=bool(changes),
        changed_paths=[plan["path"] for plan in changes],
        deprecated=[mask_text(text, secrets) for text in report["deprecated"]],
        validated=[file["path"] for file in to_check if file["path"] not in report["missing"]],
        not_validated=sorted(report["missing"]),
        diff=[show(plan, secrets) for plan in changes],
        **result,
    )


if __name__ == "__main__":
    main()
