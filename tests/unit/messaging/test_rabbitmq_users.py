# SPDX-License-Identifier: Apache-2.0
"""Users of RabbitMQ: hashes, differences, and the definitions that are imported."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.messaging import rabbitmq_definitions

USER = {"name": "openstack", "password": "test12", "vhost": "/", "tags": []}
# the example of RabbitMQ's manual: password test12, salt 908DC60A
HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def server(**changes):
    """Return the definitions of a server where USER is complete, but for the changes."""
    user = {
        "name": "openstack",
        "password_hash": HASH,
        "hashing_algorithm": rabbitmq_definitions.HASHING,
        "tags": [],
    }
    definitions = {
        "users": [{**user, **changes.pop("user", {})}],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": "openstack", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    }
    return rabbitmq_definitions.read(json.dumps({**definitions, **changes}))


def test_the_hash_is_that_of_rabbitmq():
    assert rabbitmq_definitions.password_hash("test12", bytes.fromhex("908DC60A")) == HASH


def test_two_hashes_of_one_password_differ_and_both_fit():
    first, second = (rabbitmq_definitions.password_hash("x") for _ in range(2))
    assert first != second
    assert rabbitmq_definitions.fits("x", {"password_hash": first})
    assert not rabbitmq_definitions.fits("y", {"password_hash": second})


def test_a_complete_server_needs_nothing():
    assert rabbitmq_definitions.compare([USER], server(), True) == ([], [], [])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"users": []}, (["user openstack"], [], [])),
        ({"permissions": []}, (["permissions of openstack on /"], [], [])),
        ({"user": {"password_hash": rabbitmq_definitions.password_hash("old")}}, ([], ["password"], [])),
        ({"user": {"password_hash": ""}}, ([], ["password"], [])),
        ({"user": {"hashing_algorithm": "rabbit_password_hashing_md5"}}, ([], ["password"], [])),
        ({"user": {"tags": "administrator"}}, ([], ["tags"], [])),
        ({"vhosts": []}, (["virtual host /"], [], [])),
    ],
)
def test_each_difference_is_found_alone(changes, wanted):
    created, updated, removed = rabbitmq_definitions.compare([USER], server(**changes), True)
    assert (created, [line.split(": ")[1] for line in updated], removed) == wanted


def test_permissions_that_are_too_small_are_replaced():
    small = [{"user": "openstack", "vhost": "/", "configure": "", "write": ".*", "read": ".*"}]
    assert rabbitmq_definitions.compare([USER], server(permissions=small), True)[0] == ["permissions of openstack on /"]


def test_guest_is_removed_only_where_it_is_not_wanted():
    with_guest = server()
    with_guest.users["guest"] = {"name": "guest"}
    assert rabbitmq_definitions.compare([USER], with_guest, True)[2] == ["user guest"]
    assert rabbitmq_definitions.compare([USER], with_guest, False)[2] == []


def test_a_user_whose_password_fits_is_imported_with_its_present_hash():
    assert rabbitmq_definitions.wanted([USER], server())["users"][0]["password_hash"] == HASH


def test_the_imported_definitions_have_no_password():
    definitions = json.dumps(rabbitmq_definitions.wanted([USER], rabbitmq_definitions.initial()))
    assert "test12" not in definitions
    assert '"configure": ".*"' in definitions


def test_text_before_the_definitions_is_skipped():
    assert rabbitmq_definitions.read('Exporting definitions...\n{"users": []}').users == {}


def test_an_empty_host_is_predicted(run_module):
    arguments = {"users": [{"name": "openstack", "password": "s3cret-of-rabbitmq"}], "port": 0}
    result = run_module("rabbitmq_users", arguments, check=True)
    assert result["changed"]
    assert result["created"] == ["user openstack", "permissions of openstack on /"]
    assert result["removed"] == ["user guest"]
    assert "s3cret" not in str(result)
