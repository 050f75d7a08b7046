# SPDX-License-Identifier: Apache-2.0
"""Modules show no secret, but every change."""

from __future__ import annotations

import pytest
from ansible.module_utils.config import masking


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "admin_password",
        "OS_PASSWORD",
        "metadata_proxy_shared_secret",
        "memcache_secret_key",
        "admin_token",
        "root_token_id",
        "default_pass",
        "fixed_key",
        "key",
        "api-key",
        "wsrep_sst_auth_passwd",
        "secret_key_base",
    ],
)
def test_options_with_the_name_of_a_secret_are_recognized(name):
    assert masking.is_secret_option(name)


@pytest.mark.parametrize(
    "name",
    ["transport_url", "token_cache_time", "key_manager", "key_repository", "monkey", "compass", "rbd_secret_uuid"],
)
def test_other_options_are_not_taken_for_secrets(name):
    assert not masking.is_secret_option(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "mysql+pymysql://nova:s3cret@10.0.0.1/nova?charset=utf8",
            "mysql+pymysql://nova:***@10.0.0.1/nova?charset=utf8",
        ),
        ("rabbit://a:one@h1:5672,b:two@h2:5672/v", "rabbit://a:***@h1:5672,b:***@h2:5672/v"),
        ("mysql://nova:p@ss@10.0.0.1/nova", "mysql://nova:***@10.0.0.1/nova"),
        ("mysql://nova:pa/ss@10.0.0.1/nova", "mysql://nova:***@10.0.0.1/nova"),
        ("redis://:pw@host:6379", "redis://:***@host:6379"),
        ("redis+sentinel://h:1?password=pw&db=0", "redis+sentinel://h:1?password=***&db=0"),
        ("ExecStart=/bin/tool --db-password=pw --verbose", "ExecStart=/bin/tool --db-password=*** --verbose"),
        ("http://10.77.0.11:8774/v2.1", "http://10.77.0.11:8774/v2.1"),
        ("10.77.0.11:11211,10.77.0.12:11211", "10.77.0.11:11211,10.77.0.12:11211"),
    ],
)
def test_only_the_passwords_in_a_text_are_hidden(text, shown):
    assert masking.mask_text(text) == shown


def test_a_named_secret_is_hidden_everywhere_also_encoded_for_a_url():
    text = "ping a/b+c and a%2Fb%2Bc"
    assert masking.mask_text(text, ["a/b+c", ""]) == "ping *** and ***"


def test_a_longer_secret_is_hidden_before_one_that_is_a_part_of_it():
    assert masking.mask_text("abcdef", ["abc", "abcdef"]) == "***"


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("send_service_user_token", "true", "true"),
        ("password", "", ""),
        ("key", "/etc/nova/ssl/private/host.key", "/etc/nova/ssl/private/host.key"),
        ("key", "/9j/4AAQSkZJRgABAQ", "***"),
        ("password", "12345", "***"),
    ],
)
def test_booleans_and_paths_of_key_files_stay_readable(option, value, shown):
    assert masking.mask_value(option, value) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("export OS_PASSWORD='abc def'", "export OS_PASSWORD=***"),
        ('    "password": "abc",', '    "password": ***'),
        ("- token: abc", "- token: ***"),
        ("#old_password = abc", "#old_password = ***"),
        ("default_pass = abc", "default_pass = ***"),
        ("rabbit://u:p@h/", "rabbit://u:***@h/"),
        ("processes = 2", "processes = 2"),
    ],
)
def test_lines_of_every_kind_of_file_are_masked(line, shown):
    assert masking.mask_line(line) == shown


def test_a_changed_secret_shows_as_a_changed_line():
    before, after = masking.mask_texts("a = 1\npassword = old\n", "a = 1\npassword = new\n")
    assert before == "a = 1\npassword = ***\n"
    assert after == "a = 1\npassword = *** (changed)\n"


def test_an_unchanged_secret_next_to_a_change_is_not_marked():
    before, after = masking.mask_texts("password = same\na = 1\n", "password = same\na = 2\n")
    assert (before, after) == ("password = ***\na = 1\n", "password = ***\na = 2\n")


@pytest.mark.parametrize(("new", "marked"), [("NEWKEY", True), ("OLDKEY", False)])
def test_the_body_of_a_private_key_is_hidden(new, marked):
    text = "-----BEGIN RSA PRIVATE KEY-----\n{}\nMORE\n-----END RSA PRIVATE KEY-----\nx\n"
    before, after = masking.mask_texts(text.format("OLDKEY"), text.format(new))
    assert "KEY\nMORE" not in before + after
    assert (before != after) is marked


@pytest.mark.parametrize("written", ['a$b`c"$', 'a$$b`c"$$', "a%24b%60c%22%24", 'a\\$b\\`c\\"\\$', 'a$b`c\\"$'])
def test_a_secret_is_hidden_in_every_form_in_which_a_file_has_it(written):
    assert masking.mask_text(f"x {written} y", ['a$b`c"$']) == "x *** y"


def test_the_longest_form_of_a_secret_is_hidden_first():
    assert masking.mask_text("x ab$$ y", ["ab$"]) == "x *** y"
