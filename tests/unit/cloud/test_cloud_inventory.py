# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an inventory, found without Ansible: each problem is a sentence, and all are found at once."""

from __future__ import annotations

import copy

import project
import pytest
from ansible.module_utils.cloud.inventory import Catalogs, Inventory, inventory_problems
from ansible.module_utils.cloud.model import GROUPS
from ansible.module_utils.cloud.specs import mask, option_errors, secret_paths, secret_texts

NAMES = project.load(project.ROOT / "roles/cloud/vars/main/names.yml")
SECRETS = project.load(project.ROOT / "roles/cloud_secrets/vars/main.yml")["cloud_secrets_names"]
SPECS = {**project.spec("nova"), **project.spec("neutron"), **project.spec("nova_hypervisor"), **project.spec("cloud")}
SERVICES = ["api", "metadata", "conductor", "scheduler", "novncproxy", "compute"]
GONE = {name: row for name, row in project.SERVICES.items() if "removed_after" in row}
CATALOGS = Catalogs(
    specs={name: option for name, option in SPECS.items() if name not in NAMES["cloud_removed_variables"]},
    releases=["zed", "epoxy"],
    services=SERVICES,
    services_gone=GONE,
    secrets=SECRETS,
    secret_min_length=16,
    renamed=NAMES["cloud_renamed_variables"],
    removed=NAMES["cloud_removed_variables"],
)
HIDDEN = "hidden-from-every-message"


def good() -> dict:
    """Return the variables of every host of an inventory without a problem."""
    network = {
        "physical_network": "provider",
        "cidr": "203.0.113.0/24",
        "gateway": "203.0.113.1",
        "allocation_pool": {"start": "203.0.113.100", "end": "203.0.113.200"},
    }
    secrets = {name: f"{HIDDEN}-{name}" for name in SECRETS}
    return {
        **secrets,
        "nova_release": "epoxy",
        "cloud_region": "RegionOne",
        "cloud_external": {},
        "cloud_provider_network": network,
        "nova_controller_services": SERVICES[:-1],
    }


def make(groups: dict | None = None, cloud: dict | None = None, hosts: dict | None = None, **more) -> Inventory:
    """Return an inventory of one controller and two computes; cloud and hosts change variables, ... removes one."""
    members = {**{name: ["controller1"] for name in GROUPS}, "nova_computes": ["compute1", "compute2"]}
    members.update(groups or {})
    variables: dict = {}
    for number, host in enumerate(("controller1", "compute1", "compute2"), 11):
        own = {"management_address": f"10.0.0.{number}", "provider_interface": "eth1"}
        merged = {**good(), **own, **(cloud or {}), **(hosts or {}).get(host, {})}
        variables[host] = {name: value for name, value in merged.items() if value is not ...}
    return Inventory(members, variables, **more)


def problems(*args, **kwargs) -> list[str]:
    """Return what is wrong with an inventory; a secret is in none of the sentences."""
    found = inventory_problems(make(*args, **kwargs), CATALOGS)
    assert HIDDEN not in "".join(found)
    return found


def test_a_good_inventory_has_no_problem():
    assert problems() == []


@pytest.mark.parametrize(
    ("cloud", "sentence"),
    [
        ({"nova_release": "yoda"}, "nova_release is yoda; choose one of zed, epoxy"),
        (
            {"nova_controller_services": ["api", "frobnicator"]},
            "nova_controller_services has frobnicator; choose from api, metadata, conductor, scheduler, "
            "novncproxy, compute",
        ),
        (
            {"nova_controller_services": ["api", "cert"]},
            "cert is not part of epoxy: the last release with it was ocata. Instead: none, Nova no longer has EC2 "
            "certificates, and its API returns 410 Gone. Remove it from nova_controller_services",
        ),
        (
            {"nova_virt_type": None},
            "nova_virt_type is now nova_hypervisor_virt_type (or kvm_preflight_require, the policy)",
        ),
        ({"nova_config": None}, 'nova_config is now config_overrides["/etc/nova/nova.conf"]'),
        ({"cloud_region": ...}, "cloud_region is not set: Name of the region"),
        ({"nova_api_workers": "many"}, "nova_api_workers is many; it must be of type int"),
        ({"nova_hypervisor_type": "abacus"}, "nova_hypervisor_type is abacus; choose one of kvm"),
        (
            {"nova_controller_services": "api,conductor"},
            "nova_controller_services is api,conductor; it must be of type list",
        ),
        (
            {"nova_service_password": "tooshort"},
            "nova_service_password: shorter than 16 characters; delete it from secrets.yml and run ansible-playbook "
            "playbooks/secrets.yml with this inventory",
        ),
        (
            {"nova_service_password": "same" * 5, "nova_database_password": "same" * 5},
            "Secrets with the same value: nova_database_password and nova_service_password; delete all but one from "
            "secrets.yml and run ansible-playbook playbooks/secrets.yml with this inventory",
        ),
        (
            {"nova_service_password": ..., "nova_database_password": ""},
            "Missing secrets: nova_database_password, nova_service_password; run ansible-playbook "
            "playbooks/secrets.yml with this inventory, which writes the missing ones and changes no other",
        ),
    ],
)
def test_a_bad_variable_of_the_cloud_is_named_once(cloud, sentence):
    assert problems(cloud=cloud) == [sentence]


