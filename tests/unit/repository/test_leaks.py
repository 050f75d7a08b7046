# SPDX-License-Identifier: Apache-2.0
"""The search for secrets: it finds every spelling of a secret, and its command has none in it."""

from __future__ import annotations

import configparser
import json
import shlex
import subprocess
from urllib.parse import quote

import leaks
import pytest

PLAIN = {"a_password": "aB3" * 11, "b_password": "cD4" * 11}
SPECIAL = {"a_password": "Zq7@:/#%+=$?" * 3, "b_password": "?$=+%#/:@x8Y" * 3}


def ini_escaped(value: str) -> str:
    parser = configparser.ConfigParser()
    parser["a"] = {"b": value.replace("%", "%%")}
    return parser.get("a", "b", raw=True)


FORMS = {
    "as it is": str,
    "in JSON": json.dumps,
    "in a shell's quotes": shlex.quote,
    "between other characters of URLs": lambda value: f"http://x:{value}@y/",
    "percent-encoded": lambda value: quote(value, safe=""),
    "percent-encoded but for slashes": quote,
    "percent-encoded in lower case": lambda value: (
        quote(value, safe="")
        .replace("%3A", "%3a")
        .replace("%2F", "%2f")
        .replace("%2B", "%2b")
        .replace("%3D", "%3d")
        .replace("%3F", "%3f")
    ),
    "as oslo.config reads it": lambda value: value.replace("$", "$$"),
    "in a shell's double quotes": lambda value: value.replace("$", "\\$"),
    "as Python's ini files read it": ini_escaped,
}


@pytest.mark.parametrize("secrets", [PLAIN, SPECIAL], ids=["plain", "special"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(secrets, form, tmp_path):
    (tmp_path / "file").write_text(f"password = '{FORMS[form](secrets['a_password'])}'  # and more\n")
    command = f"{leaks.words_command(secrets)} --recursive {tmp_path}"
    found = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert leaks.secrets_in(secrets, found) == ["a_password"]


@pytest.mark.parametrize("secrets", [PLAIN, SPECIAL], ids=["plain", "special"])
def test_other_words_are_no_secrets(secrets):
    assert leaks.secrets_in(secrets, secrets["a_password"][:-1] + " " + secrets["b_password"][1:]) == []


@pytest.mark.parametrize("secrets", [PLAIN, SPECIAL], ids=["plain", "special"])
def test_the_command_of_the_search_has_no_secret_in_it(secrets):
    command = leaks.words_command(secrets)
    parts = [value[start : start + 6] for value in secrets.values() for start in range(len(value) - 5)]
    assert [part for part in parts if part in command] == []


def test_plain_secrets_are_searched_for_among_letters_and_digits_only():
    assert leaks.word_pattern(PLAIN) == "[A-Za-z0-9]{33,}"


def test_a_hyphen_does_not_make_a_range_of_its_neighbors():
    assert leaks.word_pattern({"a": "abcdefg+-/h"}) == "[A-Za-z0-9%+/-]{11,}"


@pytest.mark.parametrize("characters", ["]^-", "^", "-]", "\\]", "-^"])
def test_every_character_is_literal_between_brackets(characters, tmp_path):
    secrets = {"a": f"abc{characters}def{characters}ghi"}
    (tmp_path / "file").write_text(f"{secrets['a']}\n")
    command = f"{leaks.words_command(secrets)} {tmp_path}/file"
    found = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert found.strip() == secrets["a"]
