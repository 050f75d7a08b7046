# SPDX-License-Identifier: Apache-2.0
"""The module kvm_facts returns the facts that are requested, and no others."""

from __future__ import annotations

import machine_trees
import pytest

TREES = machine_trees.unpacked()
EPYC = str(TREES / "02-epyc-sev-snp")


def test_facts_are_kept_under_one_name(run_module):
    answer = run_module("kvm_facts", {"root": EPYC})
    assert set(answer["ansible_facts"]) == {"kvm"} and answer["changed"] is False
    facts = answer["ansible_facts"]["kvm"]
    assert facts["arch"] == "x86_64"
    assert facts["cpu"]["count"] == 2 and facts["cpu"]["virt_flag_shown"] is True
    assert "sev_snp" in facts["cpu"]["flags_of_note"]  # past the first 1,023 characters of the line
    assert facts["secure_guests"]["sev_snp"] == "Y"
    assert facts["iommu"] == {
        "groups": 1,
        "units": [],
        "firmware_tables": ["IVRS"],
        "group_types": ["DMA-FQ"],
    }
    assert facts["users"]["libvirt-qemu"] == {
        "exists": True,
        "uid": 64055,
        "gids": [104],
        "in_node_group": True,
        "open": "ok",
    }
    assert facts["node"]["group"] == "kvm"
    assert facts["probe"]["class"] == "hardware"
    assert facts["probe"]["ratios"]["long64"] == 0.99
    assert facts["nested"]["offered_to_guests"] is True


@pytest.mark.parametrize(
    "part, keys",
    [
        ("memory", {"memory"}),
        ("numa", {"numa"}),
        ("power", {"power"}),
        ("iommu", {"iommu"}),
        ("secure", {"secure_guests"}),
        ("users", {"users"}),
        ("qemu", {"programs"}),
        ("libvirt", {"programs", "libvirt"}),
        ("cpu", {"arch", "cpu"}),
    ],
)
def test_only_the_requested_parts_are_gathered(part, keys, run_module):
    answer = run_module("kvm_facts", {"root": EPYC, "gather": [part], "probe": "none"})
    assert set(answer["ansible_facts"]["kvm"]) - {"probe", "errors", "seconds"} == keys


def test_without_a_probe_there_is_no_result_of_it(run_module):
    assert run_module("kvm_facts", {"root": EPYC, "probe": "none"})["ansible_facts"]["kvm"]["probe"] is None


@pytest.mark.parametrize("tree", sorted(path.name for path in TREES.iterdir()))
def test_a_bad_host_is_no_failure_of_the_facts(tree, run_module):
    answer = run_module("kvm_facts", {"root": str(TREES / tree)})
    assert not answer.get("failed") and not answer["ansible_facts"]["kvm"]["errors"]


def test_unknown_part_is_named(run_module):
    answer = run_module("kvm_facts", {"root": EPYC, "gather": ["weather"]})
    assert answer["failed"] and "weather" in answer["msg"]