@pytest.mark.parametrize("name", sorted(NAMES["cloud_removed_variables"]))
def test_a_variable_that_is_no_longer_read_is_refused_with_what_to_set(name):
    assert problems(hosts={"compute2": {name: None}}) == [
        f"compute2: {name} is no longer read: {NAMES['cloud_removed_variables'][name]}"
    ]


OLD_NAMES = NAMES["cloud_renamed_variables"]


@pytest.mark.parametrize("name", sorted(name for name in OLD_NAMES if "." not in name))
def test_a_variable_that_was_renamed_is_refused_with_its_new_name(name):
    assert problems(hosts={"compute2": {name: HIDDEN}}) == [f"compute2: {name} is now {OLD_NAMES[name]}"]


def test_a_key_that_was_renamed_is_refused_with_its_new_name_only():
    account = {"address": "n", "port": 5672, "user": "n", "password": HIDDEN, "vhost": "/"}
    neutron = {"url": "http://n:9696", "metadata_secret": HIDDEN}
    where = {"groups": {"neutron": []}}
    assert problems(cloud={"cloud_external": {"neutron": {**neutron, "broker": account}}}, **where) == [
        "cloud_external.neutron.broker is now cloud_external.neutron.messaging"
    ]
    assert problems(cloud={"cloud_external": {"neutron": {**neutron, "messaging": account}}}, **where) == []


def test_a_wiring_that_is_still_there_is_one_problem():
    assert problems(wiring={"/inventory/group_vars/all/wiring.yml": {"nova_broker", "cloud_broker"}}) == [
        "/inventory/group_vars/all/wiring.yml belongs to an earlier version and still defines 2 variables, "
        "cloud_broker among them; remove it from the inventory: the roles compute their values"
    ]


def test_a_sentence_names_the_hosts_that_it_is_about():
    hosts = {"compute1": {"nova_release": "yoda"}, "compute2": {"management_address": ...}}
    assert problems(hosts=hosts) == [
        "compute1: nova_release is yoda; choose one of zed, epoxy",
        "compute2: management_address is not set: Address of a host, on which its services listen and other hosts "
        "reach it",
        "nova_release is not the same on every host: epoxy on controller1 and yoda on compute1; set it once, for the "
        "group all",
    ]


def test_many_hosts_are_counted():
    hosts = {f"c{number}": {} for number in range(9)}
    found = inventory_problems(Inventory({"nova_controllers": ["a"]}, {"a": good(), **hosts}), CATALOGS)
    assert "c0, c1, c2, c3, c4 and 4 more: nova_release is not set" in "\n".join(found)


def test_nova_services_are_checked_where_a_host_has_its_own():
    found = problems(hosts={"compute2": {"nova_controller_services": ["frobnicator"]}})
    assert [sentence.split(";")[0] for sentence in found] == ["compute2: nova_controller_services has frobnicator"]


def test_a_secret_that_differs_between_hosts_is_named_without_its_value():
    assert problems(hosts={"compute1": {"nova_service_password": HIDDEN * 2}}) == [
        "nova_service_password is not the same on every host: controller1 and compute1 differ; set it once, for the "
        "group all"
    ]


@pytest.mark.parametrize("hosts", [[], None], ids=["empty", "left out"])
def test_a_group_without_hosts_is_named_with_what_to_do(hosts):
    inventory = make(groups={"keystone": hosts, "nova_computes": hosts})
    if hosts is None:
        del inventory.groups["keystone"], inventory.groups["nova_computes"]
    assert inventory_problems(inventory, CATALOGS) == [
        "nova_computes has no host; name its hosts in the inventory",
        "keystone has no host; name its hosts in the inventory, or set cloud_external.keystone for your own",
    ]


