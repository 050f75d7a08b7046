# SPDX-License-Identifier: Apache-2.0
"""Database URLs as OpenStack's configuration files hold them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from ansible.module_utils.database import sql_url


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
    ("url", "words"),
    [
        ("sqlite:////var/lib/nova/nova.sqlite", "scheme 'sqlite'"),
        ("mysql+pymysql://nova:hidden@10.0.0.1", "names no database"),
        ("", "scheme ''"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url, words):
    with pytest.raises(ValueError, match=words) as error:
        sql_url.parse(url)
    assert "hidden" not in str(error.value)


def test_the_shown_url_has_no_password():
    assert sql_url.shown("mysql+pymysql://nova:hidden@10.0.0.1:3306/nova?x=1") == (
        "mysql+pymysql://nova@10.0.0.1:3306/nova"
    )


def test_a_password_is_masked_in_each_form_it_can_take():
    assert sql_url.secrets("mysql+pymysql://nova:s%40c/x@h/d".replace("/x", "%2Fx")) == {"s%40c%2Fx", "s@c/x"}
    assert sql_url.secrets("mysql+pymysql://nova@h/d") == set()


@pytest.mark.parametrize(
    ("number", "words"),
    [(2003, "no database server answers"), (1045, "refuses"), (1049, "does not exist"), (1213, "deadlock")],
)
def test_each_error_says_what_to_do(number, words):
    error = Exception(number, "deadlock")
    assert words in sql_url.hint(error, "mysql+pymysql://nova:hidden@h/d")
    assert "hidden" not in sql_url.hint(error, "mysql+pymysql://nova:hidden@h/d")


def test_this_machine_is_told_from_others():
    assert sql_url.is_here("127.0.0.1")
    assert sql_url.is_here("localhost")
    assert not sql_url.is_here("192.0.2.1")
    assert not sql_url.is_here("no-such-host.invalid")


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
