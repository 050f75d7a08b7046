# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ's definitions: what a broker has, what it should have, and the password hashes in them."""

from __future__ import annotations

import base64
import hashlib
import json
import os

HASHING = "rabbit_password_hashing_sha256"
ALL = {"configure": ".*", "write": ".*", "read": ".*"}


def password_hash(password, salt=None):
    """The password as RabbitMQ stores it: base64 of salt and sha256 of salt and password."""
    salt = os.urandom(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def fits(password, account):
    """Whether the account has this password."""
    if account.get("hashing_algorithm", HASHING) != HASHING or not account.get("password_hash"):
        return False
    stored = account["password_hash"]
    return password_hash(password, base64.b64decode(stored)[:4]) == stored


def tags_of(account):
    """Tags as a set; older brokers write them as one string."""
    tags = account.get("tags") or []
    return {tag.strip() for tag in (tags.split(",") if isinstance(tags, str) else tags) if tag.strip()}


def new_broker():
    """What a broker has that was just installed."""
    return {"users": {"guest": {}}, "vhosts": {"/"}, "permissions": {}}


def read(output):
    """Users, virtual hosts and permissions from what export_definitions writes."""
    definitions = json.loads(output[output.index("{") :])
    return {
        "users": {user["name"]: user for user in definitions.get("users", [])},
        "vhosts": {vhost["name"] for vhost in definitions.get("vhosts", [])},
        "permissions": {
            (entry["user"], entry["vhost"]): {key: entry[key] for key in ALL}
            for entry in definitions.get("permissions", [])
        },
    }


def compare(users, current, remove_guest):
    """(created, updated, removed) for a person; all empty when nothing differs."""
    created, updated = [], []
    for user in users:
        name, vhost = user["name"], user["vhost"]
        account = current["users"].get(name)
        if vhost not in current["vhosts"] and f"virtual host {vhost}" not in created:
            created.append(f"virtual host {vhost}")
        if account is None:
            created.append(f"account {name}")
        else:
            if not fits(user["password"], account):
                updated.append(f"account {name}: password")
            if tags_of(account) != set(user["tags"]):
                updated.append(f"account {name}: tags")
        if current["permissions"].get((name, vhost)) != ALL:
            created.append(f"permissions of {name} on {vhost}")
    wanted_names = {user["name"] for user in users}
    guest = remove_guest and "guest" in current["users"] and "guest" not in wanted_names
    return list(dict.fromkeys(created)), list(dict.fromkeys(updated)), ["account guest"] if guest else []


def wanted(users, current):
    """The definitions to import; a password that fits keeps its hash, so that its account is left as it is."""
    return {
        "users": [
            {
                "name": user["name"],
                "password_hash": (
                    current["users"][user["name"]]["password_hash"]
                    if fits(user["password"], current["users"].get(user["name"], {}))
                    else password_hash(user["password"])
                ),
                "hashing_algorithm": HASHING,
                "tags": user["tags"],
            }
            for user in users
        ],
        "vhosts": [{"name": name} for name in sorted({user["vhost"] for user in users} - current["vhosts"])],
        "permissions": [{"user": user["name"], "vhost": user["vhost"], **ALL} for user in users],
    }
