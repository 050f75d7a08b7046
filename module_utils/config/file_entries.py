# SPDX-License-Identifier: Apache-2.0
"""Entries of config_files on a host: read what is there, compare it, show the difference, put the entry in place."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, NamedTuple

from ansible.module_utils.config import formats, layers
from ansible.module_utils.config.ini_file import HEADER
from ansible.module_utils.config.masking import mask_text, mask_texts
from ansible.module_utils.config.types import FileEntry, Options
from ansible.module_utils.host.atomic_file import NewFile, replace_all, replace_link
from ansible.module_utils.message import Message, located

DEFAULT_MODES = {"file": "0640", "directory": "0755", "link": "0777", "absent": "0000"}
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
CONTENTS = {"file": ("layers", "text", "source"), "link": ("target",)}
UNKNOWN = -1  # id of an account that does not exist


class Found(NamedTuple):
    """The present state of a path: kind (None for nothing), ids, mode, text of a file or target of a link."""

    kind: str | None
    uid: int = UNKNOWN
    gid: int = UNKNOWN
    mode: int = 0
    text: str = ""


class Wanted(NamedTuple):
    """The wanted state of an entry, with the options of its text; the state `left` is a file that is not touched."""

    state: str
    text: str
    options: Options


@dataclass(frozen=True)
class Change:
    """An entry with its present and its wanted state."""

    entry: FileEntry
    found: Found
    wanted: Wanted
    uid: int
    gid: int
    mode: int

    @property
    def path(self) -> str:
        """Return the path of the entry."""
        return self.entry["path"]

    @property
    def state(self) -> str:
        """Return the wanted state: file, directory, link, absent or left."""
        return self.wanted.state

    @property
    def differs(self) -> set[str]:
        """Return the differences: any of content, kind, owner, group, mode."""
        found, state = self.found, self.state
        if state == "left":
            return set()
        if state == "absent":
            return {"kind"} if found.kind else set()
        if found.kind != state:
            return {"kind"}
        same = {"content": state == "directory" or found.text == self.wanted.text}
        if state != "link":
            same.update(owner=found.uid == self.uid, group=found.gid == self.gid, mode=found.mode == self.mode)
        return {name for name, is_same in same.items() if not is_same}

    @property
    def is_new_content(self) -> bool:
        """Tell whether the text of a file or the target of a link changes."""
        return bool({"content", "kind"} & self.differs)


def plan(entry: FileEntry, check_mode: bool) -> tuple[Change, list[Message]]:
    """Return an entry with its present and its wanted state, and the problems of the entry."""
    problems = shape_problems(entry)
    path, state = entry["path"], entry["state"]
    found = read(path, state)
    mode = entry["mode"] or DEFAULT_MODES[state]
    if not re.fullmatch(r"0[0-7]{3,4}", mode):
        problems.append(
            Message(f'{path}: mode {mode} must be octal text in quotes with a leading zero, such as "0640"')
        )
        mode = "0"
    uid, gid = account_id(pwd.getpwnam, entry["owner"]), account_id(grp.getgrnam, entry["group"])
    if state in ("file", "directory") and not check_mode:
        for what, name, number in (("user", entry["owner"], uid), ("group", entry["group"], gid)):
            if number == UNKNOWN:
                problems.append(
                    Message(f"{path}: {what} {name} does not exist; install the package that makes it first")
                )
    try:
        wanted = content(entry, found, check_mode)
    except (OSError, ValueError) as error:
        problems.append(located(path, error))
        wanted = Wanted(state, "", {})
    return Change(entry, found, wanted, uid, gid, int(mode, 8)), problems


def read(path: str, state: str) -> Found:
    """Return the present state of a path; the wanted state decides whether a link is followed."""
    try:
        # a link to a directory is an operator's way to put it on another disk, one in place of a file is replaced
        status = os.stat(path) if state == "directory" and os.path.isdir(path) else os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Found(None)
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    text = read_text(path) if kind == "file" else os.readlink(path) if kind == "link" else ""
    return Found(kind, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), text)


def read_text(path: str) -> str:
    """Return the text of a file; bytes that are not text survive."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def account_id(find: Callable[[str], Sequence], name: str) -> int:
    """Return the numeric id of a user or group, or UNKNOWN."""
    try:
        return int(name) if name.isdigit() else find(name)[2]
    except KeyError:
        return UNKNOWN


def shape_problems(entry: FileEntry) -> list[Message]:
    """Return the keys of an entry that do not fit together."""
    path, state, takes = entry["path"], entry["state"], CONTENTS.get(entry["state"], ())
    contents = {key: entry.get(key) for key in ("layers", "text", "source", "target")}
    given = [key for key, value in contents.items() if value is not None]
    problems = []
    if not path.startswith("/"):
        problems.append(Message(f"path {path} is not absolute; give it with a leading /"))
    if len(given) != (1 if takes else 0) or not set(given) <= set(takes):
        expected = f"one of {', '.join(takes)}" if len(takes) > 1 else "".join(takes) or "no content"
        problems.append(Message(f"{path}: state {state} takes {expected}"))
    if entry["validate"] and (entry["layers"] is None or entry["format"] != "ini"):
        problems.append(Message(f"{path}: validate needs layers of format ini; other files have no options to look up"))
    if entry["optional"] and entry["layers"] is None:
        problems.append(Message(f"{path}: optional needs layers; the file is not made as long as they have no options"))
    if state == "link" and entry["mode"]:
        problems.append(Message(f"{path}: a link has no mode of its own; leave out mode"))
    return problems


