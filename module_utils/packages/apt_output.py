# SPDX-License-Identifier: Apache-2.0
"""Parse the output of dpkg and apt-get. Pure functions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ansible.module_utils.host import output

DPKG_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Provides}\n"
_INSTALL = re.compile(r"^Inst (\S+?)(?::\S+)? (?:\[([^\]]*)\] )?\((\S+)", re.MULTILINE)
_REMOVE = re.compile(r"^(?:Remv|Purg) (\S+?)(?::\S+)? \[([^\]]*)\]", re.MULTILINE)
_FETCH = re.compile(
    r"^[WE]: (?:Failed to fetch |Release file for |The repository ')(?P<address>\S+) +(?P<reason>.*)$", re.MULTILINE
)
_ERROR = re.compile(
    r"^(?:E: |dpkg: error|dpkg: dependency problems|Errors were encountered|The following packages have unmet)"
    r"|No space left"
)
_ADVICE = {
    r"No space left on device|don't have enough free space": "free some space on / or /var",
    r"Could not get lock|is locked by another process": "another package manager is running; run again when it ends",
    r"Unable to locate package|has no installation candidate": "correct the name, or add the source that has it",
    r"Hash Sum mismatch|File has unexpected size": "the mirror is being updated or a proxy is stale; run again",
    r"unmet dependencies|held broken packages": "packages of different suites are mixed, or one is on hold",
    r"not signed|NO_PUBKEY|EXPKEYSIG|is not valid yet|expired": "check the keyring of the source and the clock",
    r"installed .* post-installation script subprocess returned": "read the lines below; the next run repairs it",
}


class Status(NamedTuple):
    """The packages of a host, from dpkg's database."""

    installed: dict[str, str]  # name: version
    provided: set[str]  # names that installed packages provide
    broken: list[str]  # names of packages that are half installed, or not configured


class Change(NamedTuple):
    """What a transaction changes."""

    versions: dict[str, tuple[str, str]]  # name: (old version or "", new version)
    removals: dict[str, str]  # name: version


def parse_status(text: str) -> Status:
    """Return the packages in the output of dpkg-query with DPKG_FORMAT."""
    result = Status({}, set(), [])
    for line in text.splitlines():
        status, name, version, provides = (line.split("\t") + [""] * 3)[:4]
        if status[1:2] in ("U", "F", "H", "W", "t") or status[2:3] == "R":
            result.broken.append(name)
        if status[1:2] in ("i", "W", "t"):  # W and t: only triggers are left to run
            result.installed[name] = version
            result.provided.update(re.findall(r"([^\s,()]+)(?: \([^)]*\))?(?:,|$)", provides))
    return result


def missing(wanted: Iterable[str], status: Status) -> list[str]:
    """Return those of the wanted `name` or `name=version` that are not installed."""
    result = []
    for item in wanted:
        name, _sign, version = item.partition("=")
        found = status.installed.get(name)
        if found is None and (version or name not in status.provided):
            result.append(item)
        elif found is not None and version and found != version:
            result.append(item)
    return result


def parse_simulation(text: str) -> Change:
    """Return what a transaction would change, from the output of `apt-get --simulate`."""
    return Change({name: (old or "", new) for name, old, new in _INSTALL.findall(text)}, dict(_REMOVE.findall(text)))


def difference(before: Status, after: Status) -> Change:
    """Return what a transaction changed."""
    old, new = before.installed, after.installed
    versions = {name: (old.get(name, ""), version) for name, version in new.items() if old.get(name) != version}
    return Change(versions, {name: version for name, version in old.items() if name not in new})


def failed_fetches(text: str) -> list[tuple[str, str]]:
    """Return (address, reason) of everything that apt could not fetch."""
    found: dict[str, str] = {}
    for address, reason in _FETCH.findall(text):
        found.setdefault(address, reason.strip())
    return list(found.items())


def source_of(address: str, reason: str, sources: Mapping[str, str]) -> str:
    """Return `path: line` of the package source that a failed fetch belongs to, or "" when none fits.

    The base address of the source is the start of the address; of several, the longest and the one of the same suite.
    sources: text of each file of apt's sources.
    """
    fits = []
    for path, text in sources.items():
        for entry in _entries(path, text):
            for base in re.findall(r"[a-z+]+:/[^\s;]+", entry):
                base = base.rstrip("/")
                if address.rstrip("/") == base or address.startswith(f"{base}/"):
                    words = set(re.split(r"[\s;/]+", f"{address} {reason}"))
                    suites = set(re.split(r"[\s;]+", entry)) & words
                    fits.append((len(base), len(suites), f"{path}: {entry}"))
    return max(fits)[2] if fits else ""


def _entries(path: str, text: str) -> list[str]:
    """Return the sources in a file, each as one line, in either of apt's two formats."""
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not path.endswith(".sources"):
        return [line for line in lines if line]
    stanzas = re.split(r"\n\n+", "\n".join(lines).strip())
    return ["; ".join(re.findall(r"^(?:Types|URIs|Suites): .*$", stanza, re.MULTILINE)) for stanza in stanzas]


def error_lines(text: str, limit: int = 15) -> list[str]:
    """Return the lines of an apt run that name the reason of its failure; the last lines when there are none."""
    return output.blocks(text, _ERROR, limit)


def advice(text: str) -> str:
    """Return what to do about a known failure, or ""."""
    return next((remedy for pattern, remedy in _ADVICE.items() if re.search(pattern, text)), "")
