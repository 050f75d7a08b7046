# SPDX-License-Identifier: Apache-2.0
"""What a lab consists of, from the few words that a person gives."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils import lab_plan
from ansible.module_utils.lab_plan import PlanError

ROOT = Path(__file__).resolve().parents[3]
LAYOUTS = lab_plan.load_layouts(str(ROOT / "roles/lab/files/layouts.json"))
CATALOG = ROOT / "roles/cloud/vars/main/releases.yml"
RELEASES = {"zed": {"suite": "bookworm", "deployable": True}, "epoxy": {"suite": "trixie", "deployable": True}}
NOTHING = dict.fromkeys(lab_plan.DEFAULTS, "")


def plan(name="lab", before=None, releases=RELEASES, **asked):
    return lab_plan.make_plan(name, {**NOTHING, **asked}, before, LAYOUTS, releases)


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
        ({"family": "ipv5"}, "LAB_FAMILY is 'ipv5'; choose one of ipv4, ipv6"),
        ({"alphabet": "long"}, "LAB_ALPHABET is 'long'; choose one of plain, special"),
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


def test_a_lab_of_an_older_checkout_has_the_family_and_the_alphabet_of_before():
    before = {key: value for key, value in plan().items() if key not in ("family", "alphabet")}
    assert plan(before=before) == plan()
    with pytest.raises(PlanError, match="was created with LAB_FAMILY=ipv4, but LAB_FAMILY=ipv6 is requested"):
        plan(before=before, family="ipv6")
    hostvars = lab_plan.inventory(before, "/x", {}, RELEASES)["_meta"]["hostvars"]
    assert hostvars["compute1"]["management_address"] == "10.77.0.21"


@pytest.mark.parametrize(
    ("key", "value"), [("suite", "trixie"), ("layout", "allinone"), ("family", "ipv6"), ("alphabet", "special")]
)
def test_a_lab_keeps_the_settings_of_its_machines(key, value):
    before = plan(suite="bookworm")
    with pytest.raises(PlanError, match=rf"was created with LAB_{key.upper()}=.*make lab-down LAB_NAME=lab"):
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
    assert lines[2:] == [
        "10.77.0.1 packages",
        "10.77.0.11 controller1",
        "10.77.0.21 compute1",
        "10.77.0.22 compute2",
    ]
    lines = lab_plan.hosts_file(plan(family="ipv6")["machines"]).splitlines()
    assert lines[2:] == ["fd00:77::1 packages", "fd00:77::11 controller1", "fd00:77::21 compute1"]


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
    inventory = lab_plan.inventory(made, "/x/.lab/lab", {"nova_password": "s"}, RELEASES)
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
    assert inventory["all"]["vars"]["lab_release"] == "epoxy"
    assert inventory["all"]["vars"]["lab_secret_characters"] == ""


def test_a_lab_of_ipv6_has_no_ipv4_on_its_management_network():
    made = plan(family="ipv6", computes="20", alphabet="special")
    assert machines(made)["compute20"] == "fd00:77::40"
    assert not [address for address in machines(made).values() if ipaddress.ip_address(address).version != 6]
    assert lab_plan.with_prefix(machines(made)["compute1"]) == "fd00:77::21/64"
    inventory = lab_plan.inventory(made, "/x", {}, RELEASES)
    host = inventory["_meta"]["hostvars"]["compute2"]
    assert host["ansible_host"] == host["management_address"] == "fd00:77::22"
    proxy = next(word for word in shlex.split(host["ansible_ssh_common_args"]) if word.startswith("ProxyCommand="))
    assert shlex.split(proxy)[-1] == "TCP6:[%h]:%p", "the shell that ssh starts takes no brackets away"
    assert inventory["all"]["vars"]["lab_secret_characters"] == "@:/#%+=$?"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", lab_plan.FAMILIES)
def test_addresses_are_written_as_the_kernel_writes_them_and_none_is_the_gateway(layout, family):
    found = machines(plan(layout=layout, family=family, computes="20")).values()
    assert [str(ipaddress.ip_address(address)) for address in found] == list(found)
    network = ipaddress.ip_network(lab_plan.with_prefix(lab_plan.gateway(family)), strict=False)
    assert all(ipaddress.ip_address(address) in network for address in found)
    assert lab_plan.gateway(family) not in found


@pytest.mark.parametrize(
    ("family", "proxy", "target"),
    [("ipv4", "TCP4:%h:%p", "root@10.77.0.11"), ("ipv6", '"TCP6:[%h]:%p"', "root@fd00:77::11")],
)
def test_a_shell_goes_to_the_controller_of_every_layout(family, proxy, target):
    for layout, name in (("split", "controller1"), ("platform", "controller1"), ("allinone", "allinone1")):
        made = plan(layout=layout, family=family)
        command = lab_plan.shell_command(made, "/x")
        assert command[-1] == target == f"root@{machines(made)[name]}"
        assert f"ProxyCommand=ip netns exec nova-lab socat - {proxy}" in command


def test_the_catalog_is_read_as_yaml_reads_it():
    text = CATALOG.read_text(encoding="utf-8")
    rows = yaml.safe_load(text)["cloud_releases"]
    assert lab_plan.read_releases(text) == {
        name: {"suite": row["suite"], "deployable": row.get("deployable", True)} for name, row in rows.items()
    }


def test_one_more_release_in_the_catalog_is_all_that_a_lab_needs():
    text = "---\n# x\nother: {a: b}\ncloud_releases:\n" + "".join(
        f"  {name}:   # {name}\n    nova:\n      suite: no\n    suite: {suite}\n{mark}"
        for name, suite, mark in (
            ("zed", "bookworm", ""),
            ("epoxy", '"trixie"', "    deployable: true\n"),
            ("flamingo", "forky   # not yet", ""),
            ("gazpacho", "forky", "    deployable: false\n"),
        )
    )
    releases = lab_plan.read_releases(text + "last:\n  row:\n    suite: nothing\n")
    assert lab_plan.suites(releases) == {"bookworm": "zed", "trixie": "epoxy", "forky": "flamingo"}
    assert plan(releases=releases)["suite"] == "forky"
    assert plan(releases={**releases, "flamingo": {"suite": "forky", "deployable": False}})["suite"] == "trixie"
    made = plan(releases=releases, suite="forky")
    assert lab_plan.inventory(made, "/x", {}, releases)["all"]["vars"]["lab_release"] == "flamingo"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cloud_releases:\n  zed: {suite: bookworm}\n", "no release that can be deployed"),
        ("cloud_releases:\n  zed:\n    a: b\n", "no suite for zed"),
        ("cloud_releases:\n  zed:\n    suite: x\n    deployable: false\n", "no release that can be deployed"),
    ],
)
def test_a_catalog_that_cannot_be_read_is_refused(text, said):
    with pytest.raises(PlanError, match=f"The catalog of releases .*{said}"):
        lab_plan.read_releases(text)


def ask_inventory(root: Path, question: str = "--list", **environment) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LAB_")}
    command = [sys.executable, str(root / "inventory/lab/lab.py"), question]
    return subprocess.run(command, env={**env, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout without labs: the inventory script and the files that it reads."""
    paths = ("inventory/lab/lab.py", "module_utils/message.py", "roles/lab/module_utils/lab_plan.py")
    for path in (*paths, "roles/lab/files/layouts.json", CATALOG.relative_to(ROOT)):
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


def test_the_inventory_says_which_suites_there_are_and_how_to_get_in(checkout):
    rows = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))["cloud_releases"].values()
    assert ask_inventory(checkout, "--suites").stdout.split() == list(dict.fromkeys(row["suite"] for row in rows))
    words = shlex.split(ask_inventory(checkout, "--ssh", LAB_NAME="x", LAB_FAMILY="ipv6").stdout)
    assert words[0] == "ssh" and words[-1] == "root@fd00:77::11"
    assert str(checkout / ".lab/x/id_ed25519") in words
