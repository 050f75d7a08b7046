# SPDX-License-Identifier: Apache-2.0
"""Create the databases of services and their accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.database import database_accounts, sql_url
from ansible.module_utils.database.database_accounts import Account, Database, Missing, Right, State, pattern
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.plan.in_process import StageModule

pymysql: Any
try:
    import pymysql
except ImportError:
    pymysql = None

NO_SERVER = (2002, 2003)  # error numbers of MySQL's clients


class NoServer(OperatorError):
    """The server cannot be reached, or the library is missing; in check mode, a run may still bring them."""


def read(cursor: Any, databases: Sequence[Database]) -> State:
    """Return what the server has of the wanted databases, accounts and rights."""
    state = State()
    cursor.execute("SELECT schema_name AS name FROM information_schema.schemata")
    state.databases = {row["name"] for row in cursor.fetchall()}
    users = sorted({database["user"] for database in databases})
    cursor.execute("SELECT User, Host, plugin, authentication_string FROM mysql.user WHERE User IN %s", [users])
    for row in cursor.fetchall():
        native = row["plugin"] in ("", "mysql_native_password")
        account = Account(row["User"], row["Host"])
        state.accounts[account] = row["authentication_string"] if native else row["plugin"]
    cursor.execute("SELECT * FROM mysql.db WHERE User IN %s", [users])
    by_pattern = {pattern(database["name"]): database["name"] for database in databases}
    for row in cursor.fetchall():
        full = all(value == "Y" for name, value in row.items() if name.endswith("_priv") and name != "Grant_priv")
        if full and row["Db"] in by_pattern:
            state.rights.add(Right(Account(row["User"], row["Host"]), by_pattern[row["Db"]]))
    return state


def apply(cursor: Any, missing: Missing, passwords: Mapping[Account, str], charset: str, collation: str) -> None:
    """Create what is missing."""
    for name in missing.databases:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET {charset} COLLATE {collation}")
    for account in missing.accounts:
        cursor.execute("CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*account, passwords[account]))
    for account in missing.passwords:
        cursor.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*account, passwords[account]))
    for right in missing.rights:
        cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern(right.database)}`.* TO %s@%s", right.account)


def connect(params: Mapping[str, Any]) -> Any:
    """Return a connection whose rows are dicts; raise NoServer, or OperatorError when the server refuses the login."""
    if pymysql is None:
        raise NoServer(sql_url.missing_library())
    user, place = params["login_user"], params["login_socket"]
    address = {"unix_socket": place}
    if params["login_host"]:
        place = f"{params['login_host']}:{params['login_port']}"
        address = {"host": params["login_host"], "port": params["login_port"]}
    try:
        return pymysql.connect(
            user=user,
            password=params["login_password"] or "",
            charset="utf8mb4",
            connect_timeout=10,
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
            **address,
        )
    except pymysql.err.OperationalError as error:
        reason = error.args[-1]
        if error.args[0] in NO_SERVER:
            raise NoServer(
                Message(f"No database server answers at {place}: {reason}. Install and start mariadb-server.")
            ) from None
        raise OperatorError(
            Message(
                f"The database server at {place} refuses '{user}': {reason}. Correct login_user or login_password; "
                "as root over the socket, run with become: true."
            )
        ) from None


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    database = {
        "name": {"type": "str", "required": True},
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "hosts": {"type": "list", "elements": "str", "default": ["%", "localhost"]},
    }
    return {
        "login_user": {"type": "str", "default": "root"},
        "login_password": {"type": "str", "no_log": True},
        "login_host": {"type": "str"},
        "login_port": {"type": "int", "default": 3306},
        "login_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
        "databases": {"type": "list", "elements": "dict", "required": True, "options": database},
        "charset": {"type": "str", "default": "utf8mb3"},
        "collation": {"type": "str", "default": "utf8mb3_general_ci"},
    }


ARGUMENT_SPEC = argument_spec()


def reconcile(module: StageModule) -> Missing:
    """Return what was missing and is created, in check mode what would be; raise OperatorError."""
    params = module.params
    databases: list[Database] = params["databases"]
    passwords = database_accounts.passwords_of(databases)
    try:
        connection = connect(params)
    except NoServer:
        if not module.check_mode:
            raise
        return database_accounts.missing(databases, State())
    try:
        with connection, connection.cursor() as cursor:
            missing = database_accounts.missing(databases, read(cursor, databases))
            if not module.check_mode:
                apply(cursor, missing, passwords, params["charset"], params["collation"])
    except pymysql.err.MySQLError as error:
        reason, user = error.args[-1], params["login_user"]
        raise OperatorError(
            Message(
                f"The database server rejected a statement: {reason}. Check that '{user}' may create databases and "
                "accounts."
            )
        ) from None
    return missing


def run(module: StageModule) -> None:
    """Read, compare, write."""
    try:
        missing = reconcile(module)
    except OperatorError as error:
        module.fail_json(msg=error.message)
    created, updated = missing.created, missing.updated
    before = [f"{line}: absent\n" for line in created] + [f"{line}: another password\n" for line in updated]
    after = [f"{line}: present\n" for line in created] + [f"{line}: new password\n" for line in updated]
    module.exit_json(
        changed=bool(created or updated),
        created=created,
        updated=updated,
        diff={"before": "".join(before), "after": "".join(after)},
    )