def test_a_group_may_be_empty_where_cloud_external_has_the_service():
    assert problems(groups={"glance": []}, cloud={"cloud_external": {"glance": {"url": "http://g:9292"}}}) == []


def test_a_service_is_either_ours_or_yours():
    assert problems(cloud={"cloud_external": {"glance": {"url": "http://g:9292"}}}) == [
        "glance has hosts (controller1), but cloud_external.glance is set too; empty the group, or remove it from "
        "cloud_external"
    ]


@pytest.mark.parametrize("group", [name for name in GROUPS if name != "nova_computes"])
def test_a_service_without_high_availability_has_one_host(group):
    assert problems(groups={group: ["controller1", "compute1"]}) == [
        f"{group} has 2 hosts (controller1, compute1); keep one: several would need high availability, which is not "
        "supported yet"
    ]


def test_an_address_belongs_to_one_host():
    assert problems(hosts={"compute1": {"management_address": "10.0.0.11"}}) == [
        "controller1 and compute1 have the same management_address 10.0.0.11; give each host its own"
    ]


def test_the_interface_is_needed_where_an_agent_of_neutron_runs():
    sentence = (
        "provider_interface is not set: an agent of Neutron runs here; name the interface on the provider network"
    )
    assert problems(hosts={"compute1": {"provider_interface": ...}}) == [f"compute1: {sentence}"]
    broker = {"address": "n", "port": 5672, "user": "n", "password": HIDDEN, "vhost": "/"}
    neutron = {"url": "http://n:9696", "metadata_secret": HIDDEN}
    none = {"provider_interface": ...}
    yours = {"groups": {"neutron": []}, "hosts": {"controller1": none, "compute1": none, "compute2": none}}
    assert problems(cloud={"cloud_external": {"neutron": neutron}}, **yours) == []
    assert problems(cloud={"cloud_external": {"neutron": {**neutron, "messaging": broker}}}, **yours) == [
        f"compute1, compute2: {sentence}"
    ]


def test_an_error_of_a_template_is_a_sentence_and_not_a_missing_variable():
    errors = {"compute1": {"management_address": "'vault_x' is undefined"}}
    hosts = {"compute1": {"management_address": ...}}
    assert problems(hosts=hosts, errors=errors) == [
        "compute1: management_address cannot be rendered: 'vault_x' is undefined"
    ]


def test_services_are_not_called_missing_where_cloud_external_could_not_be_rendered():
    errors = {host: {"cloud_external": "'vault_x' is undefined"} for host in ("controller1", "compute1", "compute2")}
    assert problems(groups={"glance": []}, cloud={"cloud_external": ...}, errors=errors) == [
        "cloud_external cannot be rendered: 'vault_x' is undefined"
    ]


MARIADB = {"address": "m", "port": 3306, "admin_user": "root", "admin_password": HIDDEN}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({**MARIADB, "port": HIDDEN}, ["port", "unable to convert to int"]),
        (HIDDEN, ["cloud_external.mariadb is ********; it must be of type dict"]),
        ({**MARIADB, "admin_pass": HIDDEN}, ["mariadb.admin_pass", "Supported parameters include"]),
        ({key: MARIADB[key] for key in MARIADB if key != "port"}, ["missing required arguments: port found in"]),
        ({**MARIADB, "port": {"x": HIDDEN}}, ["port", "unable to convert to int"]),
    ],
)
def test_a_bad_part_of_cloud_external_is_named_without_a_secret(given, words):
    found = problems(groups={"mariadb": []}, cloud={"cloud_external": {"mariadb": given}})
    assert len(found) == 1
    assert [word for word in ["cloud_external", *words] if word not in found[0]] == []


def test_a_value_is_checked_once_for_all_hosts_that_share_it(monkeypatch):
    calls = []
    known = "ansible.module_utils.cloud.inventory.option_errors"
    monkeypatch.setattr(known, lambda name, *_: calls.append(name) or [])
    problems(cloud={"cloud_external": {}})
    assert calls.count("cloud_external") == 1
    assert calls.count("management_address") == 3


def layer(files, name: str = "group rack1") -> dict:
    """Return one layer of config_overrides."""
    return {"name": name, "source": "group_vars/rack1.yml:3", "files": files}


