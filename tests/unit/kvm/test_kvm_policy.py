# SPDX-License-Identifier: Apache-2.0
"""The policy of kvm_verify, row by row, on trees whose facts are known."""

from __future__ import annotations

import copy

import machine_trees
import pytest
from ansible.module_utils.kvm.classify import classify
from ansible.module_utils.kvm.evaluate import evaluate
from ansible.module_utils.kvm.facts import gather

TREES = machine_trees.unpacked()
INTEL, EPYC, CLOUD, NESTED, ARM, Z = (
    *("01-intel-bare-metal", "02-epyc-sev-snp", "06-cloud-vm"),
    *("07-nested-vm", "08-arm64-server", "13-s390x-lpar"),
)


@pytest.fixture(scope="module")
def machines():
    users = ["nova", "libvirt-qemu"]
    return {tree.name: gather(root=str(tree), users=users) for tree in TREES.iterdir()}


# machine, policy, row, status
ROWS = [
    (INTEL, {"allow_nested": False}, "bare_metal", None),
    (NESTED, {"allow_nested": False}, "bare_metal", "fail"),
    (NESTED, {"max_exit_ns": 50000}, "exit_cost", "pass"),
    (NESTED, {}, "exit_cost", "warn"),
    (INTEL, {"nested": True}, "nested", "pass"),
    (INTEL, {"nested": False}, "nested", "fail"),
    (NESTED, {"nested": True}, "nested", "fail"),
    (NESTED, {"nested": False}, "nested", "pass"),
    (CLOUD, {"nested": True}, "nested", "skip"),
    (ARM, {"nested": True}, "nested", "skip"),
    (INTEL, {}, "nested", None),
    (INTEL, {"isa_level": "x86-64-v2"}, "guest_isa", "pass"),
    (INTEL, {"isa_level": "x86-64-v3"}, "guest_isa", "pass"),
    (INTEL, {"isa_level": "x86-64-v4"}, "guest_isa", "fail"),
    (ARM, {"isa_level": "x86-64-v2"}, "guest_isa", "skip"),
    (CLOUD, {"isa_level": "x86-64-v2"}, "guest_isa", "skip"),
    (INTEL, {"min_vcpus": 1024}, "max_vcpus", "pass"),
    (INTEL, {"min_vcpus": 1025}, "max_vcpus", "fail"),
    (CLOUD, {"min_vcpus": 8}, "max_vcpus", "skip"),
    (INTEL, {"iommu": True}, "iommu", "pass"),
    (INTEL, {"iommu": False}, "iommu", "fail"),
    (ARM, {"iommu": True}, "iommu", "fail"),
    (INTEL, {"hugepages": {"2048": 0}}, "hugepages 2048 kB", "pass"),
    (INTEL, {"hugepages": {2048: 512}}, "hugepages 2048 kB", "fail"),
    (EPYC, {"secure": ["sev-snp"]}, "secure sev-snp", "pass"),
    (EPYC, {"secure": ["sev", "sev-es"]}, "secure sev-es", "pass"),
    (EPYC, {"secure": ["sev-es", "sev-snp"]}, "secure", "warn"),
    (EPYC, {"secure": ["tdx"]}, "secure tdx", "fail"),
    (INTEL, {"secure": ["sev"]}, "secure sev", "fail"),
    (Z, {"secure": ["s390-pv"]}, "secure s390-pv", "fail"),
    (INTEL, {"vtpm": True}, "vtpm", "fail"),
    (INTEL, {}, "vtpm", None),
    (INTEL, {}, "tun", "pass"),
    (INTEL, {}, "vfio", None),
    (INTEL, {"devices": {"vfio": "fail"}}, "vfio", "fail"),
    (INTEL, {"devices": {"vfio": "warn"}}, "vfio", "warn"),
    (INTEL, {"devices": {"tun": "skip"}}, "tun", None),
    (INTEL, {"release": "zed"}, "libvirt version", "pass"),
    (INTEL, {"release": "zed"}, "qemu version", "pass"),
    (INTEL, {"release": "2025.1"}, "libvirt version", "pass"),
    (ARM, {"release": "zed"}, "libvirt version", "skip"),
    (INTEL, {"release": "zebra"}, "libvirt version", "warn"),
    ("35-intel-without-unrestricted-guest", {}, "real_mode", "warn"),
    ("26-libvirt-user-denied", {}, "access libvirt-qemu", "fail"),
    ("26-libvirt-user-denied", {}, "access nova", "pass"),
    ("26-libvirt-user-denied", {"require": "any"}, "access libvirt-qemu", "warn"),
    (INTEL, {"users": ["qemu"]}, "access qemu", "skip"),
]


@pytest.mark.parametrize("machine, policy, name, status", ROWS)
def test_row(machines, machine, policy, name, status):
    answer = evaluate(machines[machine], policy)
    assert {row["name"]: row["status"] for row in answer["checks"]}.get(name) == status
    if status == "fail":
        assert answer["result"] == "fail" and name in answer["failed_checks"]


def test_floors_are_compared_as_numbers(machines):
    facts = copy.deepcopy(machines[INTEL])
    facts["programs"].update(libvirt_version="10.0.0", qemu_version="6.1.99")
    rows = {row["name"]: row for row in evaluate(facts, {"release": "epoxy"})["checks"]}
    assert rows["libvirt version"]["status"] == "pass"
    assert rows["qemu version"]["status"] == "fail"
    assert "6.2.0" in rows["qemu version"]["wanted"]


