# SPDX-License-Identifier: Apache-2.0
"""Each tree in trees/ describes one machine; want.json says what is true of it."""

from __future__ import annotations

import json
import pathlib

import pytest

TREES = sorted((pathlib.Path(__file__).parent / "trees").iterdir())
STATUSES = {"pass", "warn", "fail", "skip"}


def wanted(tree):
    return json.loads((tree / "fixture" / "want.json").read_text())


@pytest.fixture(params=TREES, ids=lambda tree: tree.name)
def tree(request):
    return request.param


def test_there_is_a_tree_for_every_cause():
    found = {wanted(tree)["cause"] for tree in TREES}
    assert len(TREES) >= 26
    assert found == {
        *("ok", "ok_nested", "ok_unmeasured", "software_backend", "firmware", "disabled_cmdline", "not_exposed"),
        *("no_cpu", "unknown_cpu", "no_el2", "no_hv", "no_sie", "no_h", "blacklisted", "no_module", "module"),
        *(
            "node_container",
            "node_missing",
            "node_wrong",
            "node_dead",
            "node_nodev",
            "node_cgroup",
            "busy",
            "resources",
        ),
        "hang",
    }


def test_machine_is_evaluated_as_it_is(tree, run_module):
    want = wanted(tree)
    answer = run_module("kvm_verify", {"root": str(tree), "on_failure": "report"})
    given = {name: answer[name] for name in ("cause", "result", "class", "can_be_enabled")}
    given["virt_type"] = answer["recommended_virt_type"]
    assert given == {name: want[name] for name in given}
    assert answer["changed"] is False and not answer.get("failed")
    if "failed" in want:
        assert answer["failed_checks"] == want["failed"]


def test_rows_say_what_to_do(tree, run_module):
    answer = run_module("kvm_verify", {"root": str(tree), "on_failure": "report"})
    assert answer["checks"][0]["name"] == "acceleration"
    for row in answer["checks"]:
        assert row["status"] in STATUSES
        assert row["found"] and row["wanted"]
        assert row["status"] == "pass" or row["remedy"], f"{row['name']} does not say what to do"


def test_failure_follows_the_result(tree, run_module):
    answer = run_module("kvm_verify", {"root": str(tree)})
    failing = wanted(tree)["result"] == "fail"
    assert bool(answer.get("failed")) == failing
    if failing:
        for row in answer["checks"]:
            assert (row["status"] != "fail") or (row["name"] in answer["msg"] and row["remedy"] in answer["msg"])


@pytest.mark.parametrize("require", ["any", "none"])
def test_emulation_is_accepted_only_with_a_warning(tree, require, run_module):
    want = wanted(tree)
    answer = run_module("kvm_verify", {"root": str(tree), "require": require})
    assert not answer.get("failed"), answer["msg"]
    assert answer["cause"] == want["cause"]
    assert answer["recommended_virt_type"] == want["virt_type"]
    if want["virt_type"] == "qemu":
        assert answer["result"] == "warn"
        assert answer["msg"]


def test_gathered_facts_give_the_same_answer(tree, run_module):
    facts = run_module("kvm_facts", {"root": str(tree)})["ansible_facts"]["kvm"]
    assert not facts["errors"]
    by_facts = run_module("kvm_verify", {"on_failure": "report", "facts": facts})
    by_itself = run_module("kvm_verify", {"on_failure": "report", "root": str(tree)})
    assert dict(by_facts, invocation=None) == dict(by_itself, invocation=None)


def test_check_mode_is_the_full_check(tree, run_module):
    options = {"root": str(tree), "on_failure": "report"}
    assert run_module("kvm_verify", options, check=True) == run_module("kvm_verify", options)
