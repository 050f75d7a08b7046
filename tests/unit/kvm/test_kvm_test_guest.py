# SPDX-License-Identifier: Apache-2.0
"""The description of the test guest, and the comparison of our recommendation with libvirt."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import kvm_test_guest
import pytest
from ansible.module_utils.host.commands import Done
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
def test_the_cpu_is_that_of_nova(mode, models, wanted):
    tree = ElementTree.fromstring(test_guest.domain_xml("n", "x86_64", "kvm", "/s", cpu_mode=mode, cpu_models=models))
    assert tree.findtext("cpu/model") == wanted


def test_other_architectures_have_their_own_output():
    tree = ElementTree.fromstring(test_guest.domain_xml("n", "aarch64", "kvm", "/s", kernel="/k"))
    assert (tree.findtext("os/kernel"), tree.find("os/type").get("machine")) == ("/k", "virt")
    assert test_guest.expected_output("aarch64") and test_guest.expected_output("s390x") is None
    assert tree.find("os/bios") is None


@pytest.mark.parametrize(
    "offered, recommended, agrees, text",
    [
        (True, "kvm", True, "offers kvm"),
        (False, "qemu", True, "does not offer"),
        (True, "qemu", False, "does not count"),
        (False, "kvm", False, "restart libvirtd"),
    ],
)
def test_comparison(offered, recommended, agrees, text):
    found = test_guest.compare({"virt_types": {"kvm": {"offered": offered}}}, recommended)
    assert (found[0], text in found[1]) == (agrees, True)


def test_a_libvirt_that_does_not_answer_offers_nothing():
    for recommended in ("kvm", "qemu"):
        assert test_guest.compare({"answers": False, "virt_types": {}}, recommended) == (
            False,
            "libvirt does not list what it offers",
        )


@pytest.mark.parametrize(
    "found, texts",
    [
        ({}, ["No guest was started", "libvirt offers kvm."]),
        (
            {"seconds": 1.2, "serial_line": "SeaBIOS"},
            ["virt_type qemu ran", "'SeaBIOS' after 1.2 s", "libvirt offers kvm."],
        ),
        ({"seconds": 0.1, "serial_line": None}, ["is not visible", "libvirt offers kvm."]),
    ],
)
def test_the_summary_has_what_the_guest_did(found, texts):
    text = test_guest.summary({"serial_line": None, "comparison": "libvirt offers kvm", **found}, "qemu")
    assert [part for part in texts if part not in text] == []


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


class Failed(Exception):
    """The module ended with a failure."""


class Module:
    """An AnsibleModule whose failures are exceptions."""

    params = {"uri": "test:///", "virt_type": "kvm", "cpu_mode": None, "cpu_models": [], "timeout": 0.5}

    def fail_json(self, msg, **_result):
        raise Failed(msg)


@pytest.fixture
def libvirt(tmp_path, monkeypatch):
    """Replace virsh; the fixture's value sets the output of the guest, its state and how it is created."""
    answers = {"serial": "SeaBIOS (version 1.16)\n", "log": "", "state": "running\n", "create": (0, ""), "calls": []}

    def run(argv, **_options):
        act, name = argv[4], kvm_test_guest.os.path.basename(argv[-1])
        answers["calls"].append(act)
        if act == "create":
            tree = ElementTree.parse(argv[-1])
            Path(tree.find(".//serial/source").get("path")).write_text(answers["serial"])
            (tmp_path / f"{tree.findtext('name')}.log").write_text(answers["log"])
            return Done(answers["create"][0], "", answers["create"][1])
        assert name.startswith("kvm-test-guest-")
        return Done(0, answers["state"] if act == "domstate" else "")

    monkeypatch.setattr(kvm_test_guest, "LOGS", str(tmp_path))
    monkeypatch.setattr(kvm_test_guest, "PERIOD", 0.01)
    monkeypatch.setattr(kvm_test_guest.commands, "run", run)
    yield answers
    assert list(tmp_path.iterdir()) == [], "the files of the guest are removed"


def start(arch="x86_64"):
    """Run the guest; return its first line."""
    return kvm_test_guest.Guest(Module(), "virsh", arch).run()[0]


def test_a_guest_that_writes_is_destroyed_afterwards(libvirt):
    assert start() == "SeaBIOS (version 1.16)"
    assert libvirt["calls"] == ["create", "destroy"]


def test_a_guest_without_known_output_has_to_run(libvirt):
    assert start("s390x") is None
    assert libvirt["calls"] == ["create", "domstate", "destroy"]


@pytest.mark.parametrize(
    "changes, texts, last",
    [
        ({"create": (1, "error: no KVM")}, ["virt_type kvm", "error: no KVM"], "create"),
        ({"serial": "", "state": "shut off\n", "log": "Killed\n"}, ["ended by itself (shut off)", "Killed"], "destroy"),
        ({"serial": "", "state": ""}, ["(gone)", "log: is empty"], "destroy"),
        ({"serial": "noise\n"}, ["wrote nothing within 0.5 s"], "destroy"),
    ],
)
def test_a_guest_that_fails_says_why(libvirt, changes, texts, last):
    libvirt.update(changes)
    with pytest.raises(Failed) as failure:
        start()
    assert [text for text in texts if text not in str(failure.value)] == []
    assert libvirt["calls"][-1] == last
