# SPDX-License-Identifier: Apache-2.0
"""Bad input in the inventory is reported with its value and a remedy, before anything changes."""

from __future__ import annotations

import json
import re

import pytest

NOVA = "/etc/nova/nova.conf"
SERVICES = ["api", "metadata", "conductor", "scheduler", "novncproxy"]
VARIABLES = {
    "unknown release": (
        {"nova_release": "yoda"},
        ["nova_release is yoda; choose one of zed, epoxy"],
    ),
    "release of another suite": (
        {"nova_release": "zed"},
        ["this host is debian trixie, but the release belongs to bookworm"],
    ),
    "unknown component": (
        {"nova_controller_services": [*SERVICES, "frobnicator"]},
        ["nova_controller_services has frobnicator; choose from api, metadata, conductor, scheduler, "],
    ),
    "cert": (
        {"nova_controller_services": [*SERVICES, "cert"]},
        ["cert is not part of epoxy", "the last release with it was ocata", "410 Gone", "Remove it from"],
    ),
    "consoleauth": (
        {"nova_controller_services": [*SERVICES, "consoleauth"]},
        ["consoleauth is not part of epoxy", "the last release with it was stein", "novncproxy"],
    ),
    "renamed variable": (
        {"nova_virt_type": "qemu"},
        ["nova_virt_type is now nova_hypervisor_virt_type"],
    ),
    "variables of options of one file each": (
        {f"{name}_config": {} for name in ("nova", "neutron", "keystone", "glance", "placement", "nova_host")},
        [
            'nova_config is now config_overrides["/etc/nova/nova.conf"]',
            'neutron_config is now config_overrides["/etc/neutron/neutron.conf"]',
            'keystone_config is now config_overrides["/etc/keystone/keystone.conf"]',
            'glance_config is now config_overrides["/etc/glance/glance-api.conf"]',
            'placement_config is now config_overrides["/etc/placement/placement.conf"]',
            'nova_host_config is now config_overrides["/etc/nova/nova.conf"], for the group or the host',
        ],
    ),
    "variables that the roles compute": (
        {"nova_broker": {"address": "x"}, "nova_services": ["api"], "cloud_auth": {}},
        [
            "nova_broker is no longer read: set cloud_external.rabbitmq, or nova_messaging_password",
            "nova_services is no longer read: set nova_controller_services",
            "cloud_auth is no longer read: set cloud_external.keystone (url, admin_user, admin_password)",
        ],
    ),
    "wrong type": (
        {"nova_api_workers": "many"},
        ["nova_api_workers", "many"],
    ),
    "unknown hypervisor": (
        {"nova_hypervisor_type": "abacus"},
        ["nova_hypervisor_type is abacus; choose one of"],
    ),
    "unknown option of Nova": (
        {"config_overrides": {NOVA: {"DEFAULT": {"my_ipp": "10.77.0.11"}}}},
        [
            f"{host}: extra variables, --extra-vars: [DEFAULT] my_ipp is unknown to epoxy; the nearest name is my_ip"
            for host in ("controller1", "compute1")
        ],
    ),
    "option of a release before": (
        {"config_overrides": {NOVA: {"upgrade_levels": {"cells": "auto"}, "vnc": {"keymap": "de"}}}},
        ["[upgrade_levels] cells is unknown to epoxy", "[vnc] keymap is unknown to epoxy"],
    ),
    "unknown section of Neutron": (
        {"config_overrides": {"/etc/neutron/neutron.conf": {"oslo_mesaging_rabbit": {"rabbit_ha_queues": True}}}},
        ["section [oslo_mesaging_rabbit] is unknown to epoxy; the nearest name is oslo_messaging_rabbit"],
    ),
    "unknown options of the platform": (
        {
            "config_overrides": {
                path: {"DEFAULT": {f"debug{letter}": True}}
                for letter, path in (
                    ("k", "/etc/keystone/keystone.conf"),
                    ("p", "/etc/placement/placement.conf"),
                    ("g", "/etc/glance/glance-api.conf"),
                )
            }
        },
        [f"[DEFAULT] debug{letter} is unknown to epoxy; the nearest name is debug" for letter in "kpg"],
    ),
    "option of another authentication plugin": (
        {"config_overrides": {NOVA: {"placement": {"auth_type": "v3token", "username": None, "token_id": "x"}}}},
        ["extra variables, --extra-vars: [placement] token_id is unknown to epoxy; the nearest name is token"],
    ),
    "options of files that no host has": (
        {"config_overrides": {"/etc/nova/nova.cnf": {"DEFAULT": {"debug": True}}, "/etc/x": {"a": 1}}},
        ["config_overrides names /etc/nova/nova.cnf, /etc/x, but no host has such a file; correct the path"],
    ),
    "options of a file that has none": (
        {"config_overrides": {"/etc/nova/api-paste.ini": {"a": {"b": 1}}}},
        ['/etc/nova/api-paste.ini: layer "extra variables" overrides options, but the file is not made of options'],
    ),
    "options of another shape": (
        {"config_overrides": {NOVA: {"libvirt": {"cpu_mode": {"a": "b"}}}, "nova.conf": {}}},
        [
            "config_overrides of extra variables (--extra-vars): /etc/nova/nova.conf: [libvirt] cpu_mode holds a dict",
            "nova.conf is not the absolute path of a file, such as /etc/nova/nova.conf",
        ],
    ),
    "too little memory": (
        {"preflight_min_memory_mb": 99999999},
        ["MiB of memory, at least 99999999 MiB required"],
    ),
    "too little disk": (
        {"preflight_min_disk_mb": 99999999},
        ["MiB free below /var, at least 99999999 MiB required"],
    ),
    "clock": (
        {"preflight_max_clock_skew": 0},
        ["the clock differs from the control node's by", "at most 0 s"],
    ),
    "no hardware, and emulation is not accepted": (
        {"kvm_preflight_require": "hardware"},
        ["kvm_preflight_require is hardware"],
    ),
}


