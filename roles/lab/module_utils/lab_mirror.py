# SPDX-License-Identifier: Apache-2.0
"""The Debian mirror of this computer's apt configuration, and the cache in front of it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable

from ansible.module_utils.host import http
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.lab_process import LabError, run
from ansible.module_utils.message import Message


def apt_uris() -> list:
    """Return the repositories of this computer's apt, in either format of its sources."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    text = run(command).out
    if not text.strip():  # apt lists only sources that it has read before
        update = run(["apt-get", "-q", "update"], check=False)
        text = run(command).out
        if not text.strip():
            errors = [line for line in update.err.splitlines() if line.startswith(("E:", "W:"))]
            text = Message(
                "This computer's apt has no source that it can read, so the lab has no Debian mirror: check "
                f"/etc/apt/sources.list* and the network. apt-get update printed: {' '.join(errors[:3]) or 'nothing'}"
            )
            raise LabError(text)
    return list(dict.fromkeys(line.strip().rstrip("/") for line in text.splitlines() if line.strip()))


def apt_proxy() -> str:
    """Return the proxy that this computer's apt uses, or an empty text."""
    words = shlex.split(run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"]).out)
    value = words[0].partition("=")[2] if words else ""
    return "" if value.upper() == "DIRECT" else value


def parse_release(text: str) -> dict:
    """Return the fields at the head of a Release file."""
    return dict(re.findall(r"^([A-Z][A-Za-z-]+): *(.*)$", text.split("\nSHA256:")[0], flags=re.MULTILINE))


def fetch_release(uri: str, suite: str, proxy: str) -> tuple:
    """Return (fields of the InRelease of a suite, "") or ({}, reason)."""
    address = f"{uri}/dists/{suite}/InRelease"
    try:
        answer = http.request("GET", address, timeout=15, proxy=proxy, limit=200_000)
    except HttpError as error:
        return {}, f"{address}: {error.reason}"
    return parse_release(answer.body.decode(errors="replace")), ""


def find_mirror(suite: str, architecture: str, uris: list, fetch: Callable[[str, str], tuple]) -> dict:
    """Return the URIs that serve a Debian suite: main, security (may be empty), and whether it has updates.

    A repository is recognized by its fields (Origin, Label, Codename), not by its name.
    """
    reasons: list = []
    found: dict = {"main": "", "security": "", "updates": False}
    for uri in uris:
        if not re.match(r"https?://", uri):
            reasons.append(f"{uri}: only http and https mirrors can be cached")
            continue
        for key, name, label in (("main", suite, "Debian"), ("security", f"{suite}-security", "Debian-Security")):
            if found[key]:
                continue
            release, reason = fetch(uri, name)
            if release.get("Origin") == "Debian" and release.get("Label") == label:
                if architecture not in release.get("Architectures", "").split():
                    text = Message(
                        f"Debian {suite} has no packages for the architecture {architecture} of this computer; choose "
                        f"another LAB_SUITE, or run the lab on one of: {release.get('Architectures')}."
                    )
                    raise LabError(text)
                found[key] = uri
            elif reason:
                reasons.append(reason)
    if not found["main"]:
        text = Message(
            f"No mirror of Debian {suite} responds among this computer's apt sources. Check the network and "
            f"`apt-get update`, or add a Debian source. Tried: {'; '.join(reasons) or 'nothing, apt has no sources'}."
        )
        raise LabError(text)
    release, _ = fetch(found["main"], f"{suite}-updates")
    found["updates"] = release.get("Origin") == "Debian"
    return found


def cache_config(directory: str, port: int, mirror: dict, proxy: str) -> str:
    """Return the configuration of apt-cacher-ng: one loopback port, and only the Debian mirror behind it."""
    lines = [
        f"CacheDir: {directory}/store",
        f"LogDir: {directory}/log",
        f"Port: {port}",
        "BindAddress: 127.0.0.1",
        "SupportDir: /usr/lib/apt-cacher-ng",
        "ForceManaged: 1",
        "ForeGround: 1",
        "ReportPage:",
        "VerboseLog: 0",
        "ExTreshold: 30",
        f"Remap-debian: /debian ; {mirror['main']}",
    ]
    if mirror["security"]:
        lines.append(f"Remap-security: /debian-security ; {mirror['security']}")
    if proxy:
        lines.append(f"Proxy: {proxy}")
    return "\n".join(lines) + "\n"


def digest(*parts: object) -> str:
    """Return a short digest of the parts of a recipe."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
