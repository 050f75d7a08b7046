# SPDX-License-Identifier: Apache-2.0
"""Values that only the host knows: resolved from its facts, described before that."""

from __future__ import annotations

import pytest
from ansible.module_utils.config import host_values

FACTS = {
    "cpus": 5,
    "hostname": "compute1",
    "kvm": {"virt_type": "kvm", "cpu_mode": None, "cpu_models": ["Nehalem", "IvyBridge"], "none": []},
}


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"from_host": "hostname"}, "compute1"),
        ({"from_host": "kvm.virt_type"}, "kvm"),
        ({"from_host": "cpus"}, 5),
        ({"from_host": "cpus", "divide_by": 2}, 2),
        ({"from_host": "cpus", "divide_by": 10, "min": 1}, 1),
        ({"from_host": "cpus", "max": 4}, 4),
        ({"from_host": "cpus", "divide_by": None, "min": None}, 5),
        ({"from_host": "kvm.cpu_mode"}, None),
        ({"from_host": "kvm.cpu_models"}, ["Nehalem", "IvyBridge"]),
        ({"from_host": "kvm.cpu_models", "join": ","}, "Nehalem,IvyBridge"),
        ({"from_host": "kvm.none", "join": ","}, None),
        ({"from_host": "kvm.none"}, None),
    ],
)
def test_a_value_is_resolved_from_the_facts_of_the_host(spec, value):
    assert host_values.resolve(spec, FACTS) == value


def test_values_are_resolved_at_any_depth_and_the_plan_is_not_modified():
    plan = {"files": [{"options": {"DEFAULT": {"host": {"from_host": "hostname"}, "l": ["a", {"from_host": "cpus"}]}}}]}
    resolved = host_values.resolve(plan, FACTS)
    assert resolved == {"files": [{"options": {"DEFAULT": {"host": "compute1", "l": ["a", 5]}}}]}
    assert host_values.find(plan) == {"from_host": "hostname"} and host_values.find(resolved) is None
    resolved["files"][0]["options"]["DEFAULT"]["l"].append("b")
    assert plan["files"][0]["options"]["DEFAULT"]["l"] == ["a", {"from_host": "cpus"}]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"from_host": "kvm.models"}, ["kvm.models", "cpu_models"]),
        ({"from_host": "cpus.all"}, ["cpus.all"]),
        ({"from_host": "cpus", "divide": 2}, ["divide", "divide_by"]),
        ({"from_host": "hostname", "divide_by": 2}, ["hostname", "'compute1'", "whole number"]),
        ({"from_host": "cpus", "min": "1"}, ["min", "'1'", "whole number"]),
        ({"from_host": "cpus", "divide_by": 0}, ["divide_by", "at least 1"]),
        ({"from_host": "cpus", "join": ","}, ["cpus", "5", "list"]),
    ],
)
def test_a_value_that_the_facts_cannot_resolve_is_named(spec, words):
    with pytest.raises(ValueError) as error:
        host_values.resolve({"a": [spec]}, FACTS)
    assert all(word in str(error.value) for word in words), error.value


def test_a_value_is_described_before_a_host_decides_it():
    spec = {"from_host": "cpus", "divide_by": 2, "min": 1, "max": 8}
    assert host_values.describe(spec) == "decided on the host: cpus / 2, at least 1, at most 8"
    assert host_values.describe({"from_host": "kvm.virt_type"}) == "decided on the host: kvm.virt_type"
    assert not host_values.is_host_value({"DEFAULT": {"from": 1}}) and not host_values.is_host_value("from_host")
