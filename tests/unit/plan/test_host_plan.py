# SPDX-License-Identifier: Apache-2.0
"""How components become the plan of a host, without Ansible and without the project's roles."""

from __future__ import annotations

import pytest
from ansible.module_utils.config import layers
from ansible.module_utils.plan.host_plan import host_plan

GROUPS = {"nova_controllers": ["c1", "c2", "c3"], "nova_computes": ["c2", "c3"], "mariadb": ["c1"], "rabbitmq": ["c1"]}
COMMON = {"uwsgi": {"master": True}, "drop_in": {"Service": {"TimeoutStopSec": 90}}, "address": "10.0.0.2"}
ROW = {"packages": ["thing"], "unit": "thing", "stage": "api", "files": ["conf"]}
CONF = {"path": "/etc/thing.conf", "mode": "0640", "group": "thing", "layers": "services"}


def cloud(**more) -> dict:
    """Return what host_plan reads of a model."""
    return {
        "groups": GROUPS,
        "release": {"name": "epoxy"},
        "region": "RegionOne",
        "scheme": "http",
        "certificate": None,
        "database": {"external": False},
        **more,
    }


def component(row: dict | None = None, **more) -> dict:
    """Return a component with one service, which runs on controllers and computes."""
    return {
        "services": {"nova_controllers": ["server"], "nova_computes": ["server"]},
        "catalog": {"server": {**ROW, **(row or {})}},
        "layers": {"base": {"DEFAULT": {"debug": False}}},
        "common_layers": ["base"],
        "files": {"conf": CONF},
        "release": {"options": {"DEFAULT": {"log": "x"}}, "namespaces": ["thing.release"]},
        **more,
    }


def make(*components: dict, host: str = "c2", **model) -> dict:
    """Return the plan of a host; the components are called thing, thing2 ..."""
    names = {f"thing{number or ''}": one for number, one in enumerate(components)}
    owners = dict.fromkeys(names, "nova_controllers")
    access = {"identity": {"username": "admin"}, "database": {"admin_user": "root"}}
    return host_plan(names, host, cloud(**model), owners, COMMON, access)


def names_of(entry: dict) -> list:
    return [layer["name"] for layer in entry["layers"]]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"package_names": []}, "thing: unknown key package_names; known are"),
        ({"catalog": {"server": {**ROW, "ports": 1}}}, "thing.server: unknown key ports; known are"),
        ({"catalog": {"server": {**ROW, "packages": "thing"}}}, "packages must be a list, not 'thing'"),
        ({"catalog": {"server": {**ROW, "port": "80"}}}, "port must be a number, not '80'"),
        ({"catalog": {"server": {**ROW, "port": True}}}, "port must be a number, not True"),
        ({"services": {"nova_computes": "server"}}, "services.nova_computes must be a list, not 'server'"),
        ({"services": {"nova_computes": ["sever"]}}, "thing has no service sever; its catalog has server"),
        ({"catalog": {"server": {**ROW, "files": ["cnf"]}}}, "thing: no file cnf; its files are conf"),
        ({"catalog": {"server": {**ROW, "layers": ["api"]}}}, "thing: no layer api; its layers are base"),
        ({"catalog": {"server": {**ROW, "stage": "late"}}}, "stage is late; choose one of base, identity"),
        ({"catalog": {"server": {"removed_after": "ocata", "replaced_by": "other"}}}, "was removed after ocata: other"),
        ({"catalog": {"server": {**ROW, "ready": {"url": "/"}}}}, "unknown key url; known are path, status"),
        ({"catalog": {"server": {**ROW, "prepare": [{"module": "ovs_host", "with": {}}]}}}, "unknown key with"),
    ],
)
def test_what_a_component_must_not_declare_is_said_with_its_place(declared, message):
    with pytest.raises(ValueError) as caught:
        make({**component(), **declared})
    assert message in str(caught.value)


def test_two_files_of_one_path_must_be_the_same():
    first = component(files={"conf": {"path": "/etc/x", "text": "a"}})
    second = component(files={"conf": {"path": "/etc/x", "text": "b"}})
    with pytest.raises(ValueError, match="/etc/x is declared twice, in different ways"):
        make(first, second)
    assert [entry["path"] for entry in make(first, first)["files"]] == ["/etc/x"]


def test_services_that_share_a_file_add_their_layers_to_it():
    rows = {
        "server": {**ROW, "file_layers": {"default": {"A": 1}}, "files": ["default"]},
        "other": {**ROW, "unit": "other", "file_layers": {"default": {"B": 2}}, "files": ["default"]},
    }
    default = {"path": "/etc/default/thing", "format": "shell", "layers": [{"name": "thing", "options": {"A": 0}}]}
    declared = component(catalog=rows, services={"nova_controllers": ["server", "other"]}, files={"default": default})
    entry = make(declared)["files"][0]
    assert names_of(entry) == ["thing", "thing: server", "thing: other"]
    assert layers.merge(entry["layers"], "shell") == {"": {"A": ["1"], "B": ["2"]}}


def test_layers_have_their_order_and_their_source():
    override = {
        "name": "cloud (group all)",
        "source": "cloud.yml:3",
        "files": {"/etc/thing.conf": {"DEFAULT": {"a": 1}}},
    }
    declared = component(
        {"layers": ["api"]}, layers={"base": {"DEFAULT": {}}, "api": {"DEFAULT": {}}}, source="here.yml"
    )
    entry = make(declared, overrides={"all": [override]})["files"][0]
    assert [(layer["name"], layer["source"]) for layer in entry["layers"]] == [
        ("thing: base", "here.yml"),
        ("release epoxy", "roles/cloud/vars/main/releases.yml"),
        ("thing: api", "here.yml"),
        ("cloud (group all)", "cloud.yml:3"),
    ]
    assert entry["validate"] == ["thing.release"]


