# SPDX-License-Identifier: Apache-2.0
"""Combine the results of the looks at all hosts: one list of problems, one table of KVM. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.message import Message


def problems(results: Mapping[str, Mapping[str, Any]], unknown: Iterable[str] = ()) -> list[Message]:
    """Return all problems of a cloud: those of each host, then those that only all hosts together show.

    unknown: the result of unknown_overrides.
    """
    found = [line for host, result in results.items() for line in of_host(host, result)]
    return found + namesakes(results) + unknown_paths(unknown)


def of_host(name: str, result: Mapping[str, Any]) -> list[Message]:
    """Return the problems of one host, each line with its name; a host without a look is a problem too."""
    if not result:
        return [Message(f"{name}: was not checked; see above why its tasks stopped")]
    if result.get("unreachable"):
        return [Message(f"{name}: cannot be reached: {result.get('msg', 'no response')}")]
    found = list(result.get("problems") or [])
    if result.get("failed"):
        found.append(result.get("msg") or Message("failed without a message"))
    return [Message(f"{name}: {line}") for problem in found for line in lines(str(problem))]


def lines(text: str) -> list[str]:
    """Return the lines of a text that are not blank, stripped."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def namesakes(results: Mapping[str, Mapping[str, Any]]) -> list[Message]:
    """Return a problem for hosts with the same host name: Nova could not tell them apart."""
    by_name: dict[str, list[str]] = {}
    for host, result in results.items():
        own = (result.get("facts") or {}).get("hostname")
        if own:
            by_name.setdefault(own, []).append(host)
    return [
        Message(
            f"Shared host names: {' and '.join(hosts)} are both called {own}, and Nova could not tell them apart; "
            "give each its own name (hostnamectl hostname NAME)."
        )
        for own, hosts in by_name.items()
        if len(hosts) > 1
    ]


def unknown_overrides(
    results: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Any], hosts: Iterable[str]
) -> list[str]:
    """Return the paths in config_overrides that no host has; none unless every host of the cloud was checked."""
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


def unknown_paths(paths: Iterable[str]) -> list[Message]:
    """Return a problem for paths in config_overrides that no host has."""
    names = ", ".join(paths)
    return [Message(f"config_overrides names {names}, but no host has such a file; correct the path.")] if names else []


def kvm_results(results: Mapping[str, Mapping[str, Any]], computes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the evaluation of KVM on each compute, in the form of the KVM report."""
    return {host: results.get(host, {}).get("kvm") or {} for host in computes}


def releases_without_list(results: Mapping[str, Mapping[str, Any]]) -> list[Message]:
    """Return a note for each release whose options cannot be checked before its packages are installed."""
    releases = dict.fromkeys(result["unlisted"] for result in results.values() if result.get("unlisted"))
    return [
        Message(
            f"There is no list of the options of {release}: they are checked after its packages are installed, before "
            "a file is replaced. CONTRIBUTING.md describes how to make the list."
        )
        for release in releases
    ]


def summary(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the hosts where something is pending."""
    return {"pending": [host for host, result in results.items() if result.get("pending")]}
