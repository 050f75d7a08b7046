# SPDX-License-Identifier: Apache-2.0
"""Databases, their accounts and rights: what is wanted, what is missing, and how MariaDB stores it. No I/O."""

from __future__ import annotations

import hashlib
import re


def native_hash(password):
    """The password as mysql_native_password stores it."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()


def pattern(database):
    """The name as a GRANT takes it, where _ and % would match other names too."""
    return database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def wanted(databases):
    """({account: password}, [(account, database)]); an account is (user, host)."""
    accounts, rights = {}, []
    for database in databases:
        if not re.fullmatch(r"[A-Za-z0-9_$-]{1,64}", database["name"]):
            raise ValueError(f"database name '{database['name']}': use 1 to 64 of A-Z a-z 0-9 _ $ -")
        for host in database["hosts"]:
            account = (database["user"], host)
            if accounts.setdefault(account, database["password"]) != database["password"]:
                raise ValueError(
                    f"account {account[0]}@{host} has two different passwords in 'databases' "
                    f"(the second with database {database['name']}); give it one"
                )
            rights.append((account, database["name"]))
    return accounts, rights


def missing(databases, state):
    """[(kind, subject)] to do, in order, from the state that read() or nothing() gives."""
    accounts, rights = wanted(databases)
    names = list(dict.fromkeys(database["name"] for database in databases))
    todo = [("database", name) for name in names if name not in state["databases"]]
    for account, password in accounts.items():
        if account not in state["accounts"]:
            todo.append(("account", account))
        elif state["accounts"][account] != native_hash(password):
            todo.append(("password", account))
    todo += [("rights", right) for right in rights if right not in state["rights"]]
    return todo


def nothing():
    """The state of a machine without a server."""
    return {"databases": set(), "accounts": {}, "rights": set()}


def described(todo):
    """(created, updated) for a person."""
    texts = {
        "database": lambda name: f"database {name}",
        "account": lambda account: "account {}@{}".format(*account),
        "password": lambda account: "account {}@{}".format(*account),
        "rights": lambda right: "rights of {}@{} on {}".format(*right[0], right[1]),
    }
    created = [texts[kind](subject) for kind, subject in todo if kind != "password"]
    return created, [texts[kind](subject) for kind, subject in todo if kind == "password"]
