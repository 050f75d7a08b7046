# SPDX-License-Identifier: Apache-2.0
"""Bad input in the inventory: named with its value and what to do, before anything changes."""

from __future__ import annotations

import json

import pytest

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
        ["nova_controller_services names frobnicator; the catalogue has api, metadata, conductor, scheduler, "],
    ),
    "cert": (
        {"nova_controller_services": [*SERVICES, "cert"]},
        ["cert is not part of epoxy", "the last release with it was ocata", "410 Gone", "Take it out of"],
    ),
    "consoleauth": (
        {"nova_controller_services": [*SERVICES, "consoleauth"]},
        ["consoleauth is not part of epoxy", "the last release with it was stein", "novncproxy"],
    ),
    "renamed variable": (
        {"nova_virt_type": "qemu"},
        ["nova_virt_type is now nova_hypervisor_virt_type"],
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
        {"nova_config": {"DEFAULT": {"my_ipp": "10.77.0.11"}}},
        [
            "controller1: nova_config: [DEFAULT] my_ipp is unknown to epoxy; the nearest name is my_ip",
            "compute1: nova_",
        ],
    ),
    "option of a release before": (
        {"nova_config": {"upgrade_levels": {"cells": "auto"}, "vnc": {"keymap": "de"}}},
        ["[upgrade_levels] cells is unknown to epoxy", "[vnc] keymap is unknown to epoxy"],
    ),
    "unknown section of Neutron": (
        {"neutron_config": {"oslo_mesaging_rabbit": {"rabbit_ha_queues": True}}},
        ["neutron_config: section [oslo_mesaging_rabbit] is unknown to epoxy", "name is oslo_messaging_rabbit"],
    ),
    "unknown options of the platform": (
        {name: {"DEFAULT": {"debugg": True}} for name in ("keystone_config", "placement_config", "glance_config")},
        [f"{name}_config: [DEFAULT] debugg is unknown to epoxy" for name in ("keystone", "placement", "glance")],
    ),
    "option of another authentication plugin": (
        {"nova_config": {"placement": {"auth_type": "v3token", "username": None, "token_id": "x"}}},
        ["nova_config: [placement] token_id is unknown to epoxy; the nearest name is token"],
    ),
    "too little memory": (
        {"preflight_min_memory_mb": 99999999},
        ["MiB of memory, at least 99999999 MiB wanted"],
    ),
    "too little disk": (
        {"preflight_min_disk_mb": 99999999},
        ["MiB free below /var, at least 99999999 MiB wanted"],
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
    known["_meta"]["hostvars"]["compute1"]["nova_host_config"] = {"libvirt": {"cpu_modell": "x"}}


def mistype_an_interface(known: dict) -> None:
    known["_meta"]["hostvars"]["compute1"]["provider_interface"] = "eth9"


INVENTORIES = {
    lose_a_secret: ["Missing secrets: nova_service_password", "playbooks/secrets.yml"],
    shorten_a_secret: ["nova_service_password: shorter than 16 characters"],
    repeat_a_secret: ["Secrets with the same value: nova_database_password and nova_service_password"],
    empty_a_group: ["keystone has no host", "cloud_external.keystone"],
    have_no_computes: ["nova_computes has no host"],
    share_an_address: ["controller1 and compute1 have the same management_address 10.77.0.11"],
    mistype_an_address: ["management_address 10.77.0.99 is not an address of this host"],
    mistype_an_option_of_one_host: [
        "compute1: nova_host_config: [libvirt] cpu_modell is unknown to epoxy; the nearest name is cpu_mode",
        "take it out",
    ],
    mistype_an_interface: ["provider_interface eth9 does not exist; this host has eth0, eth1, lo"],
}


@pytest.mark.parametrize("edit", INVENTORIES, ids=lambda edit: edit.__name__)
def test_a_bad_inventory_is_refused(edit, refusal, inventory):
    said = refusal(inventory=inventory(edit))
    assert [word for word in INVENTORIES[edit] if word not in said] == [], said[-2000:]
    assert "tooshort" not in said


def test_options_of_the_release_pass_where_nothing_is_installed(playbook, machines):
    assert not any(host.package("python3-nova").is_installed for host in machines.values())
    options = {
        "nova_config": {
            "DEFAULT": {"debug": True, "no_longer_of_interest": None},
            "placement": {"auth_section": "login"},
            "login": {"auth_type": "v3applicationcredential", "application_credential_id": "x"},
            "devices": {"enabled_mdev_types": "nvidia-35"},
            "mdev_nvidia-35": {"device_addresses": "0000:84:00.0"},
            "privsep_osbrick": {"helper_command": "x"},
        },
        "glance_config": {"DEFAULT": {"enabled_backends": "fs:file, fast:rbd"}, "fast": {"rbd_store_pool": "images"}},
    }
    done = playbook("preflight.yml", "--extra-vars", json.dumps(options))
    assert done.rc == 0, done.output[-2000:]


def test_a_time_zone_is_no_difference_of_clocks(playbook):
    done = playbook("preflight.yml", TZ="America/New_York")
    assert done.rc == 0, done.output[-2000:]


def test_every_bad_variable_is_named_at_once(refusal):
    said = refusal("--extra-vars", json.dumps({"nova_api_workers": "many", "nova_config": "text"}))
    assert "nova_api_workers" in said and "nova_config" in said
