# SPDX-License-Identifier: Apache-2.0
"""The package cache: what it remembers of the mirror, and a real apt-cacher-ng where there is one."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request

import lab_cache
import pytest
from ansible.module_utils import lab_process

DEBIAN = {"Origin": "Debian", "Label": "Debian", "Architectures": "amd64 arm64 s390x"}


@pytest.fixture
def asked(monkeypatch):
    """Provide one mirror; return the list of requests to it."""
    asked: list = []

    def fetch(uri, suite, proxy):
        asked.append(suite)
        return (DEBIAN, "") if "security" not in suite else ({}, "Not Found")

    monkeypatch.setattr(lab_cache, "apt_uris", lambda: ["http://127.0.0.1:9/debian"])
    monkeypatch.setattr(lab_cache, "apt_proxy", lambda: "")
    monkeypatch.setattr(lab_cache, "fetch_release", fetch)
    monkeypatch.setattr(lab_cache, "run", lambda argv: lab_process.run(["echo", "amd64"]))
    return asked


def test_a_mirror_is_asked_once_for_each_suite(asked, tmp_path, monkeypatch):
    for suite in ("trixie", "bookworm", "trixie", "bookworm"):
        mirror, _ = lab_cache.find(str(tmp_path), suite, True)
        assert mirror == {"main": "http://127.0.0.1:9/debian", "security": "", "updates": True}
    expected = ["trixie", "trixie-security", "trixie-updates", "bookworm", "bookworm-security", "bookworm-updates"]
    assert asked == expected
    monkeypatch.setattr(lab_cache, "apt_uris", lambda: ["http://127.0.0.1:8/debian"])
    assert lab_cache.find(str(tmp_path), "trixie", True)[0]["main"] == "http://127.0.0.1:8/debian"


def test_a_look_in_check_mode_leaves_nothing(asked, tmp_path, run_module):
    result = run_module(lab_cache, {"root": str(tmp_path / ".lab"), "suite": "trixie"}, check=True)
    assert result["changed"] and result["mirror"]["main"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not shutil.which("apt-cacher-ng") or not shutil.which("socat"), reason="they are not installed")
def test_the_cache_runs_once_serves_the_mirror_only_and_ends(asked, tmp_path, run_module):
    args = {"root": str(tmp_path), "suite": "trixie"}
    try:
        started = run_module(lab_cache, args)
        assert started["changed"]
        assert not run_module(lab_cache, args)["changed"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{started['port']}/elsewhere.example/debian/dists/x/InRelease")
        assert refused.value.code == 403
        lab_process.stop(str(tmp_path / "cache/socket.pid"))  # half of it died
        assert run_module(lab_cache, args)["changed"]
    finally:
        ended = run_module(lab_cache, {"root": str(tmp_path), "state": "absent"})
    assert ended["changed"]
    assert not lab_process.accepts("127.0.0.1", started["port"])
    assert not run_module(lab_cache, {"root": str(tmp_path), "state": "absent"})["changed"]
