# SPDX-License-Identifier: Apache-2.0
"""Where Debian packages come from: this computer's own apt configuration, and the cache in front of it."""

from __future__ import annotations

import hashlib
import re
import shlex

from ansible.module_utils.host import http
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.lab_process import LabError, run


def apt_uris() -> list:
    """Return the repositories that this computer's apt knows, whatever form its sources have."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    text = run(command).stdout
    if not text.strip():  # apt speaks only of sources that it has read once
        update = run(["apt-get", "-q", "update"], check=False)
        text = run(command).stdout
        if not text.strip():
            errors = [line for line in update.stderr.splitlines() if line.startswith(("E:", "W:"))]
            raise LabError(
                "This computer's apt has no source that it can read, so the lab knows no Debian mirror: check "
                f"/etc/apt/sources.list* and the network. apt-get update says: {' '.join(errors[:3]) or 'nothing'}"
            )
    return list(dict.fromkeys(line.strip().rstrip("/") for line in text.splitlines() if line.strip()))


def apt_proxy() -> str:
    """Return the proxy that this computer's apt uses, or an empty text."""
    words = shlex.split(run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"]).stdout)
    value = words[0].partition("=")[2] if words else ""
    return "" if value.upper() == "DIRECT" else value


def parse_release(text: str) -> dict:
    """Return the fields of a Release file's head."""
    return dict(re.findall(r"^([A-Z][A-Za-z-]+): *(.*)$", text.split("\nSHA256:")[0], flags=re.MULTILINE))


def fetch_release(uri: str, suite: str, proxy: str) -> tuple:
    """Return (fields of the suite's InRelease, "") or ({}, why not)."""
    address = f"{uri}/dists/{suite}/InRelease"
    try:
        answer = http.request("GET", address, timeout=15, proxy=proxy, limit=200_000)
    except HttpError as error:
        return {}, f"{address}: {error.reason}"
    return parse_release(answer.body.decode(errors="replace")), ""


def find_mirror(suite: str, architecture: str, uris: list, fetch) -> dict:
    """Return the URIs that serve a Debian suite: main, security (may be empty), and whether it has updates.

    A repository is known by what it says it is (Origin, Label, Codename), not by its name.
    """
    reasons, found = [], {"main": "", "security": "", "updates": False}
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
                    raise LabError(
                        f"Debian {suite} has no packages for the architecture {architecture} of this computer; choose "
                        f"another LAB_SUITE, or run the lab on one of: {release.get('Architectures')}."
                    )
                found[key] = uri
            elif reason:
                reasons.append(reason)
    if not found["main"]:
        raise LabError(
            f"No mirror of Debian {suite} answers among this computer's apt sources. Check the network and "
            f"`apt-get update`, or add a Debian source. Tried: {'; '.join(reasons) or 'nothing, apt has no sources'}."
        )
    release, _ = fetch(found["main"], f"{suite}-updates")
    found["updates"] = release.get("Origin") == "Debian"
    return found


def cache_config(directory: str, port: int, mirror: dict, proxy: str) -> str:
    """Return apt-cacher-ng's configuration: one loopback port, and nothing but the Debian mirror behind it."""
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
    """Return a short name for what something was made from."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
