# SPDX-License-Identifier: Apache-2.0
"""host_check: what it reads from the output of other programs. Molecule's scenario `faults` runs it on machines."""

from __future__ import annotations

import os
import shutil

from ansible.module_utils.host.listeners import Listener
from ansible.module_utils.stages import host_check

URIS = """\
'http://192.0.2.1/debian/dists/trixie/InRelease' 192.0.2.1_debian_dists_trixie_InRelease 0
'http://192.0.2.1/debian/dists/trixie-updates/InRelease' 192.0.2.1_debian_dists_trixie-updates_InRelease 0
'https://192.0.2.2/flat/./InRelease' 192.0.2.2_flat_._InRelease 0
'cdrom:[Debian]/dists/trixie/InRelease' Debian_dists_trixie_InRelease 0
'http://192.0.2.1/debian/dists/trixie/main/binary-amd64/Packages.xz' 192.0.2.1_Packages 0
"""


def test_each_repository_on_the_network_is_named_once():
    assert host_check.parse_mirrors(URIS) == ["http://192.0.2.1/debian", "https://192.0.2.2/flat/."]


def test_os_release_is_read_with_and_without_quotes():
    text = "ID=debian\nVERSION_CODENAME=\"trixie\"\nPRETTY_NAME='Debian'\n"
    assert host_check.parse_os_release(text) == {"ID": "debian", "VERSION_CODENAME": "trixie", "PRETTY_NAME": "Debian"}


def test_each_problem_of_a_host_is_named(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host_check, "addresses", lambda: {"192.0.2.9"})
    monkeypatch.setattr(host_check, "listeners", lambda: {8774: [Listener("python3", "other.service")]})
    monkeypatch.setattr(host_check, "mirror_problems", lambda: [])
    params = {"suite": "trixie", "address": "192.0.2.1", "interface": "nosuch0", "tun": False, "packages": ["nosuch"]}
    params.update(min_memory_mb=2, min_disk_mb=10**9, now=1.0, max_clock_skew=30, ports={"8774": ["nova-api.service"]})
    facts = {"distribution": "debian", "suite": "bookworm", "hostname": "localhost", "memory_mb": 1}
    found = host_check.problems(params, facts, {})
    free = shutil.disk_usage("/var").free // 2**20
    starts = [
        "this host is debian bookworm, but the release belongs to trixie",
        "management_address 192.0.2.1 is not an address of this host (it has 192.0.2.9)",
        "provider_interface nosuch0 does not exist; this host has ",
        "1 MiB of memory, at least 2 MiB required",
        f"{free} MiB free below /var, at least 1000000000 MiB required for 1 packages",
        "the clock differs from the control node's by +",
        "port 8774 is already taken by python3 (other.service); stop it, nova-api.service needs the port",
    ]
    assert [text[: len(start)] for text, start in zip(found, starts)] == starts and len(found) == len(starts)


def test_a_host_without_root_has_one_problem(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (problem,) = host_check.problems({}, {}, {})
    assert problem.startswith("not root (uid 1000)")