def test_a_warning_is_an_error_if_the_policy_says_so(machines):
    assert evaluate(machines[NESTED], {})["result"] == "warn"
    strict = evaluate(machines[NESTED], {"warnings_are_errors": True})
    assert strict["result"] == "fail" and strict["failed_checks"] == ["exit_cost"]


def test_what_is_unknown_is_never_a_pass():
    policy = {
        "isa_level": "x86-64-v2",
        "nested": True,
        "min_vcpus": 4,
        "iommu": True,
        "hugepages": {"2048": 1},
        "secure": ["sev", "tdx"],
        "vtpm": True,
        "release": "zed",
    }
    answer = evaluate({}, policy)
    assert answer["result"] == "fail"
    assert not [row for row in answer["checks"] if row["status"] == "pass"]


def test_kvm_without_a_probe_is_a_warning_not_a_pass(machines):
    facts = dict(machines[INTEL], probe=None)
    answer = evaluate(facts, {})
    assert (answer["cause"], answer["result"], answer["class"]) == ("not_probed", "warn", "unmeasured")


def test_a_test_that_passed_only_when_repeated_is_a_warning(machines):
    facts = copy.deepcopy(machines[INTEL])
    facts["probe"]["tests"]["avx"] = {"ok": True, "first": {"exit": "IO", "port": 241, "value": 6}}
    answer = evaluate(facts, {})
    assert (answer["cause"], answer["result"]) == ("ok", "warn")
    assert "avx" in answer["msg"]


def test_opened_but_not_run_is_a_warning(machines):
    probe = {"arch": "x86_64", "level": "open", "api_version": 12, "caps": {}, "tests": {}, "rates": {}}
    probe["class"], probe["reason"] = classify(probe)
    answer = evaluate(dict(machines[INTEL], probe=probe), {})
    assert (answer["cause"], answer["result"]) == ("ok_unmeasured", "warn")


@pytest.mark.parametrize(
    "machine, virt_type, cpu_mode, cpu_models",
    [
        (INTEL, "kvm", "host-model", []),
        (ARM, "kvm", "host-passthrough", []),
        (Z, "kvm", "host-model", []),
        (CLOUD, "qemu", "custom", ["Nehalem"]),
        ("09-arm64-no-el2", "qemu", "custom", ["cortex-a57"]),
        ("20-riscv64-no-h", "qemu", "none", []),
        ("26-libvirt-user-denied", "qemu", "custom", ["Nehalem"]),
    ],
)
def test_recommendation(machines, machine, virt_type, cpu_mode, cpu_models):
    answer = evaluate(machines[machine], {})
    assert answer["recommended_virt_type"] == virt_type
    assert answer["recommended"] == {"cpu_mode": cpu_mode, "cpu_models": cpu_models}


@pytest.mark.parametrize(
    "machine, repairs",
    [
        (INTEL, []),
        (
            "19-not-loaded",
            [
                {"act": "module", "name": "kvm_amd"},
                {"act": "group", "user": "nova"},
                {"act": "group", "user": "libvirt-qemu"},
            ],
        ),
        ("26-libvirt-user-denied", [{"act": "node"}, {"act": "group", "user": "libvirt-qemu"}]),
        ("03-intel-firmware-lock", []),
        ("06-cloud-vm", []),
        ("18-blacklisted", []),
        ("21-cgroup-deny", []),
    ],
)
def test_repairs_touch_only_what_can_be_repaired(machines, machine, repairs):
    assert evaluate(machines[machine], {})["repairs"] == repairs


@pytest.mark.parametrize(
    "machine, policy, repairable",
    [
        (INTEL, {}, False),
        ("19-not-loaded", {}, True),
        ("19-not-loaded", {"iommu": True}, False),
        ("26-libvirt-user-denied", {}, True),
        ("30-node-removed", {}, True),
        ("25-node-is-a-file", {}, True),
        ("03-intel-firmware-lock", {}, False),
        ("18-blacklisted", {}, False),
        ("21-cgroup-deny", {}, False),
        (NESTED, {"nested": True}, True),
        (NESTED, {"nested": True, "allow_nested": False}, False),
    ],
)
def test_repairable_means_that_nothing_else_fails(machines, machine, policy, repairable):
    assert evaluate(machines[machine], policy)["repairable"] is repairable


def test_nested_parameter_is_a_repair(machines):
    repairs = evaluate(machines[NESTED], {"nested": True})["repairs"]
    assert {"act": "parameter", "module": "kvm_intel", "name": "nested", "value": "1"} in repairs


@pytest.mark.parametrize(
    "options, texts",
    [
        ({"devices": {"tunnel": "fail"}}, ["tunnel", "tun, vhost_net"]),
        ({"devices": {"tun": "maybe"}}, ["tun", "maybe", "fail, warn or skip"]),
        ({"hugepages": {"2M": 4}}, ["2M", "kB"]),
        ({"hugepages": {"2048": "many"}}, ["many"]),
        ({"min_vcpus": -1}, ["min_vcpus", "-1"]),
        ({"slice_ms": 0}, ["slice_ms", "0", "1 to 500"]),
        ({"deadline": 1000}, ["deadline", "1000"]),
        ({"root": "/nonexistent-tree"}, ["root", "/nonexistent-tree", "not a directory"]),
        ({"require": "maybe"}, ["require", "maybe"]),
        ({"secure": ["sgx"]}, ["sgx"]),
    ],
)
def test_wrong_option_is_named(options, texts, run_module):
    answer = run_module("kvm_verify", dict({"root": str(TREES / INTEL)}, **options))
    assert answer["failed"]
    assert all(text in answer["msg"] for text in texts), answer["msg"]
    assert "result" not in answer
