# SPDX-License-Identifier: Apache-2.0
"""Read files below a root: / itself, or a directory that holds a machine's /proc, /sys and /etc (a fixture tree).

A tree cannot hold device nodes: dev.json at its top lists them as {path: {chr, major, minor, mode, uid, gid}}.
fixture/ holds what a running machine would answer: arch, cpuid.json, dmesg, pidns, probe.json, users.json,
versions.json. Nothing here raises: what cannot be read is empty.
"""

from __future__ import annotations

import glob
import json
import os
import stat
from typing import Any

LIMIT = 32 << 20  # bytes; /proc/cpuinfo of 4,096 processors has 6 MB


class Tree:
    """The files of this machine (live), or of the machine that a directory describes."""

    def __init__(self, root: str = "/") -> None:
        self.live = os.path.realpath(root) == "/"
        self.root = "" if self.live else os.path.realpath(root)
        self.nodes = None if self.live else self.json("/dev.json")

    def path(self, name: str) -> str:
        """Return the path on this machine of a file of the tree."""
        return self.root + name

    def _inside(self, path: str) -> bool:
        """Tell whether a path stays in the tree: a link must not lead to this machine's own files."""
        return self.live or os.path.realpath(path).startswith(self.root + "/")

    def bytes(self, name: str) -> bytes:
        """Return the content of a file."""
        try:
            if not self._inside(self.path(name)):
                return b""
            file = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return b""
        try:
            pieces, size = [], 0
            while size < LIMIT:
                piece = os.read(file, 1 << 20)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
            return b"".join(pieces)
        except OSError:
            return b""
        finally:
            os.close(file)

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return self.bytes(name).decode("utf-8", "replace")

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file."""
        return self.read(name).splitlines()

    def word(self, name: str) -> str | None:
        """Return the trimmed text of a small file, without control characters; None where there is none."""
        text = self.read(name)[:4096].strip().strip("\0").strip()
        return "".join(letter if letter.isprintable() else "?" for letter in text) or None

    def chosen(self, name: str) -> str | None:
        """Return the word in brackets of a file like "always [madvise] never", else its whole text."""
        text = self.word(name) or ""
        start, end = text.find("["), text.find("]")
        return text[start + 1 : end] if 0 <= start < end else text or None

    def json(self, name: str) -> dict[str, Any] | None:
        """Return the mapping of a JSON file; None where there is none."""
        try:
            value = json.loads(self.read(name), parse_constant=lambda name: None)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def names(self, name: str) -> list[str]:
        """Return the sorted names in a directory."""
        try:
            return sorted(os.listdir(self.path(name))) if self._inside(self.path(name)) else []
        except (OSError, ValueError):
            return []

    def glob(self, pattern: str) -> list[str]:
        """Return the sorted paths that match a pattern."""
        return [path[len(self.root) :] for path in sorted(glob.glob(glob.escape(self.root) + pattern))]

    def link(self, name: str) -> str | None:
        """Return the target of a symbolic link; None where there is none."""
        try:
            return os.readlink(self.path(name))
        except (OSError, ValueError):
            return None

    def exists(self, name: str) -> bool:
        """Tell whether a file, or a dangling link, is there."""
        if self.nodes is not None and name.startswith("/dev/"):
            return name in self.nodes
        return os.path.lexists(self.path(name))

    def node(self, name: str) -> dict[str, Any] | None:
        """Return {chr, major, minor, mode, uid, gid} of a device node; None where there is none."""
        if self.nodes is not None:
            found = self.nodes.get(name)
            if not isinstance(found, dict):
                return None
            unknown = {"chr": True, "major": None, "minor": None, "mode": None, "uid": None, "gid": None}
            return {**unknown, **found}
        try:
            return describe_node(os.stat(self.path(name)))
        except (OSError, ValueError):
            return None


def describe_node(found: os.stat_result) -> dict[str, Any]:
    """Return what the facts hold of a device node."""
    return {
        "chr": stat.S_ISCHR(found.st_mode),
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def whole_number(text: object) -> int | None:
    """Return the first word of a text as a number if it is one that a machine could mean, else None."""
    words = str(text if text is not None else "").split(None, 1)
    digits = words[0] if words else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
