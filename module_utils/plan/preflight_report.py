# SPDX-License-Identifier: Apache-2.0
"""Put together what the looks at all hosts found: one list of problems, one table of KVM. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def of_host(name: str, result: Mapping) -> list:
    """Return the problems of one host, each line with its name; a host that was not looked at is one."""
    if not result:
        return [f"{name}: was not looked at; read above why its tasks stopped"]
    if result.get("unreachable"):
        return [f"{name}: cannot be reached: {result.get('msg', 'no answer')}"]
    texts = list(result.get("problems") or [])
    if result.get("failed"):
        texts.append(str(result.get("msg", "failed without a message")))
    return [f"{name}: {line}" for text in texts for line in lines(text)]


def lines(text: str) -> list:
    """Return the lines of a problem without the bullets of a list."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def namesakes(results: Mapping) -> list:
    """Return a sentence for hosts that call themselves the same: Nova could not tell them apart."""
    by_name: dict = {}
    for host, result in results.items():
        own = (result.get("facts") or {}).get("hostname")
        if own:
            by_name.setdefault(own, []).append(host)
    return [
        f"Shared host names: {' and '.join(hosts)} both call themselves {own}, and Nova could not tell them apart; "
        "give each a name of its own (hostnamectl hostname NAME)."
        for own, hosts in by_name.items()
        if len(hosts) > 1
    ]


def unknown_overrides(results: Mapping, overrides: Mapping, hosts: Iterable) -> list:
    """Return the paths in config_overrides that no host renders; none unless every host of the cloud was checked."""
    if not all(results.get(host, {}).get("paths") is not None for host in hosts):
        return []
    known = {path for result in results.values() for path in result.get("paths") or []}
    rows = [
        overrides.get("all") or [],
        *(overrides.get("groups") or {}).values(),
        *(overrides.get("hosts") or {}).values(),
    ]
    named = [path for layers in rows for layer in layers for path in layer.get("files") or {}]
    return [path for path in dict.fromkeys(named) if path not in known]


def unknown_paths(paths: Iterable) -> list:
    """Return a sentence for paths in config_overrides that no host renders."""
    listed = ", ".join(paths)
    return [f"config_overrides names {listed}, but no host has such a file; correct the path."] if listed else []


def problems(results: Mapping, unknown: Iterable = ()) -> list:
    """Return all problems of a cloud: those of each host, then those that only all hosts together show."""
    found = [line for host, result in results.items() for line in of_host(host, result)]
    return found + namesakes(results) + unknown_paths(unknown)


def kvm_results(results: Mapping, computes: Iterable) -> dict:
    """Return what KVM is on each host that runs guests, as the report of KVM takes it."""
    return {host: results.get(host, {}).get("kvm") or {} for host in computes}


def unlisted(results: Mapping) -> list:
    """Return a sentence for releases whose options cannot be checked before their packages are installed."""
    releases: list = []
    for result in results.values():
        if result.get("unlisted") and result["unlisted"] not in releases:
            releases.append(result["unlisted"])
    return [
        f"There is no list of the options of {release}: they are checked once its packages are installed, before a "
        "file is replaced. CONTRIBUTING.md says how to make the list."
        for release in releases
    ]


def summary(results: Mapping) -> dict[str, Any]:
    """Return which hosts have something to do."""
    return {"pending": [host for host, result in results.items() if result.get("pending")]}
