# SPDX-License-Identifier: Apache-2.0
"""Secrets are generated once, in the form that was asked for."""

from __future__ import annotations

import re

import pytest
import secrets_file
import yaml

SPECIAL = "@:/#%+=$?"
NAMES = [f"secret_{number}" for number in range(40)]


def test_secrets_are_letters_and_digits_of_which_no_two_are_the_same(run_module, tmp_path):
    path = tmp_path / "secrets.yml"
    result = run_module(secrets_file, {"path": str(path), "names": NAMES})
    assert result["added"] == NAMES and result["changed"]
    values = yaml.safe_load(path.read_text())
    assert list(values) == NAMES and len(set(values.values())) == len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", value) for value in values.values())
    assert path.stat().st_mode & 0o777 == 0o600
    assert not run_module(secrets_file, {"path": str(path), "names": NAMES})["changed"]


def test_special_secrets_have_every_special_character_and_are_read_back_as_they_are(run_module, tmp_path, monkeypatch):
    made, new_secret = {}, secrets_file.new_secret

    def remember(length, special):
        value = new_secret(length, special)
        made[value] = True
        return value

    monkeypatch.setattr(secrets_file, "new_secret", remember)
    path = tmp_path / "secrets.yml"
    run_module(secrets_file, {"path": str(path), "names": NAMES, "special": SPECIAL})
    values = yaml.safe_load(path.read_text())
    assert list(values) == NAMES and list(values.values()) == list(made)
    for value in values.values():
        assert len(value) == 32 and set(SPECIAL) <= set(value)
        assert re.fullmatch(r"[A-Za-z0-9@:/#%+=$?]{32}", value)
        assert len(re.findall("[A-Za-z0-9]", value)) >= 16


@pytest.mark.parametrize("special", ["\"'\\{}`", "!&*-|>,[]#:"])
def test_every_punctuation_survives_yaml(special):
    value = secrets_file.new_secret(32, special)
    assert yaml.safe_load(secrets_file.line("name", value)) == {"name": value}


def test_a_secret_that_is_there_stays(run_module, tmp_path):
    path = tmp_path / "secrets.yml"
    path.write_text("---\nsecret_0: keep\n")
    result = run_module(secrets_file, {"path": str(path), "names": NAMES[:2], "special": SPECIAL})
    assert result["added"] == ["secret_1"]
    assert yaml.safe_load(path.read_text())["secret_0"] == "keep"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 15}, "length is 15; a secret has at least 16 characters"),
        ({"special": "a b"}, "special has ' ', 'a', 'b'; give printable ASCII"),
        ({"special": "\n"}, r"special has '\\n'"),
        ({"special": "é"}, "special has 'é'"),
        ({"special": SPECIAL, "length": 16}, "special has 9 characters, more than half of length 16"),
    ],
)
def test_a_form_that_makes_no_good_secrets_is_refused(run_module, tmp_path, options, said):
    result = run_module(secrets_file, {"path": str(tmp_path / "s.yml"), "names": NAMES, **options})
    assert result["failed"] and re.search(said, result["msg"])
    assert list(tmp_path.iterdir()) == []
