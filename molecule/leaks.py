# SPDX-License-Identifier: Apache-2.0
"""Find secrets in the output of machines and playbooks, in each form that files and URLs use."""

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
    """Return the names of the secrets in a text."""
    return sorted(name for name, value in secrets.items() if any(form in text for form in forms(value)))


def word_pattern(secrets: dict) -> str:
    """Return an extended regular expression for words that may contain a secret; it contains none itself."""
    written = {character for value in secrets.values() for form in forms(value) for character in form}
    special = sorted(character for character in written if not character.isalnum())
    # Inside brackets, a literal `]` must come first, `^` after it and `-` last.
    order = sorted(special, key=lambda character: (character != "]", character == "^", character == "-"))
    first = "".join(order[:1]) if order[:1] == ["]"] else ""
    return f"[{first}A-Za-z0-9{''.join(order[len(first) :])}]{{{min(map(len, secrets.values()))},}}"


def words_command(secrets: dict) -> str:
    """Return the command that prints each word that may contain a secret; no secret is sent to the machine."""
    grep = "grep --no-messages --no-filename --only-matching --extended-regexp --text"
    return f"{grep} {shlex.quote(word_pattern(secrets))}"
