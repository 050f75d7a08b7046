# SPDX-License-Identifier: Apache-2.0
"""The databases, accounts and rights that a server lacks."""

from __future__ import annotations

import types

import pytest
from ansible.module_utils.database import database_accounts
from ansible.module_utils.database.database_accounts import Account, Right, State
from ansible.module_utils.stages import service_databases

GLANCE = {"name": "glance", "user": "glance", "password": "s3cret-of-glance", "hosts": ["%"]}
WHO = Account("glance", "%")


def state(**changes):
    """Return the state of a server where GLANCE is complete, but for the changes."""
    complete = {
        "databases": {"mysql", "glance"},
        "accounts": {WHO: database_accounts.native_hash("s3cret-of-glance")},
        "rights": {Right(WHO, "glance")},
    }
    return State(**{**complete, **changes})


def test_the_hash_is_the_one_of_the_server():
    # SELECT PASSWORD('mypass') of MariaDB
    assert database_accounts.native_hash("mypass") == "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


def test_a_complete_server_needs_nothing():
    missing = database_accounts.missing([GLANCE], state())
    assert missing.created == missing.updated == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"databases": {"mysql"}}, "databases"),
        ({"accounts": {}}, "accounts"),
        ({"accounts": {WHO: database_accounts.native_hash("the one before")}}, "passwords"),
        ({"accounts": {WHO: "unix_socket"}}, "passwords"),
        ({"rights": set()}, "rights"),
    ],
)
def test_each_difference_is_found_alone(changes, kind):
    missing = vars(database_accounts.missing([GLANCE], state(**changes)))
    assert [name for name, entries in missing.items() if entries] == [kind]


def test_an_account_of_several_databases_is_created_once_and_before_its_rights():
    databases = [{**GLANCE, "name": name, "hosts": ["%", "localhost"]} for name in ("nova", "nova_api")]
    kinds = [line.split()[0] for line in database_accounts.missing(databases, State()).created]
    assert kinds == ["database"] * 2 + ["account"] * 2 + ["rights"] * 4


def test_a_name_in_a_grant_matches_only_itself():
    assert database_accounts.pattern("nova_api") == "nova\\_api"


def test_two_passwords_for_one_account_are_an_error(run_module):
    databases = [GLANCE, {**GLANCE, "name": "other", "password": "another-s3cret"}]
    result = run_module("service_databases", {"databases": databases})
    assert result["failed"]
    assert "account glance@% has two different passwords" in result["msg"]
    assert "s3cret" not in str(result)


def test_a_name_that_would_escape_from_a_statement_is_an_error(run_module):
    result = run_module("service_databases", {"databases": [{**GLANCE, "name": "a`; DROP DATABASE mysql"}]})
    assert result["failed"]
    assert "database name" in result["msg"]


def test_an_empty_host_is_predicted_and_its_passwords_are_hidden(run_module, tmp_path):
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


class MySQLError(Exception):
    """As in PyMySQL."""


class Connection:
    """A connection to a server with the account of glance, that keeps the statements of its cursor."""

    def __init__(self):
        self.rows, self.statements, self.error = {}, [], None
        self.rows["information_schema"] = [{"name": "mysql"}]
        self.rows["mysql.user"] = [
            {"User": "glance", "Host": "%", "plugin": "", "authentication_string": database_accounts.native_hash("old")}
        ]
        self.rows["mysql.db"] = []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def cursor(self):
        return self

    def execute(self, text, params=None):
        if not text.startswith("SELECT"):
            if self.error:
                raise self.error
            self.statements.append((text, params))
        self.found = next((rows for table, rows in self.rows.items() if table in text), [])

    def fetchall(self):
        return self.found


@pytest.fixture
def server(monkeypatch):
    """Return a connection to a stand-in for the server; its attribute `refusal` is raised by a login."""
    connection = Connection()
    connection.refusal = None

    def connect(**_options):
        if connection.refusal:
            raise connection.refusal
        return connection

    err = types.SimpleNamespace(MySQLError=MySQLError, OperationalError=MySQLError)
    cursors = types.SimpleNamespace(DictCursor=None)
    monkeypatch.setattr(service_databases, "pymysql", types.SimpleNamespace(connect=connect, err=err, cursors=cursors))
    return connection


def test_a_server_gets_what_it_lacks_in_order(run_module, server):
    databases = [{**GLANCE, "hosts": ["%", "localhost"]}]
    assert run_module("service_databases", {"databases": databases}, check=True)["changed"] and not server.statements
    result = run_module("service_databases", {"databases": databases})
    assert result["updated"] == ["account glance@%"] and "s3cret" not in str(result)
    password = "s3cret-of-glance"
    assert server.statements == [
        ("CREATE DATABASE IF NOT EXISTS `glance` CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci", None),
        ("CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", ("glance", "localhost", password)),
        ("ALTER USER %s@%s IDENTIFIED BY %s", ("glance", "%", password)),
        ("GRANT ALL PRIVILEGES ON `glance`.* TO %s@%s", ("glance", "%")),
        ("GRANT ALL PRIVILEGES ON `glance`.* TO %s@%s", ("glance", "localhost")),
    ]


@pytest.mark.parametrize(("privilege", "created"), [("Y", []), ("N", ["rights of glance@% on glance"])])
def test_rights_count_only_when_all_are_there(run_module, server, privilege, created):
    server.rows["information_schema"].append({"name": "glance"})
    right = {"User": "glance", "Host": "%", "Db": "glance", "Select_priv": "Y", "Drop_priv": privilege}
    server.rows["mysql.db"] = [{**right, "Grant_priv": "N"}]
    assert run_module("service_databases", {"databases": [GLANCE]}, check=True)["created"] == created


@pytest.mark.parametrize("check", [True, False])
def test_a_refused_login_is_an_error_in_check_mode_too(run_module, server, check):
    server.refusal = MySQLError(1698, "Access denied")
    result = run_module("service_databases", {"databases": [GLANCE]}, check=check)
    assert result["failed"] and "refuses 'root': Access denied" in result["msg"]


def test_a_rejected_statement_is_an_error(run_module, server):
    server.error = MySQLError(1044, "Access denied")
    result = run_module("service_databases", {"databases": [GLANCE], "login_user": "operator"})
    assert "rejected a statement: Access denied. Check that 'operator' may create databases" in result["msg"]
