# SPDX-License-Identifier: Apache-2.0
"""Database URLs as OpenStack's configuration files hold them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from ansible.module_utils.database import sql_url
from fake_mariadb import MySQLError, OperationalError, Server


def test_every_part_of_a_url_arrives():
    url = "mysql+pymysql://nova:s%40cr%2Fet@10.0.0.1:3307/nova_api?charset=utf8&ssl_ca=/etc/ssl/ca.pem"
    assert sql_url.parse(url) == {
        "host": "10.0.0.1",
        "port": 3307,
        "user": "nova",
        "password": "s@cr/et",
        "database": "nova_api",
        "charset": "utf8",
        "ssl": {"ca": "/etc/ssl/ca.pem"},
    }


def test_an_address_of_version_6_loses_its_brackets_and_the_port_has_a_default():
    found = sql_url.parse("mysql+pymysql://nova:x@[fd00::1]/nova")
    assert (found["host"], found["port"]) == ("fd00::1", 3306)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("sqlite:////var/lib/nova/nova.sqlite", "scheme 'sqlite'"),
        ("mysql+pymysql://nova:hidden@10.0.0.1", "names no database"),
        ("", "scheme ''"),
        ("mysql+pymysql://nova:hidden/x@10.0.0.1/nova", "no valid host and port"),
        ("mysql+pymysql://nova:[hidden@10.0.0.1/nova", "no valid host and port"),
    ],
)
def test_the_error_of_an_invalid_url_does_not_show_its_password(url, text):
    with pytest.raises(sql_url.InvalidUrl, match=text) as error:
        sql_url.parse(url)
    assert "hidden" not in str(error.value)


def test_the_shown_url_has_no_password():
    assert sql_url.shown("mysql+pymysql://nova:hidden@10.0.0.1:3306/nova?x=1") == (
        "mysql+pymysql://nova@10.0.0.1:3306/nova"
    )


def test_a_password_has_each_form_that_must_be_masked():
    assert sql_url.secrets("mysql+pymysql://nova:s%40c/x@h/d".replace("/x", "%2Fx")) == {"s%40c%2Fx", "s@c/x"}
    assert sql_url.secrets("mysql+pymysql://nova@h/d") == set()


@pytest.mark.parametrize(
    ("number", "text"),
    [(2003, "no database server answers"), (1045, "refuses"), (1049, "does not exist"), (1213, "deadlock")],
)
def test_each_error_says_what_to_do(number, text):
    error = Exception(number, "deadlock")
    assert text in sql_url.failure(error, "mysql+pymysql://nova:hidden@h/d")
    assert "hidden" not in sql_url.failure(error, "mysql+pymysql://nova:hidden@h/d")


def test_this_host_is_recognized():
    assert sql_url.is_local("127.0.0.1")
    assert sql_url.is_local("localhost")
    assert not sql_url.is_local("192.0.2.1")
    assert not sql_url.is_local("no-such-host.invalid")


def test_the_shown_url_keeps_the_brackets_of_an_address_of_version_6():
    assert (
        sql_url.shown("mysql+pymysql://nova:hidden@[fd00::1]:3306/nova") == "mysql+pymysql://nova@[fd00::1]:3306/nova"
    )


@pytest.mark.parametrize("password", ["@:/#%+=$?", "a b", "\"quoted'", "%41", "[x]", "a,b;c", "é€"])
def test_each_special_character_of_a_quoted_password_arrives(password):
    url = f"mysql+pymysql://nova:{quote(password, safe='')}@[fd00::1]:3307/nova"
    found = sql_url.parse(url)
    assert (found["password"], found["host"], found["port"]) == (password, "fd00::1", 3307)
    assert password in sql_url.secrets(url)


URL = "mysql+pymysql://nova:hidden@127.0.0.1/nova"


@pytest.fixture
def server(monkeypatch):
    """Return a server with an empty database."""
    stand_in = Server()
    stand_in.install(monkeypatch)
    return stand_in


def test_a_query_returns_rows_and_none_without_its_table(server):
    assert sql_url.query(URL, "SELECT version_num FROM alembic_version") == ()
    server.recorded = {"a"}
    assert sql_url.query(URL, "SELECT version_num FROM alembic_version") == [("a",)]


def test_a_query_that_fails_is_quoted_without_the_password(server):
    server.errors["SELECT"] = MySQLError(1064, "syntax")
    with pytest.raises(sql_url.DatabaseError, match="the query 'SELECT 1' failed: .*syntax") as error:
        sql_url.query(URL, "SELECT 1")
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("as_root", "host", "logins"),
    [
        (True, "127.0.0.1", ["nova", "root"]),
        (True, "192.0.2.1", ["nova"]),
        (False, "127.0.0.1", ["nova"]),
    ],
)
def test_root_reads_instead_of_a_refused_account_only_where_wanted_and_local(server, as_root, host, logins):
    server.refuse, server.recorded = OperationalError(1045, "no"), {"a"}
    url = URL.replace("127.0.0.1", host)
    if logins[-1] == "root":
        assert sql_url.query(url, "SELECT version_num", as_root=as_root) == [("a",)]
    else:
        with pytest.raises(sql_url.DatabaseError, match="refuses"):
            sql_url.query(url, "SELECT version_num", as_root=as_root)
    assert server.logins == logins


def test_a_server_that_does_not_answer_is_not_asked_as_root(server):
    server.refuse = OperationalError(2003, "connection refused")
    with pytest.raises(sql_url.DatabaseError, match="no database server answers"):
        sql_url.query(URL, "SELECT 1", as_root=True)
    assert server.logins == ["nova"]
