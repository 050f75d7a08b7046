# SPDX-License-Identifier: Apache-2.0
"""The lists of options: each release has one, it fits our own files, and it finds what an operator mistypes."""

from __future__ import annotations

import json

import project
import pytest
from ansible.module_utils import option_lists
from test_catalogue import RELEASES, SHAPES, plan_of

FOLDER = project.ROOT / "roles/option_lists/files"
LISTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}
VARIABLES = project.role_data("preflight", "vars")["preflight_option_variables"]


def plan_with(release, host="controller1", inventory=project.ALL_IN_ONE, **overrides):
    return project.Plan(host, inventory, nova_release=release, **overrides)


def judge(plan, release, installed=None, besides=()):
    files, variables = plan["preflight_option_files"], plan["preflight_option_variables"]
    return option_lists.check_host(files, LISTS[release], release, installed or {}, variables, besides)


@pytest.fixture(params=list(RELEASES))
def release(request):
    return request.param


def test_every_release_has_a_list_of_its_own_packages(release):
    assert set(LISTS) == set(RELEASES)
    listed = LISTS[release]
    assert f":{RELEASES[release]['version']}." in listed["packages"]["python3-nova"]
    assert {row["package"] for row in listed["namespaces"].values()} == set(listed["packages"])
    assert len(listed["namespaces"]["nova.conf"]["sections"]) > 40
    assert {"password", "v3token", "v3applicationcredential"} <= set(listed["auth_plugins"])


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_list_has_every_option_of_our_own_files(shape, release):
    files = [entry for entry in plan_of(shape, release)["deploy_plan_files"] if entry.get("validate")]
    assert files
    for entry in files:
        assert option_lists.resolve(entry["validate"], LISTS[release]["namespaces"])[1] == [], entry["path"]
    assert option_lists.check_host(files, LISTS[release], release, {}, [], []) == []


def test_every_variable_of_options_is_known_to_preflight():
    names = {name for role in project.role_names() for name in project.spec(role) if name.endswith("_config")}
    assert len(names) == 6
    assert {row["name"] for row in VARIABLES} == names


@pytest.mark.parametrize("row", VARIABLES, ids=lambda row: row["name"])
def test_a_mistyped_option_is_named_with_its_variable(row, release):
    plan = plan_with(release, **{row["name"]: {"DEFAULT": {"debugg": True}, "oslo_polici": {"x": 1}}})
    assert plan["preflight_option_components"] == [row["component"]]
    assert judge(plan, release) == [
        f"{row['name']}: [DEFAULT] debugg is unknown to {release}; the nearest name is debug",
        f"{row['name']}: section [oslo_polici] is unknown to {release}; the nearest name is oslo_policy",
    ]


def test_what_newer_packages_have_besides_is_let_through(release):
    plan = plan_with(release, nova_config={"libvirt": {"cpu_modell": "x", "cpu_modes": "y"}})
    assert len(judge(plan, release)) == 2
    (error,) = judge(plan, release, besides=["[libvirt] cpu_modell"])
    assert "cpu_modes" in error


def test_an_option_that_two_variables_set_is_that_of_the_one_that_wins(release):
    options = {"libvirt": {"cpu_modell": "x"}}
    found = judge(plan_with(release, nova_config=options, nova_host_config=options), release)
    assert [text.split(":")[0] for text in found] == ["nova_host_config"]


def test_a_shape_that_no_file_can_have_is_named(release):
    (error,) = judge(plan_with(release, nova_config={"libvirt": {"cpu_mode": {"a": "b"}}}), release)
    assert error.startswith("/etc/nova/nova.conf: [libvirt] cpu_mode holds a ")


@pytest.mark.parametrize(
    "options",
    [
        {"nova_config": {"DEFAULT": {"nonsense": None}}},
        {"nova_config": {"glance": {"api_servers": "http://192.0.2.1:9292"}}},
        {"nova_config": {"placement": {"auth_type": "v3token", "token": "x"}}},
        {"nova_config": {"cinder": {"auth_section": "login"}, "login": {"auth_type": "password", "username": "x"}}},
        {"nova_config": {"devices": {"enabled_mdev_types": "a-1"}, "mdev_a-1": {"mdev_class": "x"}}},
        {"nova_config": {"privsep_osbrick": {"helper_command": "x"}, "vif_plug_ovs_privileged": {"user": "x"}}},
        {"glance_config": {"DEFAULT": {"enabled_backends": "fs:file, b:rbd"}, "b": {"rbd_store_pool": "x"}}},
    ],
)
def test_what_is_registered_at_run_time_and_what_is_old_passes(options, release):
    assert judge(plan_with(release, **options), release) == []


def test_without_options_of_the_operator_nothing_is_put_together(release):
    assert plan_with(release)["preflight_option_files"] == []
    theirs = plan_with(release, "compute1", project.SPLIT, keystone_config={"a": {"b": 1}})
    assert theirs["preflight_option_files"] == [], "a compute has no keystone.conf"


def test_packages_in_another_version_judge_for_themselves(release):
    plan = plan_with(release, nova_config={"libvirt": {"cpu_modell": "x"}})
    same = LISTS[release]["packages"]
    assert len(judge(plan, release, same)) == 1
    assert judge(plan, release, {**same, "python3-nova": "3:99.0.0-1"}) == []
    assert len(judge(plan, release, {"python3-oslo.log": "99-1"})) == 1, "Nova itself is not there yet"
