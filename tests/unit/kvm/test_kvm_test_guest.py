# SPDX-License-Identifier: Apache-2.0
"""The throw-away guest's description, and our recommendation beside libvirt's opinion."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from ansible.module_utils.kvm import test_guest


def test_guest_has_neither_disk_nor_network():
    tree = ElementTree.fromstring(test_guest.domain_xml("name", "x86_64", "qemu", "/log/serial", cpu_mode="host-model"))
    assert tree.get("type") == "qemu"
    assert {device.tag for device in tree.find("devices")} == {"controller", "memballoon", "serial"}
    assert tree.find("os/bios").get("useserial") == "yes"
    assert tree.find("cpu").get("mode") == "host-model"


@pytest.mark.parametrize(
    "mode, models, wanted",
    [
        (None, [], None),
        ("none", [], None),
        ("custom", [], None),
        ("custom", ["Nehalem", "Penryn"], "Nehalem"),
        ("custom", ["<&>"], "<&>"),
    ],
)
def test_cpu_is_novas(mode, models, wanted):
    tree = ElementTree.fromstring(test_guest.domain_xml("n", "x86_64", "kvm", "/s", cpu_mode=mode, cpu_models=models))
    assert tree.findtext("cpu/model") == wanted


def test_other_architectures_have_their_own_words():
    tree = ElementTree.fromstring(test_guest.domain_xml("n", "aarch64", "kvm", "/s", kernel="/k"))
    assert (tree.findtext("os/kernel"), tree.find("os/type").get("machine")) == ("/k", "virt")
    assert test_guest.expected_output("aarch64") and test_guest.expected_output("s390x") is None
    assert tree.find("os/bios") is None


@pytest.mark.parametrize(
    "offered, recommended, agrees, words",
    [
        (True, "kvm", True, "offers kvm"),
        (False, "qemu", True, "does not offer"),
        (True, "qemu", False, "not believed"),
        (False, "kvm", False, "restart libvirtd"),
    ],
)
def test_comparison(offered, recommended, agrees, words):
    found = test_guest.compare({"virt_types": {"kvm": {"offered": offered}}}, recommended)
    assert (found[0], words in found[1]) == (agrees, True)


def test_silent_libvirt_offers_nothing():
    for recommended in ("kvm", "qemu"):
        assert test_guest.compare({"answers": False, "virt_types": {}}, recommended) == (
            False,
            "libvirt does not say what it offers",
        )


@pytest.mark.parametrize(
    "found, words",
    [
        ({}, ["No guest was started", "libvirt says so."]),
        (
            {"seconds": 1.2, "serial_line": "SeaBIOS"},
            ["virt_type qemu ran", "'SeaBIOS' after 1.2 s", "libvirt says so."],
        ),
        ({"seconds": 0.1, "serial_line": None}, ["cannot be seen", "libvirt says so."]),
    ],
)
def test_summary_tells_what_was_seen(found, words):
    text = test_guest.summary({"serial_line": None, "comparison": "libvirt says so", **found}, "qemu")
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    "text, word, line",
    [
        ("", "SeaBIOS", None),
        ("SeaBIOS (vers", "SeaBIOS", None),
        ("\x1bcSeaBIOS (version 1.16)\r\nmore", "SeaBIOS", "SeaBIOS (version 1.16)"),
        ("RUNS", "RUNS", "RUNS"),
        ("anything\n", None, None),
    ],
)
def test_a_line_is_taken_when_all_of_it_has_come(text, word, line):
    assert test_guest.first_line(text, word) == line