def content(entry: FileEntry, found: Found, check_mode: bool) -> Wanted:
    """Return the wanted state of an entry; raise OSError for an unreadable source, ConfigError for wrong options."""
    state = entry["state"]
    if entry["layers"] is not None:
        options = layers.merge(entry["layers"], entry["format"], entry["path"])
        if entry["optional"] and not options and not found.text.startswith(HEADER):
            return Wanted("left", "", {})  # an operator's or a package's file; ours stays, as a service has read it
        return Wanted(state, formats.render(options, entry["format"]), options)
    if entry["source"] is not None:
        return Wanted(state, read_source(entry["source"], found.text, check_mode), {})
    return Wanted(state, entry["text"] or entry["target"] or "", {})


def read_source(source: str, otherwise: str, check_mode: bool) -> str:
    """Return the text of a packaged file; in check mode, the package may not be installed yet."""
    try:
        return read_text(source)
    except FileNotFoundError:
        if check_mode:
            return otherwise
        raise


def owner_line(uid: int, gid: int, mode: int, owner: str = "", group: str = "") -> str:
    """Return the line in which a diff shows owner, group and mode; accounts without a name are looked up."""
    owner, group = owner or account_name(pwd.getpwuid, uid), group or account_name(grp.getgrgid, gid)
    return f"# owner {owner}:{group} mode {mode:04o}\n"


def account_name(find: Callable[[int], Sequence], number: int) -> str:
    """Return the name of a user or group, or the number of an unknown one."""
    try:
        return find(number)[0]
    except KeyError:
        return str(number)


def show(change: Change, secrets: list[str]) -> dict[str, str]:
    """Return the diff of one changed path."""
    found, state, differs = change.found, change.state, change.differs
    before, after = show_content(change, secrets) if change.is_new_content else ("", "")
    if found.kind not in (None, "link") and (differs - {"content"} or state == "absent"):
        before = owner_line(found.uid, found.gid, found.mode) + before
    if state in ("file", "directory") and differs - {"content"}:
        owner, group = change.entry["owner"], change.entry["group"]
        after = owner_line(change.uid, change.gid, change.mode, owner, group) + after
    headers = [f"{change.path} ({kind or 'absent'})" for kind in (found.kind, state)]
    return {"before_header": headers[0], "after_header": headers[1], "before": before, "after": after}


def show_content(change: Change, secrets: list[str]) -> tuple[str, str]:
    """Return both sides of a changed path, masked: the options or lines that differ, or the target of a link."""
    sides = ((change.found.text, change.found.kind), (change.wanted.text, change.state))
    texts = [(text.encode("utf-8", "replace").decode(), kind) for text, kind in sides]
    targets = [f"-> {mask_text(text, secrets)}\n" if kind == "link" else "" for text, kind in texts]
    old, new = ("" if kind == "link" else text for text, kind in texts)
    if change.entry["layers"] is None:
        before, after = mask_texts(old, new, secrets)
    else:
        before, after = formats.show_changes(old, new, change.wanted.options, change.entry["format"], secrets)
        if "content" in change.differs and before == after:
            before, after = "# the same options in another layout\n", "# the layout of nova-ansible\n"
    return targets[0] + before, targets[1] + after


def set_attributes(change: Change) -> None:
    """Set owner, group and mode of a file or directory; a link that has taken its place meanwhile is not followed."""
    follow = os.O_NOFOLLOW if change.state == "file" else os.O_DIRECTORY
    descriptor = os.open(change.path, os.O_RDONLY | follow)
    try:
        os.fchown(descriptor, change.uid, change.gid)
        os.fchmod(descriptor, change.mode)
    finally:
        os.close(descriptor)


def apply(changes: list[Change]) -> None:
    """Make the directories, replace all files as a group, then set owners and modes, make links, and remove."""
    for change in changes:
        if change.state == "directory":
            os.makedirs(change.path, exist_ok=True)
            set_attributes(change)
    new = [change for change in changes if change.state == "file" and change.is_new_content]
    replace_all([NewFile(c.path, c.wanted.text.encode("utf-8", "surrogateescape"), c.uid, c.gid, c.mode) for c in new])
    for change in changes:
        if change.state == "file" and change not in new:
            set_attributes(change)
        elif change.state == "link":
            replace_link(change.path, change.wanted.text)
        elif change.state == "absent":
            os.rmdir(change.path) if change.found.kind == "directory" else os.unlink(change.path)


def place_problems(changes: list[Change]) -> list[Message]:
    """Return why entries cannot be put at their paths; a directory that another entry makes counts as existing."""
    made = [f"{change.path}/" for change in changes if change.state == "directory"]
    found = (place_problem(change, made) for change in changes)
    return [problem for problem in found if problem is not None]


def place_problem(change: Change, made: list[str]) -> Message | None:
    """Return why an entry cannot be put at its path; `made` are directories of other entries, with a slash."""
    path, state, kind = change.path, change.state, change.found.kind
    directory = os.path.dirname(path)
    exists = os.path.isdir(directory) or any(name.startswith(f"{directory}/") for name in made)
    if state in ("file", "link") and kind == "directory":
        return Message(f"{path} is a directory; remove it, a {state} is expected")
    if state == "directory" and kind in ("file", "link", "other"):
        return Message(f"{path} is a {kind}; remove it, a directory is expected")
    if state in ("file", "link") and not exists:
        return Message(
            f"{path}: directory {directory} does not exist; install the package that brings it, or list it before "
            "with `state: directory`"
        )
    if state == "absent" and kind == "directory" and os.listdir(path):
        return Message(f"{path} is a directory that is not empty; list what is in it, or remove it by hand")
    return None
