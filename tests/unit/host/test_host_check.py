# SPDX-License-Identifier: Apache-2.0
"""What host_check reads from the texts of other programs; molecule's scenario `faults` asks it on real machines."""

from __future__ import annotations

import pytest
from ansible.module_utils.stages import host_check

URIS = """\
'http://192.0.2.1/debian/dists/trixie/InRelease' 192.0.2.1_debian_dists_trixie_InRelease 0
'http://192.0.2.1/debian/dists/trixie-updates/InRelease' 192.0.2.1_debian_dists_trixie-updates_InRelease 0
'https://192.0.2.2/flat/./InRelease' 192.0.2.2_flat_._InRelease 0
'cdrom:[Debian]/dists/trixie/InRelease' Debian_dists_trixie_InRelease 0
'http://192.0.2.1/debian/dists/trixie/main/binary-amd64/Packages.xz' 192.0.2.1_Packages 0
"""


def test_each_repository_over_the_network_is_named_once():
    assert host_check.mirrors(URIS) == ["http://192.0.2.1/debian", "https://192.0.2.2/flat/."]


@pytest.mark.parametrize(
    ("modules", "loaded", "datapath"),
    [
        ("kernel/net/openvswitch/openvswitch.ko.xz: kernel/net/nsh/nsh.ko.xz", False, "system"),
        ("", True, "system"),
        ("kernel/net/nsh/nsh.ko.xz:", False, "netdev"),
    ],
)
def test_the_datapath_is_the_kernels_where_it_has_the_module(modules, loaded, datapath):
    assert host_check.ovs_datapath(modules, loaded) == datapath


def test_os_release_is_read_with_and_without_quotes():
    text = "ID=debian\nVERSION_CODENAME=\"trixie\"\nPRETTY_NAME='Debian'\n"
    assert host_check.os_release(text) == {"ID": "debian", "VERSION_CODENAME": "trixie", "PRETTY_NAME": "Debian"}