def test_overrides_of_the_right_shape_pass():
    files = {
        "/etc/nova/nova.conf": {"DEFAULT": {"debug": True, "my_ip": None, "x": ["a", "b"]}, "libvirt": None},
        "/etc/memcached.conf": {"-m": 64, "-v": None},
        "/etc/nova/policy.yaml": {"rule": {"deep": {"er": 1}}},
        "/etc/none": None,
    }
    assert problems(layers=[layer(files)]) == []


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ("text", "it must map the absolute path of a file to its options"),
        ({"nova.conf": {}}, "nova.conf is not the absolute path of a file, such as /etc/nova/nova.conf"),
        ({"/etc/x": HIDDEN}, "/etc/x must hold {section: {option: value}}, or {option: value} in a flat file"),
        (
            {"/etc/x": {"DEFAULT": {"debug": {"a": HIDDEN}}}},
            "/etc/x: [DEFAULT] debug holds a dict; give a plain value, or a list of plain values to repeat the option",
        ),
        (
            {"/etc/x": {"DEFAULT": {"debug": [["a"]]}}},
            "/etc/x: [DEFAULT] debug holds a list; give a plain value, or a list of plain values to repeat the option",
        ),
    ],
)
def test_overrides_of_another_shape_are_named_with_their_source(files, sentence):
    twice = [layer(files), copy.deepcopy(layer(files))]
    assert problems(layers=twice) == [f"config_overrides of group rack1 (group_vars/rack1.yml:3): {sentence}"]


def test_everything_is_said_at_once():
    found = problems(
        groups={"keystone": []},
        cloud={"nova_release": "yoda", "nova_config": None, "nova_api_workers": "many", "nova_service_password": "x"},
        hosts={"compute1": {"management_address": "10.0.0.11"}},
        layers=[layer("text")],
    )
    assert len(found) == 7


@pytest.mark.parametrize("value", [None, {"from_host": "cpus", "divide_by": 2}])
def test_a_null_and_a_value_of_the_host_are_not_compared_with_a_type(value):
    assert option_errors("nova_api_workers", {"type": "int"}, value) == []


def test_a_text_is_no_list_and_no_dict_because_roles_take_values_as_they_are():
    option = project.spec("cloud")["cloud_external"]
    assert option_errors("cloud_external", option, {"memcached": {"addresses": "a:1,b:2"}}) == [
        "cloud_external.memcached.addresses is a:1,b:2; it must be of type list"
    ]
    assert option_errors("x", {"type": "dict"}, "a=b") == ["x is a=b; it must be of type dict"]
    assert option_errors("x", {"type": "dict", "no_log": True}, "a=b") == ["x is ********; it must be of type dict"]


def test_a_secret_of_a_wrong_type_is_not_shown():
    option = {"type": "int", "no_log": True}
    assert option_errors("x", option, HIDDEN) == ["x is ********; it must be of type int"]
    assert option_errors("x", {**option, "type": "str", "choices": ["a"]}, HIDDEN) == ["x is ********; choose one of a"]


def test_paths_of_secrets_come_from_the_specs():
    paths = secret_paths(SPECS)
    assert ["cloud_external", "neutron", "messaging", "password"] in paths
    assert ["nova_service_password"] in paths
    assert not any(path[-1] in ("address", "user") for path in paths)


def test_a_secret_in_a_value_of_another_shape_is_hidden():
    option = project.spec("cloud")["cloud_external"]
    given = {"mariadb": {**MARIADB, "extra": "more"}, "keystone": "text", "glance": {"url": "u"}}
    assert secret_texts(option, given) == {HIDDEN, "more", "text"}
    assert mask("it is text or texture", {"text", "texture"}) == "it is ******** or ********"


def test_an_external_account_whose_password_oslo_messaging_cannot_use_is_named_without_it():
    given = {"address": "q", "port": 5672, "user": "u", "password": "a/b-of-theirs", "vhost": "/"}
    (found,) = problems(groups={"rabbitmq": []}, cloud={"cloud_external": {"rabbitmq": given}})
    assert found.startswith("cloud_external.rabbitmq.password has a slash")
    assert "of-theirs" not in found
    fine = {**given, "password": "a%b@c:d#e-of-theirs"}
    assert problems(groups={"rabbitmq": []}, cloud={"cloud_external": {"rabbitmq": fine}}) == []
