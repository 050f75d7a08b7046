# SPDX-License-Identifier: Apache-2.0
"""Compare databases, accounts and rights of a MariaDB server with those that services need. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from ansible.module_utils.message import Message, OperatorError


class Database(TypedDict):
    """A wanted database, and the account that owns it, as the parameters have it."""

    name: str
    user: str
    password: str
    hosts: list[str]


class Account(NamedTuple):
    """An account of the server: a user, and the hosts that it may connect from."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


class Right(NamedTuple):
    """All rights of an account on a database."""

    account: Account
    database: str

    def __str__(self) -> str:
        return f"{self.account} on {self.database}"


@dataclass
class State:
    """What a server has; accounts with their password's hash, or the name of another authentication plugin."""

    databases: set[str] = field(default_factory=set)
    accounts: dict[Account, str] = field(default_factory=dict)
    rights: set[Right] = field(default_factory=set)


@dataclass
class Missing:
    """What a server lacks."""

    databases: list[str]
    accounts: list[Account]
    passwords: list[Account]
    rights: list[Right]

    @property
    def created(self) -> list[str]:
        """Return what must be created, as lines to read."""
        return [
            *(f"database {name}" for name in self.databases),
            *(f"account {account}" for account in self.accounts),
            *(f"rights of {right}" for right in self.rights),
        ]

    @property
    def updated(self) -> list[str]:
        """Return which accounts need another password, as lines to read."""
        return [f"account {account}" for account in self.passwords]


class Contradiction(OperatorError):
    """The wanted databases cannot be created as they are described."""


def native_hash(password: str) -> str:
    """Return a password as mysql_native_password stores it."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()


def pattern(database: str) -> str:
    """Return the name of a database for a GRANT, where _ and % would match other names too."""
    return database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def passwords_of(databases: Iterable[Database]) -> dict[Account, str]:
    """Return the wanted password of each account; raise Contradiction."""
    passwords: dict[Account, str] = {}
    for database in databases:
        name = database["name"]
        if not re.fullmatch(r"[A-Za-z0-9_$-]{1,64}", name):
            raise Contradiction(Message(f"database name '{name}': use 1 to 64 of A-Z a-z 0-9 _ $ -"))
        for host in database["hosts"]:
            account = Account(database["user"], host)
            if passwords.setdefault(account, database["password"]) != database["password"]:
                raise Contradiction(
                    Message(
                        f"account {account} has two different passwords in 'databases' "
                        f"(the second with database {name}); give it one"
                    )
                )
    return passwords


def missing(databases: Sequence[Database], state: State) -> Missing:
    """Return what a server lacks; raise Contradiction."""
    passwords = passwords_of(databases)
    names = dict.fromkeys(database["name"] for database in databases)
    rights = [Right(Account(entry["user"], host), entry["name"]) for entry in databases for host in entry["hosts"]]
    present = {account: state.accounts[account] for account in passwords if account in state.accounts}
    return Missing(
        databases=[name for name in names if name not in state.databases],
        accounts=[account for account in passwords if account not in present],
        passwords=[account for account, stored in present.items() if stored != native_hash(passwords[account])],
        rights=[right for right in rights if right not in state.rights],
    )
