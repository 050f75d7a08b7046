# SPDX-License-Identifier: Apache-2.0
"""kvm_verify on the tree of each machine in machines/, compared with what its file says."""

from __future__ import annotations

import machine_trees
import pytest

MACHINES = machine_trees.machines()
STATUSES = {"pass", "warn", "fail", "skip"}


@pytest.fixture(params=MACHINES)
def machine(request):
    return MACHINES[request.param]


@pytest.fixture
def want(machine):
    return machine.want


@pytest.fixture
def tree(machine):
    return machine_trees.unpacked() / machine.name


def test_there_is_a_machine_for_every_cause():
    found = {machine.want["cause"] for machine in MACHINES.values()}
    assert len(MACHINES) >= 26
    assert found == {
        *("ok", "ok_nested", "ok_unmeasured", "software_backend", "firmware", "disabled_cmdline", "not_exposed"),
        *("no_cpu", "unknown_cpu", "no_el2", "no_hv", "no_sie", "no_h", "blacklisted", "no_module", "module"),
        *("node_container", "node_missing", "node_wrong", "node_dead", "node_nodev", "node_cgroup"),
        *("busy", "resources", "hang"),
    }


def test_a_part_of_a_machine_can_be_changed_and_removed():
    parts = {"/a.json": {"x": 1, "y": {"z": 2}}, "/b": "one two three", "/c": "gone"}
    change = {"/a.json": {"x": None, "y": {"z": 3}}, "/b": {"without": "two", "with": "four"}, "/c": None}
    assert machine_trees.merge(parts, change) == {"/a.json": {"y": {"z": 3}}, "/b": "one three four"}


@pytest.mark.parametrize(
    "path, value, text",
    [
        ("/proc/cmdline", "ro quiet", "ro quiet\n"),
        ("/sys/module/kvm_amd/parameters/nested", 1, "1\n"),
        ("/sys/fs/selinux/enforce", {"exact": "1"}, "1"),
        ("/fixture/users.json", {"nova": "ok"}, '{\n "nova": "ok"\n}\n'),
        (
            "/proc/cpuinfo",
            {"processors": 2, "each": {"processor": "{n}", "CPU architecture": 8}, "then": "MMU\n"},
            "processor\t: 0\nCPU architecture: 8\n\nprocessor\t: 1\nCPU architecture: 8\n\nMMU\n",
        ),
    ],
)
def test_the_content_of_a_file_is_written_as_a_kernel_would(path, value, text):
    assert machine_trees.content(path, value) == text


def test_a_machine_with_an_unknown_part_is_refused(tmp_path, monkeypatch):
    (tmp_path / "common.yml").write_text("linux: {}\n")
    (tmp_path / "01-x.yml").write_text("{description: x, want: {}, parts: [linus], files: {}}\n")
    monkeypatch.setattr(machine_trees, "DIRECTORY", tmp_path)
    with pytest.raises(ValueError, match="01-x.yml needs"):
        machine_trees.machines.__wrapped__()


def test_the_result_is_what_the_machine_wants(tree, want, run_module):
    answer = run_module("kvm_verify", {"root": str(tree), "on_failure": "report"})
    given = {name: answer[name] for name in ("cause", "result", "class", "can_be_enabled")}
    given["virt_type"] = answer["recommended_virt_type"]
    assert given == {name: want[name] for name in given}
    assert answer["changed"] is False and not answer.get("failed")
    if "failed" in want:
        assert answer["failed_checks"] == want["failed"]


def test_each_row_that_does_not_pass_has_a_remedy(tree, run_module):
    answer = run_module("kvm_verify", {"root": str(tree), "on_failure": "report"})
    assert answer["checks"][0]["name"] == "acceleration"
    for row in answer["checks"]:
        assert row["status"] in STATUSES
        assert row["found"] and row["wanted"]
        assert row["status"] == "pass" or row["remedy"], f"{row['name']} has no remedy"


def test_the_module_fails_if_the_result_is_fail(tree, want, run_module):
    answer = run_module("kvm_verify", {"root": str(tree)})
    failing = want["result"] == "fail"
    assert bool(answer.get("failed")) == failing
    if failing:
        for row in answer["checks"]:
            assert row["status"] != "fail" or (row["name"] in answer["msg"] and row["remedy"] in answer["msg"])


@pytest.mark.parametrize("require", ["any", "none"])
def test_emulation_is_accepted_only_with_a_warning(tree, want, require, run_module):
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
