# SPDX-License-Identifier: Apache-2.0
"""Secrets are generated once, in the requested form."""

from __future__ import annotations

import re

import pytest
import secrets_file
import yaml

SPECIAL = "@:/#%+=$?"
NAMES = [f"secret_{number}" for number in range(40)]


def test_secrets_are_letters_and_digits_and_all_different(run_module, tmp_path):
    path = tmp_path / "secrets.yml"
    result = run_module(secrets_file, {"path": str(path), "names": NAMES})
    assert result["added"] == NAMES and result["changed"]
    values = yaml.safe_load(path.read_text())
    assert list(values) == NAMES and len(set(values.values())) == len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", value) for value in values.values())
    assert path.stat().st_mode & 0o777 == 0o600
    assert not run_module(secrets_file, {"path": str(path), "names": NAMES})["changed"]


def test_special_secrets_have_every_special_character_and_are_read_back_unchanged(run_module, tmp_path, monkeypatch):
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
    ("options", "text"),
    [
        ({"length": 15}, "length is 15; a secret has at least 16 characters"),
        ({"special": "a b"}, "special has ' ', 'a', 'b'; give printable ASCII"),
        ({"special": "\n"}, r"special has '\\n'"),
        ({"special": "é"}, "special has 'é'"),
        ({"special": SPECIAL, "length": 16}, "special has 9 characters, more than half of length 16"),
    ],
)
def test_a_form_of_weak_or_invalid_secrets_is_refused(run_module, tmp_path, options, text):
    result = run_module(secrets_file, {"path": str(tmp_path / "s.yml"), "names": NAMES, **options})
    assert result["failed"] and re.search(text, result["msg"])
    assert list(tmp_path.iterdir()) == []


def test_new_secrets_go_next_to_an_encrypted_file_and_a_file_keeps_its_mode(run_module, tmp_path):
    path, neighbor = tmp_path / "secrets.yml", tmp_path / "secrets_2.yml"
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    arguments = {"path": str(path), "names": NAMES[:1]}
    assert run_module(secrets_file, arguments, check=True)["path"] == str(neighbor) and not neighbor.exists()
    assert run_module(secrets_file, arguments)["added"] == NAMES[:1]
    neighbor.chmod(0o640)
    assert run_module(secrets_file, {**arguments, "names": NAMES[:2]})["added"] == ["secret_1"]
    assert neighbor.stat().st_mode & 0o777 == 0o640
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["secrets.yml", "secrets_2.yml"]
    neighbor.write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    assert run_module(secrets_file, arguments)["path"] == str(tmp_path / "secrets_3.yml")
