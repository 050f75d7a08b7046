# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ's definitions: hashes, differences and what is imported."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.messaging import rabbitmq_definitions

USER = {"name": "openstack", "password": "test12", "vhost": "/", "tags": []}
# the example of RabbitMQ's own manual: password test12, salt 908DC60A
HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def broker(**changes):
    """The definitions of a broker where USER is complete, but for the changes."""
    account = {
        "name": "openstack",
        "password_hash": HASH,
        "hashing_algorithm": rabbitmq_definitions.HASHING,
        "tags": [],
    }
    definitions = {
        "users": [{**account, **changes.pop("account", {})}],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": "openstack", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    }
    return rabbitmq_definitions.read(json.dumps({**definitions, **changes}))


def test_the_hash_is_the_one_of_the_broker():
    assert rabbitmq_definitions.password_hash("test12", bytes.fromhex("908DC60A")) == HASH


def test_two_hashes_of_one_password_differ_and_both_fit():
    first, second = (rabbitmq_definitions.password_hash("x") for _ in range(2))
    assert first != second
    assert rabbitmq_definitions.fits("x", {"password_hash": first})
    assert not rabbitmq_definitions.fits("y", {"password_hash": second})


def test_a_complete_broker_needs_nothing():
    assert rabbitmq_definitions.compare([USER], broker(), True) == ([], [], [])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"users": []}, (["account openstack"], [], [])),
        ({"permissions": []}, (["permissions of openstack on /"], [], [])),
        ({"account": {"password_hash": rabbitmq_definitions.password_hash("old")}}, ([], ["password"], [])),
        ({"account": {"password_hash": ""}}, ([], ["password"], [])),
        ({"account": {"hashing_algorithm": "rabbit_password_hashing_md5"}}, ([], ["password"], [])),
        ({"account": {"tags": "administrator"}}, ([], ["tags"], [])),
        ({"vhosts": []}, (["virtual host /"], [], [])),
    ],
)
def test_each_difference_is_seen_alone(changes, wanted):
    created, updated, removed = rabbitmq_definitions.compare([USER], broker(**changes), True)
    assert (created, [line.split(": ")[1] for line in updated], removed) == wanted


def test_permissions_that_are_too_small_are_replaced():
    small = [{"user": "openstack", "vhost": "/", "configure": "", "write": ".*", "read": ".*"}]
    assert rabbitmq_definitions.compare([USER], broker(permissions=small), True)[0] == ["permissions of openstack on /"]


def test_guest_goes_only_where_it_is_not_wanted():
    with_guest = broker()
    with_guest["users"]["guest"] = {"name": "guest"}
    assert rabbitmq_definitions.compare([USER], with_guest, True)[2] == ["account guest"]
    assert rabbitmq_definitions.compare([USER], with_guest, False)[2] == []


def test_an_account_whose_password_fits_is_imported_with_its_own_hash():
    assert rabbitmq_definitions.wanted([USER], broker())["users"][0]["password_hash"] == HASH


def test_what_is_imported_holds_no_password():
    definitions = json.dumps(rabbitmq_definitions.wanted([USER], rabbitmq_definitions.new_broker()))
    assert "test12" not in definitions
    assert '"configure": ".*"' in definitions


def test_words_before_the_definitions_are_skipped():
    assert rabbitmq_definitions.read('Exporting definitions...\n{"users": []}')["users"] == {}


def test_an_empty_machine_is_predicted(run_module):
    arguments = {"users": [{"name": "openstack", "password": "s3cret-of-broker"}], "port": 0}
    result = run_module("rabbitmq_users", arguments, check=True)
    assert result["changed"]
    assert result["created"] == ["account openstack", "permissions of openstack on /"]
    assert result["removed"] == ["account guest"]
    assert "s3cret" not in str(result)
