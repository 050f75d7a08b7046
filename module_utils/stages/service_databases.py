# SPDX-License-Identifier: Apache-2.0
"""Create the databases of services and their accounts."""

from __future__ import annotations

from contextlib import nullcontext

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.database.database_accounts import described, missing, nothing, pattern, wanted

try:
    import pymysql
except ImportError:
    pymysql = None


def read(cursor, databases):
    """What the server has of the wanted databases, accounts and full rights."""
    state = nothing()
    cursor.execute("SELECT schema_name AS name FROM information_schema.schemata")
    state["databases"] = {row["name"] for row in cursor.fetchall()}
    users = sorted({database["user"] for database in databases})
    cursor.execute("SELECT User, Host, plugin, authentication_string FROM mysql.user WHERE User IN %s", [users])
    for row in cursor.fetchall():
        native = row["plugin"] in ("", "mysql_native_password")
        state["accounts"][row["User"], row["Host"]] = row["authentication_string"] if native else row["plugin"]
    cursor.execute("SELECT * FROM mysql.db WHERE User IN %s", [users])
    by_pattern = {pattern(database["name"]): database["name"] for database in databases}
    for row in cursor.fetchall():
        full = all(value == "Y" for name, value in row.items() if name.endswith("_priv") and name != "Grant_priv")
        if full and row["Db"] in by_pattern:
            state["rights"].add(((row["User"], row["Host"]), by_pattern[row["Db"]]))
    return state


def apply(cursor, todo, accounts, charset, collation):
    """Do what missing() listed."""
    for kind, subject in todo:
        if kind == "database":
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{subject}` CHARACTER SET {charset} COLLATE {collation}")
        elif kind == "account":
            cursor.execute("CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*subject, accounts[subject]))
        elif kind == "password":
            cursor.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*subject, accounts[subject]))
        else:
            account, database = subject
            cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern(database)}`.* TO %s@%s", account)


def connect(module):
    """A connection with dict rows, or the reason why there is none."""
    options, place = module.params, module.params["login_socket"]
    address = {"unix_socket": place}
    if options["login_host"]:
        place = f"{options['login_host']}:{options['login_port']}"
        address = {"host": options["login_host"], "port": options["login_port"]}
    if pymysql is None:
        return None, missing_required_lib("PyMySQL") + " (Debian: python3-pymysql)"
    try:
        return pymysql.connect(
            user=options["login_user"],
            password=options["login_password"] or "",
            charset="utf8mb4",
            connect_timeout=10,
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
            **address,
        ), None
    except pymysql.err.OperationalError as error:
        if error.args[0] not in (2002, 2003):
            module.fail_json(
                msg=f"The database server at {place} refuses '{options['login_user']}': {error.args[-1]}. "
                "Correct login_user or login_password; root over the socket must run as root (become: true)."
            )
        return None, f"No database server answers at {place}: {error.args[-1]}. Install and start mariadb-server."


def argument_spec() -> dict:
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


def run(module) -> None:
    """Read, compare, write."""
    databases = module.params["databases"]
    try:
        accounts, _rights = wanted(databases)
    except ValueError as error:
        module.fail_json(msg=str(error))
    connection, reason = connect(module)
    if connection is None and not module.check_mode:
        module.fail_json(msg=reason)
    try:
        with connection.cursor() if connection else nullcontext() as cursor:
            todo = missing(databases, read(cursor, databases) if cursor else nothing())
            if not module.check_mode:
                apply(cursor, todo, accounts, module.params["charset"], module.params["collation"])
    except pymysql.err.MySQLError as error:
        module.fail_json(
            msg=f"The database server did not do it: {error.args[-1]}. Check that "
            f"'{module.params['login_user']}' may create databases and accounts."
        )
    created, updated = described(todo)
    changed_lines = [f"{line}: present" for line in created] + [f"{line}: new password" for line in updated]
    before_lines = [f"{line}: absent" for line in created] + [f"{line}: another password" for line in updated]
    module.exit_json(
        changed=bool(todo),
        created=created,
        updated=updated,
        diff={
            "before": "".join(f"{line}\n" for line in before_lines),
            "after": "".join(f"{line}\n" for line in changed_lines),
        },
    )
