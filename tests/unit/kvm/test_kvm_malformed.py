# SPDX-License-Identifier: Apache-2.0
"""Strange machines: no content of a file may raise, and what is unknown is never a pass."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil

import machine_trees
import pytest
from ansible.module_utils.kvm import classify, diagnose, kernel_log
from ansible.module_utils.kvm.evaluate import evaluate
from ansible.module_utils.kvm.facts import GATHER, gather
from ansible.module_utils.kvm.tree import Tree, whole_number

TREES = machine_trees.unpacked()
POLICY = {
    **{"isa_level": "x86-64-v2", "nested": True, "min_vcpus": 4, "iommu": True, "hugepages": {"2048": 1}},
    **{"secure": ["sev", "tdx", "s390-pv"], "vtpm": True, "release": "zed", "allow_nested": False},
}


@pytest.fixture
def tree(tmp_path):
    """Copy the tree of a sound machine, to be spoiled."""
    return pathlib.Path(shutil.copytree(TREES / "02-epyc-sev-snp", tmp_path / "tree", symlinks=True))


def evaluated(tree):
    """Return the facts and the result of a tree."""
    facts = gather(root=str(tree), parts=list(GATHER), users=["nova", "libvirt-qemu"])
    assert not facts["errors"]
    json.dumps(facts)
    return facts, evaluate(facts, POLICY)


def test_empty_tree(tmp_path):
    facts, answer = evaluated(tmp_path)
    assert answer["result"] == "fail"
    assert not [row["name"] for row in answer["checks"] if row["status"] == "pass"]


def test_truncated_cpuinfo(tree):
    whole = (tree / "proc/cpuinfo").read_bytes()
    for size in (0, 1, 10, 100, len(whole) // 3, len(whole) - 1):
        (tree / "proc/cpuinfo").write_bytes(whole[:size])
        evaluated(tree)


def test_4096_processors(tree):
    one = (tree / "proc/cpuinfo").read_text().split("\n\n")[0]
    (tree / "proc/cpuinfo").write_text("\n\n".join(one.replace(": 0\n", f": {n}\n", 1) for n in range(4096)) + "\n\n")
    facts, _answer = evaluated(tree)
    assert facts["cpu"]["count"] == 4096
    assert facts["seconds"] < 5


def test_text_that_is_not_utf8(tree):
    for path in ("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name", "proc/cmdline", "proc/cpuinfo"):
        (tree / path).write_bytes(b"\xff\xfeDell\x80\0\x07 Inc.\n" + (tree / path).read_bytes())
    facts, _answer = evaluated(tree)
    assert "Dell" in facts["dmi"]["sys_vendor"]
    assert facts["dmi"]["sys_vendor"].isprintable()


@pytest.mark.parametrize("text", ["", "-1", "9" * 5000, "0x10", "nan", "1e400", "\0", "٣", "lots"])
def test_absurd_numbers(tree, text):
    pages = tree / "sys/kernel/mm/hugepages/hugepages-2048kB"
    pages.mkdir(parents=True)
    (pages / "nr_hugepages").write_text(text)
    (tree / "sys/kernel/mm/hugepages/hugepages-kB").mkdir()
    (tree / "proc/meminfo").write_text(f"MemTotal: {text} kB\nHugepagesize: {text} kB\n")
    (tree / "proc/misc").write_text(f"{text} kvm\n")
    (tree / "etc/group").write_text(f"kvm:x:{text}:nova\n::::\n")
    (tree / "etc/passwd").write_text(f"nova:x:{text}:{text}::/:/bin/sh\n:::::::::\n")
    _facts, answer = evaluated(tree)
    assert {row["name"]: row["status"] for row in answer["checks"]}["hugepages 2048 kB"] == "fail"


def test_numbers_are_not_guessed():
    assert [whole_number(text) for text in ("12", "12 kB", " 7\n", "-3", "", None, "9" * 19, "x1", "٣")] == [
        *(12, 12, 7, None, None, None, None, None, None),
    ]


@pytest.mark.parametrize("what", ["unreadable", "directory", "fifo", "loop", "socket"])
@pytest.mark.parametrize(
    "path", ["proc/cpuinfo", "proc/misc", "proc/cmdline", "etc/passwd", "dev.json", "fixture/probe.json"]
)
def test_files_that_cannot_be_read(tree, path, what):
    file = tree / path
    file.unlink()
    if what == "unreadable":
        file.write_text("x")
        file.chmod(0)
    elif what == "directory":
        file.mkdir()
    elif what == "fifo":
        os.mkfifo(file)
    elif what == "socket":
        import socket

        here = os.getcwd()
        os.chdir(file.parent)
        try:
            socket.socket(socket.AF_UNIX).bind(file.name)
        finally:
            os.chdir(here)
    else:
        file.symlink_to(file.name)
    evaluated(tree)


def test_a_link_does_not_lead_out_of_a_tree(tree):
    (tree / "proc/misc").unlink()
    (tree / "proc/misc").symlink_to("/proc/misc")
    (tree / "etc/passwd").unlink()
    (tree / "etc/passwd").symlink_to("../../../../../../../../../../etc/passwd")
    assert Tree(str(tree)).read("/proc/misc") == ""
    assert Tree(str(tree)).read("/etc/passwd") == ""
    facts, _answer = evaluated(tree)
    assert facts["kernel"]["kvm_registered"] is False


@pytest.mark.parametrize(
    "name", ["dev.json", "fixture/cpuid.json", "fixture/probe.json", "fixture/users.json", "fixture/versions.json"]
)
@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "[]", '"text"', "5", "[" * 100000, '{"/dev/kvm": 5}', '{"/dev/kvm": {"chr": "yes"}}'),
        *('{"hypervisor_vendor": [1], "vmx": "no"}', '{"rates": 5, "tests": [], "api_version": "12"}'),
        *(
            '{"api_version": 12, "arch": "x86_64", "rates": {"long64": {"per_second": "fast"}}}',
            '{"nova": {}, "qemu": 9}',
        ),
        '{"api_version": 12, "arch": "x86_64", "rates": {"long64": {"per_second": NaN, "emulated_share": Infinity}}}',
        '{"class": ["hardware"], "reason": {}, "guest_cpu": 7, "caps": "all", "tests": {"irqchip": 3}, "ratios": [1]}',
    ],
)
def test_descriptions_that_are_nonsense(tree, name, text):
    (tree / name).write_text(text)
    _facts, answer = evaluated(tree)
    if name == "fixture/probe.json":
        assert answer["cause"] not in ("ok", "ok_nested")
        assert answer["checks"][0]["status"] != "pass"


def nonsense(dice, depth=0):
    """Return a value of any type."""
    kinds = [None, True, False, 0, -1, 10**30, 1.5, float("nan"), "", "ok", "\0", "hardware", "EACCES", [], {}]
    if depth < 3 and dice.random() < 0.4:
        return {
            dice.choice(["open", "class", "long64", "total", "ok", "kvm", ""]): nonsense(dice, depth + 1) for _ in "ab"
        }
    return dice.choice(kinds)


def spoil(dice, value):
    """Return the structure with some of its leaves and branches replaced or removed."""
    if dice.random() < 0.08:
        return nonsense(dice)
    if isinstance(value, dict):
        return {key: spoil(dice, item) for key, item in value.items() if dice.random() > 0.05}
    if isinstance(value, list):
        return [spoil(dice, item) for item in value if dice.random() > 0.05]
    return value


@pytest.mark.parametrize("seed", range(20))
def test_spoiled_facts_are_evaluated_without_raising(seed):
    dice = random.Random(seed)
    machines = [gather(root=str(tree), users=["nova"]) for tree in sorted(TREES.iterdir())[:: 1 + seed % 3]]
    for facts in machines:
        for _ in range(20):
            spoiled = spoil(dice, facts)
            answer = evaluate(spoiled, POLICY)
            assert answer["result"] in ("pass", "warn", "fail")
            assert answer["recommended_virt_type"] in ("kvm", "qemu")
            for row in answer["checks"]:
                assert row["status"] in ("pass", "warn", "fail", "skip")


@pytest.mark.parametrize("value", [None, [], "x", 5, {"probe": 3}, {"kernel": [], "node": "x", "modules": 7}])
def test_pure_functions_take_anything(value):
    classify.classify(value)
    diagnose.diagnose(value, value)
    evaluate(value, {})


def test_log_lines_are_chosen_and_bounded():
    noise = [f"[{n}.0] kvm [{n}]: vcpu{n}, guest rIP: 0x0 unhandled wrmsr" for n in range(1000)]
    lines = ["\xff\x00garbage", "CPU: All CPU(s) started at EL1", *noise, "kvm: disabled by bios"]
    assert kernel_log.interesting(lines) == ["CPU: All CPU(s) started at EL1", "kvm: disabled by bios"]
    assert len(kernel_log.interesting(f"kvm: line {n} " + "x" * 10000 for n in range(1000))) == kernel_log.LINES
    assert max(len(line) for line in kernel_log.interesting(["kvm: " + "x" * 10000])) <= 300
