# SPDX-License-Identifier: Apache-2.0
"""Compare RabbitMQ's definitions with the wanted users, and hash passwords as it does. No I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

HASHING = "rabbit_password_hashing_sha256"
ALL = {"configure": ".*", "write": ".*", "read": ".*"}


class User(TypedDict):
    """A wanted user, with all permissions on a virtual host."""

    name: str
    password: str
    vhost: str
    tags: list[str]


class Definitions(NamedTuple):
    """The definitions of a RabbitMQ server.

    users: users by name, as RabbitMQ exports them.
    permissions: patterns by user and virtual host.
    """

    users: dict[str, dict[str, Any]]
    vhosts: set[str]
    permissions: dict[tuple[str, str], dict[str, str]]


class Differences(NamedTuple):
    """What differs, as lines to read."""

    created: list[str]
    updated: list[str]
    removed: list[str]


def password_hash(password: str, salt: bytes | None = None) -> str:
    """Return a password as RabbitMQ stores it: base64 of the salt and of the SHA-256 of salt and password."""
    salt = os.urandom(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def fits(password: str, user: dict[str, Any]) -> bool:
    """Return whether an exported user has this password."""
    if user.get("hashing_algorithm", HASHING) != HASHING or not user.get("password_hash"):
        return False
    stored: str = user["password_hash"]
    return password_hash(password, base64.b64decode(stored)[:4]) == stored


def tags_of(user: dict[str, Any]) -> set[str]:
    """Return the tags of an exported user; older servers write them as one string."""
    tags = user.get("tags") or []
    return {tag.strip() for tag in (tags.split(",") if isinstance(tags, str) else tags) if tag.strip()}


def initial() -> Definitions:
    """Return the definitions of a server that was just installed."""
    return Definitions({"guest": {}}, {"/"}, {})


def read(exported: str) -> Definitions:
    """Return the definitions in the output of export_definitions."""
    definitions = json.loads(exported[exported.index("{") :])
    return Definitions(
        {user["name"]: user for user in definitions.get("users", [])},
        {vhost["name"] for vhost in definitions.get("vhosts", [])},
        {
            (entry["user"], entry["vhost"]): {key: entry[key] for key in ALL}
            for entry in definitions.get("permissions", [])
        },
    )


def compare(users: Sequence[User], current: Definitions, remove_guest: bool) -> Differences:
    """Return the differences between the wanted users and the definitions."""
    created, updated = [], []
    for user in users:
        name, vhost = user["name"], user["vhost"]
        found = current.users.get(name)
        if vhost not in current.vhosts:
            created.append(f"virtual host {vhost}")
        if found is None:
            created.append(f"user {name}")
        else:
            if not fits(user["password"], found):
                updated.append(f"user {name}: password")
            if tags_of(found) != set(user["tags"]):
                updated.append(f"user {name}: tags")
        if current.permissions.get((name, vhost)) != ALL:
            created.append(f"permissions of {name} on {vhost}")
    names = {user["name"] for user in users}
    guest = remove_guest and "guest" in current.users and "guest" not in names
    return Differences(list(dict.fromkeys(created)), list(dict.fromkeys(updated)), ["user guest"] if guest else [])


def wanted(users: Sequence[User], current: Definitions) -> dict[str, Any]:
    """Return the definitions to import; a password that fits keeps its hash, so that its user is not changed."""
    return {
        "users": [
            {
                "name": user["name"],
                "password_hash": (
                    current.users[user["name"]]["password_hash"]
                    if fits(user["password"], current.users.get(user["name"], {}))
                    else password_hash(user["password"])
                ),
                "hashing_algorithm": HASHING,
                "tags": user["tags"],
            }
            for user in users
        ],
        "vhosts": [{"name": name} for name in sorted({user["vhost"] for user in users} - current.vhosts)],
        "permissions": [{"user": user["name"], "vhost": user["vhost"], **ALL} for user in users],
    }
