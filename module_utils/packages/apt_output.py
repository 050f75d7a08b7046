# SPDX-License-Identifier: Apache-2.0
"""What dpkg and apt-get say, read into data. Pure functions, no I/O."""

from __future__ import annotations

import re

DPKG_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Provides}\n"
_INSTALL = re.compile(r"^Inst (\S+?)(?::\S+)? (?:\[([^\]]*)\] )?\((\S+)", re.MULTILINE)
_REMOVE = re.compile(r"^(?:Remv|Purg) (\S+?)(?::\S+)? \[([^\]]*)\]", re.MULTILINE)
_FETCH = re.compile(
    r"^[WE]: (?:Failed to fetch |Release file for |The repository ')(?P<address>\S+) +(?P<reason>.*)$", re.MULTILINE
)
_TELLING = re.compile(
    r"^(?:E: |dpkg: error|dpkg: dependency problems|Errors were encountered|The following packages have unmet)"
    r"|No space left"
)


def parse_status(text: str) -> dict:
    """Return {installed: {name: version}, provided: {names}, broken: [names]} from dpkg-query with DPKG_FORMAT."""
    result = {"installed": {}, "provided": set(), "broken": []}
    for line in text.splitlines():
        status, name, version, provides = (line.split("\t") + [""] * 3)[:4]
        if status[1:2] in ("U", "F", "H", "W", "t") or status[2:3] == "R":
            result["broken"].append(name)
        if status[1:2] in ("i", "W", "t"):  # W and t: only triggers are left to do
            result["installed"][name] = version
            result["provided"].update(re.findall(r"([^\s,()]+)(?: \([^)]*\))?(?:,|$)", provides))
    return result


def missing(wanted: list, status: dict) -> list:
    """Return those of the wanted `name` or `name=version` that are not installed."""
    result = []
    for item in wanted:
        name, _sign, version = item.partition("=")
        here = status["installed"].get(name)
        if here is None and (version or name not in status["provided"]):
            result.append(item)
        elif here is not None and version and here != version:
            result.append(item)
    return result


def parse_simulation(text: str) -> tuple:
    """Return ({name: (old version or "", new version)}, {name: version} to remove) from `apt-get --simulate`."""
    changes = {name: (old or "", new) for name, old, new in _INSTALL.findall(text)}
    return changes, dict(_REMOVE.findall(text))


def difference(before: dict, after: dict) -> tuple:
    """Return the same as parse_simulation from what dpkg had installed before and after."""
    old, new = before["installed"], after["installed"]
    changes = {name: (old.get(name, ""), version) for name, version in new.items() if old.get(name) != version}
    return changes, {name: version for name, version in old.items() if name not in new}


def failed_fetches(text: str) -> list:
    """Return (address, reason) of everything that apt could not fetch."""
    seen = {}
    for address, reason in _FETCH.findall(text):
        seen.setdefault(address, reason.strip())
    return list(seen.items())


def source_of(address: str, reason: str, sources: dict) -> str:
    """Return `path: line` of the package source that a failed fetch belongs to, or "" when none fits.

    The base address of the source is the start of the address; of several, the longest and the one of the same suite.
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


def _entries(path: str, text: str) -> list:
    """Return the sources in a file, each as one line, in either of apt's two formats."""
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not path.endswith(".sources"):
        return [line for line in lines if line]
    stanzas = re.split(r"\n\n+", "\n".join(lines).strip())
    return ["; ".join(re.findall(r"^(?:Types|URIs|Suites): .*$", stanza, re.MULTILINE)) for stanza in stanzas]


def telling_lines(text: str, limit: int = 15) -> list:
    """Return the few lines of an apt run that say why it failed; its end when none of them does."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    telling, inside = [], False
    for line in lines:
        inside = bool(_TELLING.search(line)) or (inside and line.startswith(" "))
        if inside:
            telling.append(line)
    return telling[:limit] or lines[-limit:]


def hint(text: str) -> str:
    """Return what to do about a known failure, or ""."""
    for pattern, advice in (
        (r"No space left on device|don't have enough free space", "free some space on / or /var"),
        (
            r"Could not get lock|is locked by another process",
            "another package manager works; run again when it is done",
        ),
        (r"Unable to locate package|has no installation candidate", "correct the name, or add the source that has it"),
        (r"Hash Sum mismatch|File has unexpected size", "the mirror is being updated or a proxy is stale; run again"),
        (r"unmet dependencies|held broken packages", "packages of different suites are mixed, or one is on hold"),
        (r"not signed|NO_PUBKEY|EXPKEYSIG|is not valid yet|expired", "check the keyring of the source and the clock"),
        (
            r"installed .* post-installation script subprocess returned",
            "read the lines above; then run again, it heals",
        ),
    ):
        if re.search(pattern, text):
            return advice
    return ""
