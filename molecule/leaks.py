# SPDX-License-Identifier: Apache-2.0
"""Find secrets in what machines and playbooks say, in every form that a file or a URL gives them."""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote

ESCAPES = (("$", "$$"), ("$", "\\$"), ("%", "%%"))  # of oslo.config, of a shell, of Python's ini files


def forms(value: str) -> set:
    """Return a secret as it is, percent-encoded, and with the escapes of the formats that it is written in.

    A slash is %2F already in the passwords of RabbitMQ's accounts.
    """
    rabbitmq = value.replace("/", "%2F")
    encoded = {rabbitmq, quote(rabbitmq, safe=""), *(quote(value, safe=safe) for safe in ("", "/"))}
    lower = {re.sub("%..", lambda code: code[0].lower(), text) for text in encoded}
    return {value, *encoded, *lower, *(value.replace(character, escaped) for character, escaped in ESCAPES)}


def secrets_in(secrets: dict, text: str) -> list:
    """Return the names of the secrets that a text holds."""
    return sorted(name for name, value in secrets.items() if any(form in text for form in forms(value)))


def word_pattern(secrets: dict) -> str:
    """Return the extended regular expression of a word that may hold one of the secrets, and tells none of them."""
    written = {character for value in secrets.values() for form in forms(value) for character in form}
    special = sorted(character for character in written if not character.isalnum())
    # Inside brackets `]` is itself only as the first, `^` only after that and `-` only as the last one.
    order = sorted(special, key=lambda character: (character != "]", character == "^", character == "-"))
    first = "".join(order[:1]) if order[:1] == ["]"] else ""
    return f"[{first}A-Za-z0-9{''.join(order[len(first) :])}]{{{min(map(len, secrets.values()))},}}"


def words_command(secrets: dict) -> str:
    """Return the command that reads every word that may hold a secret, so that no secret travels to the machine."""
    grep = "grep --no-messages --no-filename --only-matching --extended-regexp --text"
    return f"{grep} {shlex.quote(word_pattern(secrets))}"
