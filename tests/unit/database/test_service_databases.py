# SPDX-License-Identifier: Apache-2.0
"""Which databases, accounts and rights are missing, told from what a server shows."""

from __future__ import annotations

import pytest
from ansible.module_utils.database import database_accounts

GLANCE = {"name": "glance", "user": "glance", "password": "s3cret-of-glance", "hosts": ["%"]}
WHO = ("glance", "%")


def state(**changes):
    """A server where GLANCE is complete, but for the changes."""
    complete = {
        "databases": {"mysql", "glance"},
        "accounts": {WHO: database_accounts.native_hash("s3cret-of-glance")},
        "rights": {(WHO, "glance")},
    }
    return {**complete, **changes}


def test_the_hash_is_the_one_of_the_server():
    # SELECT PASSWORD('mypass') of MariaDB
    assert database_accounts.native_hash("mypass") == "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


def test_a_complete_server_needs_nothing():
    assert database_accounts.missing([GLANCE], state()) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"databases": {"mysql"}}, "database"),
        ({"accounts": {}}, "account"),
        ({"accounts": {WHO: database_accounts.native_hash("the one before")}}, "password"),
        ({"accounts": {WHO: "unix_socket"}}, "password"),
        ({"rights": set()}, "rights"),
    ],
)
def test_each_lack_is_seen_alone(changes, kind):
    assert [entry[0] for entry in database_accounts.missing([GLANCE], state(**changes))] == [kind]


def test_an_account_of_several_databases_is_made_once_and_before_its_rights():
    databases = [{**GLANCE, "name": name, "hosts": ["%", "localhost"]} for name in ("nova", "nova_api")]
    kinds = [kind for kind, _subject in database_accounts.missing(databases, database_accounts.nothing())]
    assert kinds == ["database"] * 2 + ["account"] * 2 + ["rights"] * 4


def test_a_name_in_a_grant_matches_itself_alone():
    assert database_accounts.pattern("nova_api") == "nova\\_api"


def test_two_passwords_for_one_account_are_an_error(run_module):
    databases = [GLANCE, {**GLANCE, "name": "other", "password": "another-s3cret"}]
    result = run_module("service_databases", {"databases": databases})
    assert result["failed"]
    assert "account glance@% has two different passwords" in result["msg"]
    assert "s3cret" not in str(result)


def test_a_name_that_would_break_out_of_a_statement_is_an_error(run_module):
    result = run_module("service_databases", {"databases": [{**GLANCE, "name": "a`; DROP DATABASE mysql"}]})
    assert result["failed"]
    assert "database name" in result["msg"]


def test_an_empty_machine_is_predicted_and_its_passwords_are_hidden(run_module, tmp_path):
    arguments = {"databases": [GLANCE], "login_socket": str(tmp_path / "no.sock")}
    result = run_module("service_databases", arguments, check=True)
    assert result["changed"]
    assert result["created"] == ["database glance", "account glance@%", "rights of glance@% on glance"]
    assert "database glance: absent" in result["diff"]["before"]
    assert "s3cret" not in str(result)


def test_a_run_without_a_server_says_what_to_install(run_module, tmp_path):
    result = run_module("service_databases", {"databases": [GLANCE], "login_socket": str(tmp_path / "no.sock")})
    assert result["failed"]
    assert "python3-pymysql" in result["msg"] or "Install and start mariadb-server" in result["msg"]
