# SPDX-License-Identifier: Apache-2.0
"""What a lab consists of, from the few words that a person gives."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils import lab_plan
from ansible.module_utils.lab_plan import PlanError

ROOT = Path(__file__).resolve().parents[2]
LAYOUTS = lab_plan.load_layouts(str(ROOT / "roles/lab/files/layouts.json"))
NOTHING = {"suite": "", "layout": "", "computes": "", "layer": ""}


def plan(name="lab", before=None, **asked):
    return lab_plan.make_plan(name, {**NOTHING, **asked}, before, LAYOUTS)


def machines(made: dict) -> dict:
    return {machine["name"]: machine["address"] for machine in made["machines"]}


def test_a_lab_of_few_words_has_a_controller_and_a_compute_host():
    made = plan()
    assert (made["suite"], made["layout"], made["computes"]) == ("trixie", "split", 1)
    assert machines(made) == {"controller1": "10.77.0.11", "compute1": "10.77.0.21"}


def test_computes_are_counted_from_one():
    assert list(machines(plan(computes="3"))) == ["controller1", "compute1", "compute2", "compute3"]
    assert machines(plan(computes="20"))["compute20"] == "10.77.0.40"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_each_machine_an_address_and_every_group_a_host(layout):
    made = plan(layout=layout, computes="20")
    assert len(set(machines(made).values())) == len(made["machines"])
    groups = {group for machine in made["machines"] for group in machine["groups"]}
    platform = {"mariadb", "rabbitmq", "memcached", "keystone", "placement", "glance", "neutron"}
    assert groups == {"nova_controllers", "nova_computes"} | platform
    for forward in made["forwards"]:
        assert forward["machine"] in machines(made)


def test_one_machine_can_be_all():
    (machine,) = plan(layout="allinone")["machines"]
    assert machine["name"] == "allinone1"
    assert {"nova_controllers", "nova_computes"} <= set(machine["groups"])


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "lab_1", "../x", "a/b", "a" * 13, "cache", "templates", "layers"])
def test_a_name_that_would_lead_elsewhere_is_refused(name):
    with pytest.raises(PlanError, match="LAB_NAME"):
        plan(name)
    with pytest.raises(PlanError, match="LAB_NAME"):
        lab_plan.lab_home("/tmp", name)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"suite": "sid"}, "LAB_SUITE is 'sid'; choose one of bookworm, trixie"),
        ({"layout": "round"}, "LAB_LAYOUT is 'round'.*allinone"),
        ({"computes": "0"}, "LAB_COMPUTES is '0'.*1 to 20"),
        ({"computes": "21"}, "LAB_COMPUTES is '21'"),
        ({"computes": "-1"}, "LAB_COMPUTES is '-1'"),
        ({"computes": "two"}, "LAB_COMPUTES is 'two'"),
    ],
)
def test_what_makes_no_lab_is_refused_with_value_and_remedy(asked, text):
    with pytest.raises(PlanError, match=text):
        plan(**asked)


def test_a_lab_remembers_what_it_was_made_with():
    before = plan(suite="bookworm", layout="allinone")
    assert plan(before=before) == before


def test_a_lab_can_grow_and_shrink():
    before = plan(computes="3")
    assert list(machines(plan(before=before, computes="1"))) == ["controller1", "compute1"]


@pytest.mark.parametrize(("key", "value"), [("suite", "trixie"), ("layout", "allinone")])
def test_a_lab_keeps_suite_and_layout(key, value):
    before = plan(suite="bookworm")
    with pytest.raises(PlanError, match=rf"was made with LAB_{key.upper()}=.*make lab-down LAB_NAME=lab"):
        plan(before=before, **{key: value})


def test_a_lab_keeps_the_port_that_it_was_given():
    before = plan()
    before["forwards"][0]["listen"] = 6099
    assert plan(before=before)["forwards"][0]["listen"] == 6099


def test_two_machines_at_one_address_are_refused():
    rows = [
        {"kind": "a", "count": 2, "first_address": "10.77.0.11", "groups": []},
        {"kind": "b", "count": 1, "first_address": "10.77.0.12", "groups": []},
    ]
    with pytest.raises(PlanError, match="10.77.0.12 to two machines"):
        lab_plan.expand_machines({"machines": rows}, 1)


def test_every_machine_knows_all_by_name_and_itself_by_its_management_address():
    lines = lab_plan.hosts_file(plan(computes="2")["machines"]).splitlines()
    assert lines[0] == "127.0.0.1 localhost"
    assert lines[2:] == ["10.77.0.11 controller1", "10.77.0.21 compute1", "10.77.0.22 compute2"]


def test_sources_name_only_what_the_mirror_has():
    text = lab_plan.sources_list("trixie", "c:1", {"updates": True, "security": "x"})
    assert text == (
        "deb http://c:1/debian trixie main\n"
        "deb http://c:1/debian trixie-updates main\n"
        "deb http://c:1/debian-security trixie-security main\n"
    )
    assert lab_plan.sources_list("trixie", "c:1", {"updates": False, "security": ""}).count("deb ") == 1


@pytest.mark.parametrize("directory", ["/a/.lab/lab", "/" + "long/" * 19 + ".lab/lab"])
def test_ssh_sockets_fit_into_a_socket_path(directory):
    path = lab_plan.control_path(directory) + "/255.255.255.255" + "." + 16 * "x"
    assert len(path) <= 107
    assert lab_plan.control_path(directory) == lab_plan.control_path(directory)
    assert lab_plan.control_path(directory) != lab_plan.control_path(directory + "2")


def test_the_inventory_is_literal_and_complete():
    made = plan(computes="2")
    inventory = lab_plan.inventory(made, "/x/.lab/lab", {"nova_password": "s"})
    hostvars = inventory["_meta"]["hostvars"]
    assert not [value for row in hostvars.values() for value in row.values() if "{{" in value]
    host = hostvars["compute2"]
    assert host["ansible_host"] == host["management_address"] == "10.77.0.22"
    assert host["provider_interface"] == "eth1"
    words = shlex.split(host["ansible_ssh_common_args"])
    assert "ProxyCommand=ip netns exec nova-lab socat - TCP4:%h:%p" in words
    assert "StrictHostKeyChecking=yes" in words
    assert inventory["nova_computes"]["hosts"] == ["compute1", "compute2"]
    assert inventory["lab"]["hosts"] == ["controller1", "compute1", "compute2"]
    assert inventory["all"]["vars"]["nova_password"] == "s"
    assert inventory["all"]["vars"]["lab_novnc_url_base"] == "http://127.0.0.1:6080"


def ask_inventory(root: Path, **environment) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LAB_")}
    command = [sys.executable, str(root / "inventory/lab/lab.py"), "--list"]
    return subprocess.run(command, env={**env, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path):
    """A checkout without labs: the inventory script and what it reads."""
    for path in ("inventory/lab/lab.py", "roles/lab/module_utils/lab_plan.py", "roles/lab/files/layouts.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    return tmp_path


def test_the_inventory_lists_hosts_while_no_lab_is_up(checkout):
    inventory = json.loads(ask_inventory(checkout, LAB_COMPUTES="2").stdout)
    assert inventory["nova_computes"]["hosts"] == ["compute1", "compute2"]
    assert not (checkout / ".lab").exists()


def test_the_inventory_follows_the_lab_that_is_up_and_its_secrets(checkout):
    (checkout / ".lab/x").mkdir(parents=True)
    (checkout / ".lab/x/state.json").write_text(json.dumps(plan("x", layout="allinone")))
    (checkout / ".lab/x/secrets.yml").write_text("nova_password: s3cret\n")
    inventory = json.loads(ask_inventory(checkout, LAB_NAME="x", LAB_LAYOUT="split").stdout)
    assert inventory["lab"]["hosts"] == ["allinone1"]
    assert inventory["all"]["vars"]["nova_password"] == "s3cret"


def test_the_inventory_refuses_what_makes_no_lab(checkout):
    done = ask_inventory(checkout, LAB_SUITE="sid")
    assert done.returncode != 0
    assert "LAB_SUITE is 'sid'" in done.stderr
