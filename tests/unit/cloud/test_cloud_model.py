# SPDX-License-Identifier: Apache-2.0
"""The model of a cloud, built without Ansible."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.cloud.model import GROUPS, PLATFORM, PORTS, cloud_model

RELEASE = {"name": "epoxy", "suite": "trixie"}
SECRET = "never-in-the-model"
EXTERNAL = {
    "mariadb": {"address": "192.0.2.5", "port": "3307", "admin_user": "root", "admin_password": SECRET},
    "rabbitmq": {"address": "192.0.2.6", "port": 5673, "user": "cloud", "password": SECRET, "vhost": "/cloud"},
    "memcached": {"addresses": ["192.0.2.7:11211", "[fd00::7]:11211"]},
    "keystone": {"url": "https://keystone.example/identity/", "admin_user": "root", "admin_password": SECRET},
    "placement": {"url": "http://192.0.2.8:8778"},
    "glance": {"url": "http://192.0.2.8:9292"},
    "neutron": {
        "url": "http://192.0.2.8:9696",
        "metadata_secret": SECRET,
        "messaging": {"address": "fd00::9", "port": 5672, "user": "net", "password": SECRET, "vhost": "/"},
    },
}


def make(groups: dict, addresses: dict, **more) -> dict:
    """Return the model of a cloud in RegionOne."""
    return cloud_model(release=RELEASE, region="RegionOne", groups=groups, addresses=addresses, **more)


def one_controller(address: str = "10.0.0.1") -> dict:
    """Return the model of one controller with everything, and one compute."""
    groups = {**{name: ["controller1"] for name in GROUPS}, "nova_computes": ["compute1"]}
    return make(groups, {"controller1": address, "compute1": "10.0.0.2"})


def public(cloud: dict) -> dict:
    """Return the public endpoints, which all interfaces share."""
    assert all(len(set(urls.values())) == 1 and len(urls) == 3 for urls in cloud["endpoints"].values())
    return {name: urls["public"] for name, urls in cloud["endpoints"].items()}


def test_one_controller():
    cloud = one_controller()
    assert public(cloud) == {
        "identity": "http://10.0.0.1:5000",
        "placement": "http://10.0.0.1:8778",
        "image": "http://10.0.0.1:9292",
        "network": "http://10.0.0.1:9696",
        "compute": "http://10.0.0.1:8774/v2.1",
    }
    del cloud["endpoints"], cloud["ports"]
    queue = {"hosts": [{"host": "10.0.0.1", "port": 5672}], "vhost": "/", "external": False, "account": []}
    assert cloud == {
        "release": RELEASE,
        "region": "RegionOne",
        "groups": {**{name: ["controller1"] for name in GROUPS}, "nova_computes": ["compute1"]},
        "scheme": "http",
        "ca_file": None,
        "certificate": None,
        "api_address": "10.0.0.1",
        "metadata": {"host": "10.0.0.1", "port": 8775, "scheme": "http"},
        "novncproxy_url": "http://10.0.0.1:6080/vnc_lite.html",
        "database": {"host": "10.0.0.1", "port": 3306, "external": False},
        "messaging": {"nova": {**queue, "user": "nova"}, "neutron": {**queue, "user": "neutron"}},
        "memcached": {"servers": ["10.0.0.1:11211"]},
        "external": [],
        "endpoint_overrides": {"placement": None, "glance": None, "neutron": None},
        "nova_services": [],
        "secret_paths": [],
        "overrides": {"all": [], "groups": {}, "hosts": {}, "order": {}},
    }


def test_all_in_one():
    cloud = make({name: ["all"] for name in GROUPS}, {"all": "10.0.0.1"})
    assert cloud["groups"] == {name: ["all"] for name in GROUPS}
    assert public(cloud) == public(one_controller())


def test_each_service_is_reached_at_the_first_host_of_its_own_group():
    places = {name: f"10.0.1.{number}" for number, name in enumerate(GROUPS)}
    cloud = make({name: [name] for name in GROUPS}, places)
    assert public(cloud) == {
        "identity": f"http://{places['keystone']}:5000",
        "placement": f"http://{places['placement']}:8778",
        "image": f"http://{places['glance']}:9292",
        "network": f"http://{places['neutron']}:9696",
        "compute": f"http://{places['nova_controllers']}:8774/v2.1",
    }
    assert cloud["database"]["host"] == places["mariadb"]
    assert cloud["messaging"]["nova"]["hosts"] == [{"host": places["rabbitmq"], "port": 5672}]
    assert cloud["memcached"]["servers"] == [f"{places['memcached']}:11211"]
    assert cloud["api_address"] == cloud["metadata"]["host"] == places["nova_controllers"]


@pytest.mark.parametrize("empty", [{}, {name: [] for name in PLATFORM}], ids=["groups left out", "groups empty"])
def test_an_external_platform(empty):
    groups = {"nova_controllers": ["cloud-a"], "nova_computes": ["hv1"], **empty}
    cloud = make(groups, {"cloud-a": "10.0.0.1", "hv1": "10.0.0.2"}, external=EXTERNAL)
    assert public(cloud) == {
        "identity": "https://keystone.example/identity",
        "placement": "http://192.0.2.8:8778",
        "image": "http://192.0.2.8:9292",
        "network": "http://192.0.2.8:9696",
        "compute": "http://10.0.0.1:8774/v2.1",
    }
    assert cloud["groups"] == {
        **{name: [] for name in GROUPS},
        "nova_controllers": ["cloud-a"],
        "nova_computes": ["hv1"],
    }
    assert cloud["external"] == list(PLATFORM)
    assert cloud["database"] == {"host": "192.0.2.5", "port": 3307, "external": True}
    assert cloud["messaging"]["nova"] == {
        "hosts": [{"host": "192.0.2.6", "port": 5673}],
        "vhost": "/cloud",
        "user": "cloud",
        "external": True,
        "account": ["rabbitmq"],
    }
    assert cloud["messaging"]["neutron"]["account"] == ["neutron", "messaging"]
    assert cloud["messaging"]["neutron"]["hosts"] == [{"host": "fd00::9", "port": 5672}]
    assert cloud["memcached"]["servers"] == ["192.0.2.7:11211", "inet6:[fd00::7]:11211"]
    assert cloud["endpoint_overrides"] == {name: EXTERNAL[name]["url"] for name in ("placement", "glance", "neutron")}
    assert SECRET not in json.dumps(cloud)


def test_an_external_neutron_has_no_message_queue_unless_one_is_set():
    groups = {name: ["one"] for name in GROUPS if name != "neutron"}
    cloud = make(groups, {"one": "10.0.0.1"}, external={"neutron": {"url": "http://n:9696", "metadata_secret": SECRET}})
    assert cloud["messaging"]["neutron"] is None
    assert cloud["messaging"]["nova"]["external"] is False


def test_a_deployed_neutron_uses_the_external_message_queue():
    groups = {name: ["one"] for name in GROUPS if name != "rabbitmq"}
    cloud = make(groups, {"one": "10.0.0.1"}, external={"rabbitmq": EXTERNAL["rabbitmq"]})
    assert cloud["messaging"]["neutron"] == cloud["messaging"]["nova"]
    assert cloud["messaging"]["neutron"]["user"] == "cloud"


def test_a_group_with_hosts_is_deployed_even_if_cloud_external_has_the_service():
    cloud = make({name: ["one"] for name in GROUPS}, {"one": "10.0.0.1"}, external=EXTERNAL)
    assert cloud["external"] == []
    assert public(cloud) == public(one_controller())


def test_ipv6_addresses_have_brackets_in_urls_only():
    cloud = one_controller("fd00::1")
    assert public(cloud)["compute"] == "http://[fd00::1]:8774/v2.1"
    assert cloud["novncproxy_url"] == "http://[fd00::1]:6080/vnc_lite.html"
    assert cloud["memcached"]["servers"] == ["inet6:[fd00::1]:11211"]
    assert cloud["database"]["host"] == cloud["api_address"] == cloud["metadata"]["host"] == "fd00::1"


def test_three_controllers_with_tls_at_one_client_address():
    controllers = ["c1", "c2", "c3"]
    groups = {**{name: controllers for name in GROUPS}, "nova_computes": ["hv1"]}
    addresses = {"c1": "10.0.0.1", "c2": "10.0.0.2", "c3": "10.0.0.3", "hv1": "10.0.0.9"}
    cloud = make(groups, addresses, api_address="cloud.example", tls={"ca_file": "/etc/ssl/ca.pem"})
    assert public(cloud) == {
        "identity": "https://cloud.example:5000",
        "placement": "https://cloud.example:8778",
        "image": "https://cloud.example:9292",
        "network": "https://cloud.example:9696",
        "compute": "https://cloud.example:8774/v2.1",
    }
    assert (cloud["scheme"], cloud["ca_file"]) == ("https", "/etc/ssl/ca.pem")
    assert cloud["api_address"] == cloud["database"]["host"] == "cloud.example"
    assert cloud["metadata"] == {"host": "cloud.example", "port": 8775, "scheme": "https"}
    assert cloud["novncproxy_url"] == "https://cloud.example:6080/vnc_lite.html"
    hosts = [{"host": addresses[name], "port": 5672} for name in controllers]
    assert cloud["messaging"]["nova"]["hosts"] == cloud["messaging"]["neutron"]["hosts"] == hosts
    assert cloud["memcached"]["servers"] == [f"{addresses[name]}:11211" for name in controllers]


def test_no_two_services_have_the_same_port():
    assert len(set(PORTS.values())) == len(PORTS)
