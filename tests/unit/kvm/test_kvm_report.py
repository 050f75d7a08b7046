# SPDX-License-Identifier: Apache-2.0
"""The table and the file with the results of all hypervisors."""

from __future__ import annotations

import json

import project
from ansible.module_utils.kvm import kvm_report
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template


def host_result(cause="ok", failed=(), remedy="", result="pass", virt_type="kvm"):
    return {
        **{"result": result, "cause": cause, "failed_checks": list(failed)},
        **{"recommended_virt_type": virt_type, "remedy": remedy},
    }


RESULTS = {
    "a": host_result(),
    "a-long-host-name": host_result("firmware", ["acceleration", "iommu"], "enable it", "fail", "qemu"),
    "gone": {"unreachable": True, "msg": "Connection refused"},
}


def test_the_columns_are_aligned():
    lines = kvm_report.table(RESULTS)
    start = lines[0].index("what to do")
    assert [line[start:] for line in lines[1:]] == ["-", "enable it", "reach the host, and see why its task failed"]
    assert lines[2].split()[:6] == ["a-long-host-name", "fail", "firmware", "+", "iommu", "qemu"]
    assert lines[3].split()[:2] == ["gone", "-"]


def test_the_filter_returns_the_table_as_one_text():
    project.load_plugins()
    templar = Templar(loader=DataLoader(), variables={"results": RESULTS})
    table = templar.template(trust_as_template("{{ results | kvm_table }}"))
    assert table.splitlines() == kvm_report.table(RESULTS)


def test_the_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "kvm.json"
    for content in ({"a": {"result": "pass"}}, {}):
        kvm_report.write(str(path), content)
        assert json.loads(path.read_text()) == content
    assert [file.name for file in path.parent.iterdir()] == ["kvm.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_is_reported_with_the_variable_to_set():
    text = kvm_report.refusal("/nowhere/kvm.json", OSError(13, "Permission denied"))
    assert "/nowhere/kvm.json: Permission denied" in text and "kvm_preflight_report_dir" in text
