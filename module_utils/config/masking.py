# SPDX-License-Identifier: Apache-2.0
"""Show configuration without its secrets: pure text functions, no I/O.

A changed secret must still show as a change, so the functions that show two sides mark the new one.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Hashable, Iterable
from typing import Callable, TypeVar
from urllib.parse import quote

T = TypeVar("T", bound=Hashable)

MASK = "***"
CHANGED = " (changed)"

_SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret(?!_uuid)|credential|"
    r"(?:^|[_.\- ])(?:pass|pw|pin|token|key)$|(?:api|auth|access|private|encryption|signing)[_.\-]?key|token_id$)",
    re.IGNORECASE,
)
_KEY_FILE = re.compile(r"^/[\w./\-]+\.(?:key|pem|crt|cert|conf|json)$")
_PLAIN = re.compile(r"^(?:true|false|yes|no|on|off|none|)$", re.IGNORECASE)
# user:password@host, also in a comma-separated list of hosts and with a password that holds an unescaped "@"
_URL_PASSWORD = re.compile(r"(://|,)([^:/@,\s]*):(\S*?)@(?=[^@,/?\s]*(?:[,/?\s\"']|$))")
_QUERY_PASSWORD = re.compile(r"([?&](?:password|passwd|secret|token|access_key)=)[^&\s\"']+", re.IGNORECASE)
_ARGUMENT = re.compile(r"(--?[\w\-]*(?:passw(?:or)?d|secret|token)[\w\-]*[= ])\S+", re.IGNORECASE)
_LINE = re.compile(r"^(\s*[#;]?\s*(?:export\s+|-\s+)?[\"']?([\w.\-/]+)[\"']?\s*[:=]\s*)(.*?)(\s*)$")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----\n).*?(\n-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL)


def is_secret_option(name: str) -> bool:
    """Tell by its name whether an option holds a secret."""
    return bool(_SECRET_NAME.search(name))


@functools.lru_cache(maxsize=256)
def forms(secret: str) -> list[str]:
    """Return how a secret is written in a file: as it is, in a URL, for oslo.config, a shell, or as JSON.

    RabbitMQ gets another password where a slash is in it (rabbitmq_password in cloud/urls.py).
    """
    rabbitmq = secret.replace("/", "%2F")
    shell = re.sub(r'(["\\$`])', r"\\\1", secret)
    forms = {
        secret,
        quote(secret, safe=""),
        rabbitmq,
        quote(rabbitmq, safe=""),
        secret.replace("$", "$$"),
        shell,
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
    return sorted(forms, key=len, reverse=True)


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide the given secrets, every password in a URL and those among the arguments of a command."""
    for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
        for form in forms(secret):
            text = text.replace(form, MASK)
    text = _URL_PASSWORD.sub(rf"\1\2:{MASK}@", text)
    return _ARGUMENT.sub(rf"\1{MASK}", _QUERY_PASSWORD.sub(rf"\1{MASK}", text))


def mask_value(option: str, value: str, secrets: Iterable[str] = ()) -> str:
    """Hide the value of an option: all of it when its name is that of a secret, else only the secrets in it."""
    return MASK if _hides(option, value) else mask_text(value, secrets)


def _hides(option: str, value: str) -> bool:
    return is_secret_option(option) and not _PLAIN.match(value) and not _KEY_FILE.match(value)


def mask_line(line: str, secrets: Iterable[str] = ()) -> str:
    """Hide the secrets in one line of any configuration file: `name = value`, `name: value`, `export NAME=value`."""
    found = _LINE.match(line)
    if found and _hides(found.group(2), found.group(3)):
        return mask_text(found.group(1), secrets) + MASK + found.group(4)
    return mask_text(line, secrets)


def mask_changed(before: list[T], after: list[T], show: Callable[[T], str]) -> tuple[list[str], list[str]]:
    """Return both lists shown by show(item); where the masking would hide a change, mark the new side."""
    old, new = [show(item) for item in before], [show(item) for item in after]
    exact = len(before) + len(after) < 1000  # on long texts the shortest difference takes too long to find
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=not exact)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "replace":
            hidden = set(old[old_from:old_to])
            for index in range(new_from, new_to):
                if new[index] in hidden:
                    new[index] += CHANGED
    return old, new


def mask_texts(before: str, after: str, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """Return two versions of a text with their secrets hidden and changed secrets marked."""
    keys_changed = [m.group() for m in _PEM.finditer(before)] != [m.group() for m in _PEM.finditer(after)]
    before = _PEM.sub(rf"\1{MASK}\2", before)
    after = _PEM.sub(rf"\1{MASK}{CHANGED if keys_changed else ''}\2", after)
    old, new = mask_changed(before.splitlines(), after.splitlines(), lambda line: mask_line(line, secrets))
    return "".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new)
