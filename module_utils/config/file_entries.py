# SPDX-License-Identifier: Apache-2.0
"""Entries of config_files on a host: what is there, what differs, how it is shown, and how it is put in place."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from typing import Any, Callable

from ansible.module_utils.config import formats, layers
from ansible.module_utils.config.ini_file import HEADER
from ansible.module_utils.config.masking import mask_text, mask_texts
from ansible.module_utils.host.atomic_file import NewFile, replace_all, replace_link

DEFAULT_MODES = {"file": "0640", "directory": "0755", "link": "0777", "absent": "0000"}
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
CONTENTS = {"file": ("layers", "text", "source"), "link": ("target",)}


def read_now(path: str, state: str) -> dict:
    """Return what lies at path: kind (None for nothing), owner ids, mode, text of a file or target of a link."""
    try:
        # a link to a directory is an operator's way to put it on another disk, one in place of a file is replaced
        status = os.stat(path) if state == "directory" and os.path.isdir(path) else os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": None, "uid": None, "gid": None, "mode": None, "text": ""}
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    now = {"kind": kind, "uid": status.st_uid, "gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode), "text": ""}
    if kind == "file":
        now["text"] = read_text(path)
    elif kind == "link":
        now["text"] = os.readlink(path)
    return now


def read_text(path: str) -> str:
    """Return the text of a file; bytes that are no text survive."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def account_id(find: Callable, name: str) -> int | None:
    """Return the numeric id of a user or group, or None when it does not exist."""
    try:
        return int(name) if name.isdigit() else find(name)[2]
    except KeyError:
        return None


def plan_entry(entry: dict, problems: list, check_mode: bool) -> dict:
    """Add to an entry what is there now (now), what is wanted (new, uid, gid, bits) and what differs."""
    problems += shape_problems(entry)
    path, state = entry["path"], entry["state"]
    mode = entry["mode"] or DEFAULT_MODES[state]
    plan = {**entry, "now": read_now(path, state), "bits": 0, "new": "", "merged": {}}
    if re.fullmatch(r"0[0-7]{3,4}", mode):
        plan["bits"] = int(mode, 8)
    else:
        problems.append(f'{path}: mode {mode} must be octal text in quotes with a leading zero, such as "0640"')
    plan["uid"] = account_id(pwd.getpwnam, entry["owner"])
    plan["gid"] = account_id(grp.getgrnam, entry["group"])
    if state in ("file", "directory") and not check_mode:
        for what, name, number in (("user", entry["owner"], plan["uid"]), ("group", entry["group"], plan["gid"])):
            if number is None:
                problems.append(f"{path}: {what} {name} does not exist; install the package that makes it first")
    try:
        plan.update(wanted(entry, plan["now"], check_mode))
    except (OSError, ValueError) as error:
        problems.append(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}")
    return {**plan, "differs": differs(plan)}


def shape_problems(entry: dict) -> list:
    """Return what an entry gives that does not fit together."""
    path, state, takes = entry["path"], entry["state"], CONTENTS.get(entry["state"], ())
    given = [key for key in ("layers", "text", "source", "target") if entry[key] is not None]
    problems = [] if path.startswith("/") else [f"path {path} is not absolute; give it with a leading /"]
    if len(given) != (1 if takes else 0) or not set(given) <= set(takes):
        words = f"one of {', '.join(takes)}" if len(takes) > 1 else "".join(takes) or "no content"
        problems.append(f"{path}: state {state} takes {words}")
    if entry["validate"] and (entry["layers"] is None or entry["format"] != "ini"):
        problems.append(f"{path}: validate needs `layers` of format ini; other files have no options to look up")
    if entry["optional"] and entry["layers"] is None:
        problems.append(f"{path}: optional needs `layers`; without options in them the file is not made")
    if state == "link" and entry["mode"]:
        problems.append(f"{path}: a link has no mode of its own; leave out mode")
    return problems


def wanted(entry: dict, now: dict, check_mode: bool) -> dict:
    """Return what makes up an entry: the text as `new`, merged options, and the state where options decide it."""
    if entry["layers"] is not None:
        merged = layers.merge(entry["layers"], entry["format"], entry["path"])
        if entry["optional"] and not merged and not now["text"].startswith(HEADER):
            return {"state": "left"}  # an operator's or a package's file; ours stays, because of what has read it
        return {"merged": merged, "new": formats.render(merged, entry["format"])}
    if entry["source"] is not None:
        return {"new": read_source(entry["source"], now["text"], check_mode)}
    return {"new": entry["text"] or entry["target"] or ""}


