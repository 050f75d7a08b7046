# SPDX-License-Identifier: Apache-2.0
"""The lists of options: each release has one, it has the options of our files, and it finds typing errors."""

from __future__ import annotations

import json
import re

import project
import pytest
from ansible.module_utils.config import operator_options, option_catalog, option_index
from project import RELEASES, SHAPES, plan_of

DIRECTORY = project.ROOT / "roles/option_lists/files"
LISTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DIRECTORY.glob("*.json")}
NOVA, GLANCE = "/etc/nova/nova.conf", "/etc/glance/glance-api.conf"
NEUTRON, ML2 = "/etc/neutron/neutron.conf", "/etc/neutron/plugins/ml2/ml2_conf.ini"
CHECKED = [
    NOVA,
    NEUTRON,
    ML2,
    GLANCE,
    "/etc/keystone/keystone.conf",
    "/etc/placement/placement.conf",
]


def plan_with(release, *overrides, shape="all-in-one"):
    return project.Plan(shape, release, overrides)


def check(plan, release, installed=None, extra_options=()):
    """Return the errors in the operator's options without the advice at the end."""
    found = operator_options.problems(
        operator_options.checkable(plan["files"]), LISTS[release], release, installed or {}, extra_options
    )
    assert len(found) <= 1
    assert all(text.endswith(operator_options.ADVICE) for text in found)
    return [line for text in found for line in re.split("; (?=override )", text[: -len(operator_options.ADVICE) - 2])]


@pytest.fixture(params=list(RELEASES))
def release(request):
    return request.param


def test_every_release_has_a_list_of_its_own_packages(release):
    assert set(LISTS) == set(RELEASES)
    listed = LISTS[release]
    assert f":{RELEASES[release]['nova']['version']}." in listed["packages"]["python3-nova"]
    assert {row["package"] for row in listed["namespaces"].values()} == set(listed["packages"])
    assert len(listed["namespaces"]["nova.conf"]["sections"]) > 40
    assert {"password", "v3token", "v3applicationcredential"} <= set(listed["auth_plugins"])


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_list_has_every_option_of_our_files(shape, release):
    files = [entry for entry in plan_of(shape, release)["files"] if entry.get("validate")]
    assert files
    for entry in files:
        assert option_catalog.resolve(entry["validate"], LISTS[release]["namespaces"])[1] == [], entry["path"]
    assert option_index.check_host(files, LISTS[release], release, {}) == []


def test_every_file_of_an_openstack_service_is_checked(release):
    files = plan_of("all-in-one", release)["files"]
    assert set(CHECKED) <= {entry["path"] for entry in files if entry.get("validate")}
    of_oslo = [
        entry["path"]
        for entry in files
        if entry.get("layers") is not None and entry.get("format", "ini") == "ini"
        and entry["path"].startswith(("/etc/nova", "/etc/neutron", "/etc/keystone", "/etc/glance", "/etc/placement"))
        and not entry["path"].endswith("-uwsgi.ini")
    ]  # fmt: skip
    assert [entry["path"] for entry in files if entry["path"] in of_oslo and not entry.get("validate")] == [
        "/etc/nova/nova-compute.conf"
    ], "this one is kept empty"


@pytest.mark.parametrize("path", CHECKED)
def test_a_mistyped_option_is_named_with_its_layer_and_source(path, release):
    section, wrong, right = ("ml2", "type_driverss", "type_drivers") if path == ML2 else ("DEFAULT", "debugs", "debug")
    plan = plan_with(release, {path: {section: {wrong: "x"}}})
    assert [entry["path"] for entry in operator_options.checkable(plan["files"])] == [path]
    expected = f"override 0, test: [{section}] {wrong} is unknown to {release}; the nearest name is {right}"
    assert check(plan, release) == [expected]


@pytest.mark.parametrize("path", [path for path in CHECKED if path != ML2])
def test_every_mistyped_option_of_a_host_is_in_one_message(path, release):
    plan = plan_with(release, {path: {"DEFAULT": {"debugs": True}, "oslo_polici": {"x": 1}}})
    assert check(plan, release) == [
        f"override 0, test: [DEFAULT] debugs is unknown to {release}; the nearest name is debug",
        f"override 0, test: section [oslo_polici] is unknown to {release}; the nearest name is oslo_policy",
    ]


def test_an_extra_option_of_newer_packages_is_accepted(release):
    plan = plan_with(release, {NOVA: {"libvirt": {"cpu_modell": "x", "cpu_modes": "y"}}})
    assert len(check(plan, release)) == 2
    (error,) = check(plan, release, extra_options=["[libvirt] cpu_modell"])
    assert "cpu_modes" in error


def test_the_winning_layer_of_an_option_is_named(release):
    options = {NOVA: {"libvirt": {"cpu_modell": "x"}}}
    (error,) = check(plan_with(release, options, options), release)
    assert error.startswith("override 1, test: [libvirt] cpu_modell")


def test_options_that_a_file_cannot_have_are_problems_of_the_plan_and_not_in_its_files(release):
    wrong = {NOVA: {"libvirt": {"cpu_mode": {"a": "b"}}}, "/etc/nova/api-paste.ini": {"a": {"b": 1}}}
    plan = plan_with(release, wrong, {NOVA: {"libvirt": {"cpu_mode": "none"}}})
    dict_held, not_made_of_options = plan["problems"]
    assert dict_held.startswith('/etc/nova/nova.conf: layer "override 0": [libvirt] cpu_mode holds a dict; give ')
    assert dict_held.endswith("; correct config_overrides of override 0 (test).")
    assert not_made_of_options.startswith(
        '/etc/nova/api-paste.ini: layer "override 0" overrides options, but the file is not made of options'
    )
    assert plan.options(NOVA)["libvirt"]["cpu_mode"] == ["none"]
    assert "problems" not in plan_of("all-in-one", release).parts


@pytest.mark.parametrize(
    "options",
    [
        {NOVA: {"DEFAULT": {"nonsense": None}}},
        {NOVA: {"glance": {"api_servers": "http://192.0.2.1:9292"}}},
        {NOVA: {"placement": {"auth_type": "v3token", "token": "x"}}},
        {NOVA: {"cinder": {"auth_section": "login"}, "login": {"auth_type": "password", "username": "x"}}},
        {NOVA: {"devices": {"enabled_mdev_types": "a-1"}, "mdev_a-1": {"mdev_class": "x"}}},
        {NOVA: {"privsep_osbrick": {"helper_command": "x"}, "vif_plug_ovs_privileged": {"user": "x"}}},
        {GLANCE: {"DEFAULT": {"enabled_backends": "fs:file, b:rbd"}, "b": {"rbd_store_pool": "x"}}},
    ],
)
def test_options_registered_at_run_time_and_old_names_are_accepted(options, release):
    assert check(plan_with(release, options), release) == []


def test_without_options_of_the_operator_no_file_is_checked(release):
    assert operator_options.checkable(plan_of("all-in-one", release)["files"]) == []
    theirs = plan_with(release, {"/etc/keystone/keystone.conf": {"a": {"b": 1}}}, shape="split-compute")
    assert operator_options.checkable(theirs["files"]) == [], "a compute has no keystone.conf"


def test_packages_in_another_version_are_checked_on_the_host(release):
    plan = plan_with(release, {NOVA: {"libvirt": {"cpu_modell": "x"}}})
    same = LISTS[release]["packages"]
    assert len(check(plan, release, same)) == 1
    assert check(plan, release, {**same, "python3-nova": "3:99.0.0-1"}) == []
    assert len(check(plan, release, {"python3-oslo.log": "99-1"})) == 1, "Nova itself is not there yet"
