# SPDX-License-Identifier: Apache-2.0
"""What a further compute costs: the arithmetic, the stand-ins, and what counts as a run that changes nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import bench_scale
import pytest
import scale_table
import stand_ins
from ansible.module_utils import lab_plan
from bench_lab import BenchError

ROOT = Path(__file__).resolve().parents[3]
LAYOUTS = lab_plan.load_layouts(str(ROOT / "roles/lab/files/layouts.json"))
RELEASES = {"epoxy": {"suite": "trixie", "deployable": True}}
OUTPUT = """
PLAY RECAP *****
compute1 : ok=1 changed=9 unreachable=0 failed=0 skipped=0
gone : ok=1 changed=9 unreachable=0 failed=0 skipped=0

PLAY RECAP *********************************************************************
compute1                   : ok=18   changed=0    unreachable=0    failed=0    skipped=15   rescued=0    ignored=0
stand-in-1                 : ok=17   changed=2    unreachable=0    failed=1    skipped=15   rescued=0    ignored=0

PHASES *****
"""


def row(computes: int, control: float, wall: float = 10.0) -> dict:
    cpu = {"control": control, "computes": 2.0 * computes, "controller": 4.0}
    return {"computes": computes, "cpu": cpu, "wall": wall, "load": 0.5}


def lab(family: str = "ipv4") -> dict:
    plan = lab_plan.make_plan("x", {"family": family}, None, LAYOUTS, RELEASES)
    return lab_plan.inventory(plan, "/x", {}, RELEASES)["_meta"]["hostvars"]


def test_the_slope_of_a_line_is_what_one_more_adds():
    assert scale_table.line_through([(1, 5.5), (4, 10.0), (16, 28.0)]) == pytest.approx((1.5, 4.0))


def test_points_beside_the_line_pull_it_by_the_square_of_their_distance():
    assert scale_table.line_through([(0, 0.0), (1, 3.0), (2, 0.0), (3, 3.0)]) == pytest.approx((0.6, 0.6))


def test_one_number_of_computes_gives_no_slope():
    with pytest.raises(ValueError, match=r"two numbers of computes; given: \[4\]"):
        scale_table.line_through([(4, 1.0), (4, 2.0)])


def test_the_table_has_a_row_for_each_number_and_the_slopes_below():
    lines = scale_table.table([row(1, 7.0), row(3, 10.0, wall=20.0)]).splitlines()
    assert lines[2] == "| 1 | 7.00 | 2.00 | 4.00 | 10.0 | 0.5 |"
    assert lines[3] == "| 3 | 10.00 | 6.00 | 4.00 | 20.0 | 0.5 |"
    assert lines[4] == "| **each further one** | **1.50** | **2.00** | **0.00** | | |"
    assert len({line.count("|") for line in lines}) == 1


def test_rounds_are_condensed_to_medians():
    rows = bench_scale.middle([row(1, 7.0), row(4, 9.0), row(1, 8.0), row(4, 9.0), row(1, 30.0), row(4, 9.0)])
    assert [(found["computes"], found["cpu"]["control"]) for found in rows] == [(1, 8.0), (4, 9.0)]


def test_what_a_machine_does_of_itself_is_not_the_runs():
    assert scale_table.net(used=5.0, idle_rate=0.1, seconds=20.0) == pytest.approx(3.0)
    assert scale_table.net(used=0.5, idle_rate=0.1, seconds=20.0) == 0.0


def test_the_last_recap_counts():
    found = scale_table.recap(OUTPUT)
    assert list(found) == ["compute1", "stand-in-1"]
    assert (found["compute1"]["changed"], found["stand-in-1"]["changed"], found["compute1"]["ok"]) == (0, 2, 18)


def test_a_run_that_changes_something_or_leaves_out_a_host_is_refused():
    assert scale_table.complaints(scale_table.recap(OUTPUT), ["compute1", "stand-in-1", "controller1"]) == [
        "controller1 took no part",
        "stand-in-1 ended with changed=2 failed=1",
    ]
    quiet = OUTPUT.replace("changed=2 ", "changed=0 ").replace("failed=1", "failed=0")
    assert scale_table.complaints(scale_table.recap(quiet), ["compute1", "stand-in-1"]) == []
    lost = quiet.replace("unreachable=0", "unreachable=1")
    assert "compute1 ended with unreachable=1" in scale_table.complaints(scale_table.recap(lost), ["compute1"])
    assert scale_table.complaints(scale_table.recap("no recap at all"), ["compute1"]) == ["compute1 took no part"]


@pytest.mark.parametrize("family", lab_plan.FAMILIES)
def test_a_stand_in_has_an_address_that_no_machine_of_a_lab_has(family):
    own = lab(family)["compute1"]["management_address"]
    theirs = {stand_ins.address(own, name) for name in stand_ins.names(99)}
    assert len(theirs) == 99
    for layout in LAYOUTS:
        plan = lab_plan.make_plan("x", {"layout": layout, "computes": "20", "family": family}, None, LAYOUTS, RELEASES)
        assert not theirs & {machine["address"] for machine in plan["machines"]}


@pytest.mark.parametrize("family", lab_plan.FAMILIES)
def test_a_stand_in_is_the_compute_under_another_name_address_and_connection(family):
    hosts = lab(family)
    text = json.loads(stand_ins.inventory(hosts, "compute1", 2, Path("/s")))["all"]
    assert list(text["children"]["nova_computes"]["hosts"]) == ["stand-in-1", "stand-in-2"]
    own, real = text["hosts"]["stand-in-2"], hosts["compute1"]
    assert own["ansible_host"] == own["management_address"] == stand_ins.address(real["ansible_host"], "stand-in-2")
    assert own["ansible_port"] == stand_ins.PORT
    assert own["provider_interface"] == real["provider_interface"]
    words = shlex.split(own["ansible_ssh_common_args"])
    assert f"HostKeyAlias={real['ansible_host']}" in words
    assert [word for word in words if word.startswith("ControlPath=")] == ["ControlPath=/s/%h"]


def test_the_labs_machines_get_connections_of_the_bench_and_nothing_else():
    text = json.loads(stand_ins.inventory(lab(), "compute1", 0, Path("/s")))["all"]
    assert text["children"]["nova_computes"]["hosts"] == {}
    assert set(text["hosts"]) == {"controller1", "compute1"}
    for host, variables in text["hosts"].items():
        assert list(variables) == ["ansible_ssh_common_args"], host
        assert "ControlPath=/s/%h" in shlex.split(variables["ansible_ssh_common_args"])


def test_scripts_for_machines_are_shell_and_end_what_they_begin():
    begin, end = stand_ins.begin_script("10.77.0.21", 3), stand_ins.end_script("10.77.0.21", 3)
    for script in (begin, end, stand_ins.beat_script(), stand_ins.BEGIN):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    units = [word for word in shlex.split(begin + stand_ins.beat_script()) if word.startswith("--unit=")]
    assert units == [
        "--unit=bench-stand-in-1",
        "--unit=bench-stand-in-2",
        "--unit=bench-stand-in-3",
        "--unit=bench-beat",
    ]
    assert "systemctl stop 'bench-*.service'" in end
    for number in (101, 102, 103):
        assert f"ip address replace 10.77.0.{number} dev eth0" in begin
        assert f"ip address delete 10.77.0.{number} dev eth0" in end


def test_every_record_of_a_stand_in_is_removed_again():
    made, removed = stand_ins.rows_sql("compute1", 2), stand_ins.no_rows_sql()
    assert made.count("INSERT INTO services ") == made.count("INSERT INTO compute_nodes ") == 2
    own = "UPDATE one SET id = 0, uuid = UUID(), host = 'stand-in-2'"
    assert f"{own};\nINSERT INTO services SELECT * FROM one;" in made
    assert f"{own}, hypervisor_hostname = 'stand-in-2';\nINSERT INTO compute_nodes SELECT * FROM one;" in made
    for table in ("nova.services", "nova.compute_nodes", "nova_api.host_mappings"):
        assert f"DELETE FROM {table} WHERE host LIKE 'stand-in-%';" in removed


@pytest.mark.parametrize("asked", ["4", "4 4", "0 4", "1 101"])
def test_numbers_of_computes_that_make_no_slope_are_refused_before_anything_runs(asked, monkeypatch):
    monkeypatch.setenv("BENCH_COMPUTES", asked)
    monkeypatch.setattr(bench_scale.signal, "signal", pytest.fail)
    with pytest.raises(BenchError, match="give two or more numbers from 1 to 100"):
        bench_scale.main()


def test_a_lab_that_is_not_there_is_not_made_under_a_name_that_was_asked_for(tmp_path):
    with pytest.raises(BenchError, match="There is no lab mine in"):
        with bench_scale.deployed("mine", tmp_path, tmp_path / "log"):
            pass


def test_cpu_seconds_are_those_of_the_control_group(tmp_path):
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    assert bench_scale.cpu_seconds(tmp_path) == 2.5
