# SPDX-License-Identifier: Apache-2.0
"""The table of all hypervisors and its file."""

from __future__ import annotations

import json

from ansible.module_utils.kvm import kvm_report as report


def host_result(cause="ok", failed=(), remedy="", result="pass", virt_type="kvm"):
    return {"result": result, "cause": cause, "failed_checks": list(failed), "recommended_virt_type": virt_type,
            "remedy": remedy}  # fmt: skip


def test_columns_stand_below_each_other():
    lines = report.table(
        {
            "a": host_result(),
            "a-long-host-name": host_result("firmware", ["acceleration", "iommu"], "enable it", "fail", "qemu"),
            "gone": {"unreachable": True, "msg": "Connection refused"},
        }
    )
    start = lines[0].index("what to do")
    assert [line[start:] for line in lines[1:]] == ["-", "enable it", "reach the host, and see why its task failed"]
    assert lines[2].split()[:6] == ["a-long-host-name", "fail", "firmware", "+", "iommu", "qemu"]
    assert lines[3].split()[:2] == ["gone", "-"]


def test_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "kvm.json"
    for content in ({"a": {"result": "pass"}}, {}):
        report.write(str(path), content)
        assert json.loads(path.read_text()) == content
    assert [file.name for file in path.parent.iterdir()] == ["kvm.json"]
    assert path.stat().st_mode & 0o777 == 0o644
