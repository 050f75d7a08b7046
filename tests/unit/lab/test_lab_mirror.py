# SPDX-License-Identifier: Apache-2.0
"""Where the lab's packages come from: found by what a repository says it is, not by its name."""

from __future__ import annotations

import pytest
from ansible.module_utils import lab_mirror, lab_recipe
from ansible.module_utils.lab_process import LabError

DEBIAN = {"Origin": "Debian", "Label": "Debian", "Architectures": "amd64 arm64"}
SECURITY = {"Origin": "Debian", "Label": "Debian-Security", "Architectures": "amd64 arm64"}
RELEASE = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Origin: Debian
Label: Debian-Security
Codename: trixie-security
Architectures: amd64 arm64
SHA256:
 e3b0c442 0 main/binary-amd64/Packages
Origin: Nobody
"""


def world(repositories: dict):
    """Return a fetch function that answers from a map of (URI, suite) to a Release file's fields."""

    def fetch(uri, suite):
        found = repositories.get((uri, suite))
        return (found, "") if found else ({}, f"{uri}/dists/{suite}/InRelease: Not Found")

    return fetch


def find(repositories: dict, uris: list, architecture="amd64") -> dict:
    return lab_mirror.find_mirror("trixie", architecture, uris, world(repositories))


def test_a_release_file_is_read_up_to_its_sums():
    fields = lab_mirror.parse_release(RELEASE)
    assert fields["Label"] == "Debian-Security"
    assert fields["Origin"] == "Debian"
    assert fields["Architectures"] == "amd64 arm64"


def test_main_and_security_are_told_apart_by_their_labels():
    repositories = {
        ("http://b/s", "trixie"): SECURITY,
        ("http://b/s", "trixie-security"): SECURITY,
        ("https://a/m", "trixie"): DEBIAN,
        ("https://a/m", "trixie-updates"): DEBIAN,
    }
    expected = {"main": "https://a/m", "security": "http://b/s", "updates": True}
    assert find(repositories, ["http://b/s", "https://a/m"]) == expected


def test_another_vendor_with_the_same_suite_is_passed_over():
    repositories = {("http://x", "trixie"): {"Origin": "Docker", "Label": "Docker CE"}, ("http://a", "trixie"): DEBIAN}
    assert find(repositories, ["http://x", "http://a"]) == {"main": "http://a", "security": "", "updates": False}


def test_no_mirror_is_an_error_that_says_what_was_tried():
    with pytest.raises(LabError, match="No mirror of Debian trixie.*http://a/dists/trixie/InRelease: Not Found"):
        find({}, ["http://a"])
    with pytest.raises(LabError, match="file:/srv: only http and https"):
        find({}, ["file:/srv"])


def test_an_architecture_without_packages_is_an_error():
    with pytest.raises(LabError, match="no packages for the architecture s390.*amd64 arm64"):
        find({("http://a", "trixie"): DEBIAN}, ["http://a"], "s390")


def test_the_cache_serves_loopback_and_nothing_but_the_mirror():
    lines = lab_mirror.cache_config("/c", 3150, {"main": "https://a/m", "security": "http://b/s"}, "").splitlines()
    assert {"Port: 3150", "BindAddress: 127.0.0.1", "ForceManaged: 1"} <= set(lines)
    assert "Remap-debian: /debian ; https://a/m" in lines
    assert "Remap-security: /debian-security ; http://b/s" in lines
    assert not [line for line in lines if line.startswith("Proxy")]
    assert "Proxy: http://p:1" in lab_mirror.cache_config("/c", 1, {"main": "m", "security": ""}, "http://p:1")


def test_a_template_has_another_name_when_it_is_made_of_something_else(monkeypatch):
    mirror = {"updates": True, "security": "x"}
    name = lab_recipe.template_name("trixie", "amd64", mirror)
    assert name == lab_recipe.template_name("trixie", "amd64", {**mirror, "main": "another mirror, the same packages"})
    others = [
        lab_recipe.template_name("bookworm", "amd64", mirror),
        lab_recipe.template_name("trixie", "arm64", mirror),
        lab_recipe.template_name("trixie", "amd64", {"updates": True, "security": ""}),
    ]
    monkeypatch.setattr(lab_recipe, "MASKED_UNITS", ())
    others.append(lab_recipe.template_name("trixie", "amd64", mirror))
    assert len({name, *others}) == 5