@pytest.mark.parametrize("case", VARIABLES)
def test_a_bad_variable_is_refused(case, refusal, module):
    variables, words = VARIABLES[case]
    if case.startswith("no hardware"):
        found = module("compute1", "kvm_verify", "require=any on_failure=report")["compute1"]
        if found["recommended_virt_type"] == "kvm":
            pytest.skip("KVM works on this computer")
    said = refusal("--extra-vars", json.dumps(variables))
    assert [word for word in words if word not in said] == [], said[-2000:]


def lose_a_secret(known: dict) -> None:
    del known["all"]["vars"]["nova_service_password"]


def shorten_a_secret(known: dict) -> None:
    known["all"]["vars"]["nova_service_password"] = "tooshort"


def repeat_a_secret(known: dict) -> None:
    known["all"]["vars"]["nova_service_password"] = known["all"]["vars"]["nova_database_password"]


def empty_a_group(known: dict) -> None:
    known["keystone"]["hosts"] = []


def have_no_computes(known: dict) -> None:
    known["nova_computes"]["hosts"] = []


def share_an_address(known: dict) -> None:
    hosts = known["_meta"]["hostvars"]
    hosts["compute1"]["management_address"] = hosts["controller1"]["management_address"]


def mistype_an_address(known: dict) -> None:
    known["_meta"]["hostvars"]["compute1"]["management_address"] = "10.77.0.99"


def mistype_an_option_of_one_host(known: dict) -> None:
    options = {NOVA: {"libvirt": {"cpu_modell": "x"}}}
    known["_meta"]["hostvars"]["compute1"]["config_overrides"] = options


def have_three_databases(known: dict) -> None:
    for number in (2, 3):
        name, address = f"database{number}", f"10.77.0.{60 + number}"
        hosts = known["_meta"]["hostvars"]
        hosts[name] = {**hosts["controller1"], "ansible_host": address, "management_address": address}
        known["mariadb"]["hosts"].append(name)
        known["lab"]["hosts"].append(name)


def leave_a_group_out(known: dict) -> None:
    del known["keystone"]


def mistype_an_interface(known: dict) -> None:
    known["_meta"]["hostvars"]["compute1"]["provider_interface"] = "eth9"


INVENTORIES = {
    lose_a_secret: ["Missing secrets: nova_service_password", "playbooks/secrets.yml"],
    shorten_a_secret: ["nova_service_password: shorter than 16 characters"],
    repeat_a_secret: ["Secrets with the same value: nova_database_password and nova_service_password"],
    empty_a_group: ["keystone has no host", "cloud_external.keystone"],
    leave_a_group_out: ["keystone has no host", "cloud_external.keystone"],
    have_no_computes: ["nova_computes has no host"],
    have_three_databases: [
        "mariadb has 3 hosts (controller1, database2, database3); keep one: several would need high availability"
    ],
    share_an_address: ["controller1 and compute1 have the same management_address 10.77.0.11"],
    mistype_an_address: ["management_address 10.77.0.99 is not an address of this host"],
    mistype_an_option_of_one_host: [
        "compute1: host compute1, host compute1: [libvirt] cpu_modell is unknown to epoxy; the nearest name is "
        "cpu_mode",
        "take it out",
    ],
    mistype_an_interface: ["provider_interface eth9 does not exist; this host has eth0, eth1, lo"],
}


