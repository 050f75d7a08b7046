# SPDX-License-Identifier: Apache-2.0
"""The lab's modules as Ansible calls them, as far as they go without a machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import lab_host
import lab_machines
import lab_request
import lab_template
import pytest
from ansible.module_utils import lab_process

ROOT = Path(__file__).resolve().parents[3]
LAYOUTS = str(ROOT / "roles/lab/files/layouts.json")
RELEASES = str(ROOT / "roles/cloud/vars/main/releases.yml")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="labs belong to root")


@pytest.fixture
def request_lab(run_module, tmp_path, monkeypatch):
    """Ask for a lab on a computer that can carry it."""
    monkeypatch.setattr(lab_request, "check_overlay", lambda directory: None)
    monkeypatch.setattr(lab_request, "check_memory", lambda machines: None)
    monkeypatch.setattr(lab_request.os, "geteuid", lambda: 0)

    def ask(check=False, **wanted):
        args = {"root": str(tmp_path / ".lab"), "name": "x", "layouts": LAYOUTS, "releases": RELEASES, **wanted}
        return run_module(lab_request, {"minimum_disk_gb": 0, **args}, check)

    return ask


def test_a_request_is_remembered_once(request_lab, tmp_path):
    predicted = request_lab(check=True, computes="2")
    assert predicted["changed"] and not (tmp_path / ".lab").exists()
    made = request_lab(computes="2")
    assert made["changed"] and made["lab"] == predicted["lab"]
    assert json.loads((tmp_path / ".lab/x/state.json").read_text())["computes"] == 2
    assert (tmp_path / ".lab/x").stat().st_mode & 0o777 == 0o700
    again = request_lab()
    assert not again["changed"] and again["lab"] == made["lab"]


def test_family_and_alphabet_are_remembered(request_lab):
    made = request_lab(family="ipv6", alphabet="special")["lab"]
    assert (made["family"], made["alphabet"]) == ("ipv6", "special")
    assert request_lab()["lab"] == made
    assert "was created with LAB_FAMILY=ipv6" in request_lab(family="ipv4")["msg"]


def test_two_labs_have_two_ports(request_lab, tmp_path):
    first = request_lab()["lab"]["forwards"][0]["listen"]
    second = request_lab(name="y")["lab"]["forwards"][0]["listen"]
    assert second > first


def test_two_ways_out_of_one_lab_have_two_ports(tmp_path):
    plan = {"name": "x", "forwards": [{"name": "a", "listen": 6080}, {"name": "b", "listen": 6080}]}
    lab_request.choose_ports(plan, {}, str(tmp_path))
    first, second = (forward["listen"] for forward in plan["forwards"])
    assert second > first


def test_too_small_a_disk_is_refused(request_lab):
    result = request_lab(minimum_disk_gb=10**6)
    assert result["failed"]
    assert "a lab needs 1000000" in result["msg"] and "make lab-down" in result["msg"]


def test_too_little_memory_is_refused():
    with pytest.raises(
        lab_process.LabError, match="MB of memory are available; a, b with a deployed cloud need 20000000"
    ):
        lab_request.check_memory([{"name": "a", "memory_mb": 10**7}, {"name": "b", "memory_mb": 10**7}])


def test_a_user_who_is_not_root_is_told(request_lab, monkeypatch):
    monkeypatch.setattr(lab_request.os, "geteuid", lambda: 1000)
    result = request_lab()
    assert result["failed"] and "run this as root" in result["msg"]


def test_an_unknown_layer_is_refused(request_lab, tmp_path):
    (tmp_path / ".lab/layers/packages/controller").mkdir(parents=True)
    (tmp_path / ".lab/layers/packages/controller/layer.json").write_text('{"suite": "bookworm"}')
    assert "layers has: packages" in request_lab(layer="nothing")["msg"]
    assert "has packages of bookworm, but the suite of the lab is trixie" in request_lab(layer="packages")["msg"]
    assert not request_lab(layer="packages", suite="bookworm").get("failed")


@root_only
def test_an_overlay_on_a_file_system_that_cannot_carry_it_is_refused(tmp_path):
    lab_request.check_overlay(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError):
        lab_request.check_overlay("/proc")


def test_only_missing_packages_are_installed(run_module, tmp_path):
    present = tmp_path / "there"
    present.write_text("")
    packages = {"there": str(present), "gone": str(tmp_path / "gone")}
    assert run_module(lab_host, {"packages": {"there": str(present)}}) == {
        "changed": False,
        "missing": [],
        "raised": {},
        "diff": {"before": "", "after": ""},
        "invocation": {"module_args": {"packages": {"there": str(present)}, "daemons": [], "limits": {}}},
    }
    predicted = run_module(lab_host, {"packages": packages}, check=True)
    assert predicted["changed"] and predicted["missing"] == ["gone"]


def test_a_limit_is_raised_never_lowered(run_module, tmp_path, monkeypatch):
    monkeypatch.setattr(lab_host, "SETTINGS", str(tmp_path))
    (tmp_path / "low").write_text("128\n")
    (tmp_path / "high").write_text("9999\n")
    args = {"packages": {}, "limits": {"low": 4096, "high": 4096, "not_in_this_kernel": 1}}
    predicted = run_module(lab_host, args, check=True)
    assert predicted["raised"] == {"low": 128} and (tmp_path / "low").read_text() == "128\n"
    made = run_module(lab_host, args)
    assert made["changed"] and made["diff"] == {"before": "low = 128\n", "after": "low = 4096\n"}
    assert ((tmp_path / "low").read_text(), (tmp_path / "high").read_text()) == ("4096", "9999\n")
    assert not run_module(lab_host, args)["changed"]


def test_a_template_that_is_there_is_not_made_again(run_module, tmp_path, monkeypatch):
    monkeypatch.setattr(lab_template, "make", lambda root, *rest: os.makedirs(root))
    args = {
        "root": str(tmp_path),
        "suite": "trixie",
        "cache_port": 1,
        "mirror": {"main": "m", "security": "s", "updates": True},
    }
    predicted = run_module(lab_template, args, check=True)
    assert predicted["changed"] and not os.path.exists(predicted["path"])
    made = run_module(lab_template, args)
    assert made["changed"] and made["path"] == predicted["path"]
    assert not run_module(lab_template, args)["changed"]


@root_only
@pytest.mark.parametrize("state", ["started", "stopped", "restarted"])
def test_machines_of_no_lab_cannot_be_acted_on(run_module, tmp_path, state):
    result = run_module(lab_machines, {"root": str(tmp_path), "name": "x", "state": state})
    assert result["failed"] and "make lab-machines LAB_NAME=x" in result["msg"]


@root_only
def test_a_lab_that_is_not_there_is_gone_already(run_module, tmp_path):
    result = run_module(lab_machines, {"root": str(tmp_path), "name": "x", "state": "absent"})
    assert not result["changed"] and list(tmp_path.iterdir()) == []


@root_only
def test_an_unknown_machine_is_named_with_those_there_are(run_module, tmp_path):
    (tmp_path / "x").mkdir()
    machines = [{"name": "controller1", "kind": "controller", "address": "10.77.0.11"}]
    (tmp_path / "x/state.json").write_text(json.dumps({"name": "x", "machines": machines}))
    result = run_module(lab_machines, {"root": str(tmp_path), "name": "x", "only": ["compute9"], "state": "stopped"})
    assert "no machine compute9; it has controller1" in result["msg"]


@root_only
def test_machines_that_would_be_made_are_predicted(run_module, tmp_path):
    machines = [{"name": "controller1", "kind": "controller", "address": "10.77.0.11"}]
    lab = {"name": "x", "machines": machines, "layer": "", "suite": "trixie"}
    args = {"root": str(tmp_path), "name": "x", "lab": lab, "template": "/t"}
    result = run_module(lab_machines, args, check=True)
    assert result["actions"] == ["made controller1", "started controller1"]
    assert list(tmp_path.iterdir()) == []
    refused = run_module(lab_machines, {**args, "template": None}, check=True)
    assert "controller1 does not exist; run `make lab-machines`" in refused["msg"]


@root_only
def test_a_name_that_leads_elsewhere_touches_nothing(run_module, tmp_path):
    (tmp_path / "precious").mkdir()
    result = run_module(lab_machines, {"root": str(tmp_path / ".lab"), "name": "../precious", "state": "absent"})
    assert result["failed"] and "LAB_NAME" in result["msg"]
    assert (tmp_path / "precious").exists()