def read_source(source: str, otherwise: str, check_mode: bool) -> str:
    """Return the text of a file of a package; in check mode the package may not be there yet."""
    try:
        return read_text(source)
    except FileNotFoundError:
        if check_mode:
            return otherwise
        raise


def differs(plan: dict) -> list:
    """Return what differs: any of content, kind, owner, group, mode."""
    now, state = plan["now"], plan["state"]
    if state == "left":
        return []
    if state == "absent":
        return ["kind"] if now["kind"] else []
    if now["kind"] != state:
        return ["kind"]
    pairs: dict[str, tuple[Any, Any]] = {} if state == "directory" else {"content": (now["text"], plan["new"])}
    if state != "link":
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
    now, state = plan["now"], plan["state"]
    before, after = show_content(plan, secrets) if {"content", "kind"} & set(plan["differs"]) else ("", "")
    if now["kind"] not in (None, "link") and (set(plan["differs"]) - {"content"} or state == "absent"):
        before = owner_line(now["uid"], now["gid"], now["mode"]) + before
    if state in ("file", "directory") and set(plan["differs"]) - {"content"}:
        after = owner_line(plan["uid"], plan["gid"], plan["bits"], (plan["owner"], plan["group"])) + after
    headers = [f"{plan['path']} ({kind or 'absent'})" for kind in (now["kind"], state)]
    return {"before_header": headers[0], "after_header": headers[1], "before": before, "after": after}


def show_content(plan: dict, secrets: list) -> tuple:
    """Return both sides of what a path holds, masked: options or lines that differ, or where a link leads."""
    now, new = plan["now"]["text"], plan["new"]
    old, new = (text.encode("utf-8", "replace").decode() for text in (now, new))
    if "link" in (plan["now"]["kind"], plan["state"]):
        sides = ((old, plan["now"]["kind"]), (new, plan["state"]))
        texts = [f"-> {mask_text(text, secrets)}\n" if kind == "link" else "" for text, kind in sides]
        old, new = ("" if kind == "link" else text for text, kind in sides)
    else:
        texts = ["", ""]
    if plan["layers"] is None:
        shown = mask_texts(old, new, secrets)
    else:
        shown = formats.show_changes(old, new, plan["merged"], plan["format"], secrets)
        if "content" in plan["differs"] and shown[0] == shown[1]:
            shown = ("# the same options in another layout\n", "# the layout of nova-ansible\n")
    return tuple(link + text for link, text in zip(texts, shown))


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
    """Make the directories, then replace all files, then set owners and modes, then links, and remove."""
    for plan in plans:
        if plan["state"] == "directory":
            os.makedirs(plan["path"], exist_ok=True)
            set_attributes(plan)
    new = [plan for plan in plans if plan["state"] == "file" and {"content", "kind"} & set(plan["differs"])]
    content = {plan["path"]: plan["new"].encode("utf-8", "surrogateescape") for plan in new}
    replace_all(NewFile(p["path"], content[p["path"]], p["uid"], p["gid"], p["bits"]) for p in new)
    for plan in plans:
        if plan["state"] == "file" and plan not in new:
            set_attributes(plan)
        elif plan["state"] == "link":
            replace_link(plan["path"], plan["new"])
        elif plan["state"] == "absent":
            os.rmdir(plan["path"]) if plan["now"]["kind"] == "directory" else os.unlink(plan["path"])


def place_problems(plans: list) -> list:
    """Return why files cannot be put where they belong; directories that an entry makes count as there."""
    made = {f"{plan['path']}/" for plan in plans if plan["state"] == "directory"}
    problems = []
    for plan in plans:
        path, state, now = plan["path"], plan["state"], plan["now"]["kind"]
        parent = os.path.dirname(path)
        there = os.path.isdir(parent) or any(directory.startswith(f"{parent}/") for directory in made)
        if state in ("file", "link") and now == "directory":
            problems.append(f"{path} is a directory; remove it, a {state} is expected")
        elif state == "directory" and now in ("file", "link", "other"):
            problems.append(f"{path} is a {now}; remove it, a directory is expected")
        elif state in ("file", "link") and not there:
            problems.append(
                f"{path}: folder {parent} does not exist; install the package that brings it, or list it before "
                "with `state: directory`"
            )
        elif state == "absent" and now == "directory" and os.listdir(path):
            problems.append(f"{path} is a directory that is not empty; list what is in it, or remove it by hand")
    return problems