@pytest.mark.parametrize("edit", INVENTORIES, ids=lambda edit: edit.__name__)
def test_a_bad_inventory_is_refused(edit, refusal, inventory):
    said = refusal(inventory=inventory(edit))
    assert [word for word in INVENTORIES[edit] if word not in said] == [], said[-2000:]
    assert "tooshort" not in said


def test_a_problem_of_one_host_is_reported_for_that_host_only(refusal, inventory):
    said = refusal(inventory=inventory(mistype_an_option_of_one_host))
    assert "controller1: host" not in said and said.count("cpu_modell") == 1


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("group_vars/all/more.yml", "cloud (group all)"),
        ("group_vars/nova_computes.yml", "group nova_computes"),
        ("host_vars/compute1.yml", "host compute1"),
    ],
)
def test_a_mistyped_option_is_named_with_its_layer_and_its_file(path, layer, refusal, inventory, tmp_path):
    variables = {path: {"config_overrides": {NOVA: {"libvirt": {"cpu_modell": "x"}}}}}
    said = refusal(inventory=inventory(lambda known: None, variables))
    assert f"compute1: {layer}, {tmp_path}/inventory/{path}:1: [libvirt] cpu_modell is unknown to epoxy" in said
    assert ("controller1: cloud" in said) == (layer == "cloud (group all)"), said


def test_wiring_yml_of_an_earlier_version_is_refused(refusal, inventory, tmp_path):
    variables = {"group_vars/all/wiring.yml": {"nova_broker": {}, "cloud_broker": {}, "nova_release": "epoxy"}}
    said = refusal(inventory=inventory(lambda known: None, variables))
    path = f"{tmp_path}/inventory/group_vars/all/wiring.yml"
    assert f"{path} belongs to an earlier version and still defines" in said
    assert "remove it from the inventory" in said


def test_options_of_the_release_are_accepted_on_a_blank_machine(playbook, machines):
    assert not any(host.package("python3-nova").is_installed for host in machines.values())
    options = {
        NOVA: {
            "DEFAULT": {"debug": True, "no_longer_of_interest": None},
            "placement": {"auth_section": "login"},
            "login": {"auth_type": "v3applicationcredential", "application_credential_id": "x"},
            "devices": {"enabled_mdev_types": "nvidia-35"},
            "mdev_nvidia-35": {"device_addresses": "0000:84:00.0"},
            "privsep_osbrick": {"helper_command": "x"},
        },
        "/etc/glance/glance-api.conf": {
            "DEFAULT": {"enabled_backends": "fs:file, fast:rbd"},
            "fast": {"rbd_store_pool": "images"},
        },
    }
    done = playbook("preflight.yml", "--extra-vars", json.dumps({"config_overrides": options}))
    assert done.rc == 0, done.output[-2000:]


def test_a_time_zone_is_not_a_wrong_clock(playbook):
    done = playbook("preflight.yml", TZ="America/New_York")
    assert done.rc == 0, done.output[-2000:]


def test_every_bad_variable_is_in_one_message(refusal):
    bad = {"nova_api_workers": "many", "config_overrides": "text", "nova_broker": {}, "nova_config": {}}
    said = refusal("--extra-vars", json.dumps({**bad, "nova_release": "yoda"}))
    assert "The inventory has 5 problems" in said
    assert [name for name in (*bad, "nova_release") if name not in said] == []
    assert len(re.findall(r"The inventory has", said)) == 1, "in one message"


def test_every_problem_of_every_host_is_in_one_message(refusal):
    unknown, wrong = {"DEFAULT": {"my_ipp": "x"}}, {"a": {"b": 1}}
    options = {NOVA: unknown, "/etc/nova/nova.cnf": wrong, "/etc/nova/api-paste.ini": wrong}
    said = refusal("--extra-vars", json.dumps({"config_overrides": options, "preflight_min_memory_mb": 99999999}))
    for host in ("controller1", "compute1"):
        assert f"{host}: extra variables, --extra-vars: [DEFAULT] my_ipp" in said
        assert re.search(rf"{host}: \d+ MiB of memory, at least 99999999 MiB required", said), said
        assert f"{host}: /etc/nova/api-paste.ini: layer" in said
    assert "config_overrides names /etc/nova/nova.cnf, but no host" in said


def test_a_missing_group_counts_as_empty(playbook, inventory):
    external = {"cloud_external": {"glance": {"url": "http://192.0.2.1:9292"}}}

    def leave_glance_out(known: dict) -> None:
        del known["glance"]
        known["all"]["vars"].update(external)

    variables = {"group_vars/all/more.yml": external}
    done = playbook("preflight.yml", "--diff", inventory=inventory(leave_glance_out, variables))
    assert done.rc == 0, done.output[-2000:]
    assert "glance-api" not in done.output, "no package, file or unit of it is planned"