def test_overrides_are_those_of_the_cloud_the_groups_and_the_host():
    def layer(name: str) -> dict:
        return {"name": name, "source": name, "files": {"/etc/thing.conf": {"DEFAULT": {"who": name}}}}

    overrides = {
        "all": [layer("all")],
        "groups": {"weak": [layer("weak")], "strong": [layer("strong")], "other": [layer("other")]},
        "order": {"c2": ["weak", "strong"], "c3": ["other"]},
        "hosts": {"c2": [layer("c2")], "c3": [layer("c3")]},
    }
    entry = make(component(), overrides=overrides)["files"][0]
    assert names_of(entry)[-4:] == ["all", "weak", "strong", "c2"]
    assert layers.merge(entry["layers"])["DEFAULT"]["who"] == ["c2"]


def test_layers_of_another_component_come_before_those_of_the_operator():
    extending = component(
        extends={"/etc/thing.conf": [{"name": "more", "options": {"DEFAULT": {}}}]}, files={"conf": {}}
    )
    extending["catalog"] = {"server": {"packages": ["more"]}}
    override = {"name": "mine", "source": "x", "files": {"/etc/thing.conf": {}}}
    entry = make(extending, component(), overrides={"all": [override]})["files"][0]
    assert names_of(entry)[-2:] == ["more", "mine"]


def test_what_exists_once_is_made_by_the_first_host_of_the_owners_group():
    once = {
        "databases": [{"name": "thing"}],
        "messaging_users": [{"name": "thing"}],
        "schema": [{"name": "thing"}],
        "identity": {"users": [{"name": "thing"}], "services": []},
        "cells": {"api_database_url": "x"},
    }
    plans = {host: make(component(singletons=once), host=host) for host in ("c1", "c2", "c3")}
    for key in once:
        assert [host for host, plan in plans.items() if plan[key]] == ["c1"], key
    assert plans["c1"]["auth"] == {"username": "admin"}
    assert not {"auth", "messaging_host", "database_admin"} & set(plans["c2"])


def test_databases_are_made_where_the_server_is_or_by_the_owner():
    once = {"databases": [{"name": "thing"}], "messaging_users": [{"name": "thing"}]}
    apart = {**GROUPS, "mariadb": ["c3"], "rabbitmq": ["c2"]}
    plans = {host: make(component(singletons=once), host=host, groups=apart) for host in ("c1", "c2", "c3")}
    assert [host for host, plan in plans.items() if plan["databases"]] == ["c3"]
    assert [host for host, plan in plans.items() if plan["messaging_users"]] == ["c2"]
    external = {**GROUPS, "mariadb": [], "rabbitmq": []}
    for host in ("c1", "c2"):
        plan = make(component(singletons=once), host=host, groups=external, database={"external": True})
        assert bool(plan["databases"]) == (host == "c1") == ("database_admin" in plan)
        assert not plan["messaging_users"]


def test_a_component_that_is_not_here_is_not_read():
    class Unread(dict):
        def __getitem__(self, key):
            raise AssertionError(f"{key} was read")

    unread = Unread(services={"nova_controllers": ["server"]})
    unread_of_group = component(services={"mariadb": ["server"]}, catalog=unread)
    assert make(unread_of_group)["components"] == []


def test_a_unit_that_another_service_runs_is_not_stopped():
    rows = {
        "server": {**ROW, "stops": ["other", "third"]},
        "other": {**ROW, "unit": "other", "stops": ["third"]},
    }
    services = {"nova_controllers": ["server"]}
    alone = make(component(catalog=rows, services=services))
    assert [unit["name"] for unit in alone["stopped_units"]] == ["other", "third"]
    both = make(component(catalog=rows, services={"nova_controllers": ["server", "other"]}))
    assert [unit["name"] for unit in both["stopped_units"]] == ["third"]
    assert [unit["name"] for unit in both["api_units"]] == ["thing", "other"]


def test_uwsgi_listens_as_the_cloud_is_reached():
    row = {
        "port": 8000,
        "uwsgi": {"name": "thing-api", "user": "thing", "application": {"module": "x"}, "processes": 2},
    }
    plain = {entry["path"]: entry for entry in make(component(row))["files"]}["/etc/thing/thing-api-uwsgi.ini"]
    assert layers.merge(plain["layers"])["uwsgi"]["http-socket"] == ["10.0.0.2:8000"]
    certificate = {"cert": "/c.pem", "key": "/k.pem"}
    found = make(component(row), scheme="https", certificate=certificate)["files"]
    options = layers.merge({entry["path"]: entry for entry in found}["/etc/thing/thing-api-uwsgi.ini"]["layers"])[
        "uwsgi"
    ]
    assert options["https-socket"] == ["10.0.0.2:8000,/c.pem,/k.pem"]
    assert "http-socket" not in options


def test_a_drop_in_is_written_for_the_stop_time_and_watched_by_the_units_of_its_pattern():
    plan = make(component(drop_in="thing-.service"))
    assert [entry["path"] for entry in plan["files"][:2]] == [
        "/etc/systemd/system/thing-.service.d",
        "/etc/systemd/system/thing-.service.d/nova-ansible.conf",
    ]
    assert plan["api_units"][0]["files"] == ["/etc/thing.conf"]  # `thing` is not thing-...
    plan = make(component({"unit": "thing-api"}, drop_in="thing-.service", package_list="thing"))
    assert plan["api_units"][0]["files"] == [
        "/etc/thing.conf",
        "/etc/systemd/system/thing-.service.d/nova-ansible.conf",
        "/var/lib/dpkg/info/thing.list",
    ]
