# SPDX-License-Identifier: Apache-2.0
"""Read the database URLs that OpenStack's configuration files hold, and open them with PyMySQL."""

from __future__ import annotations

import socket
from urllib.parse import parse_qsl, quote, unquote, urlsplit

NOT_THERE = (1049, 1146)  # unknown database, no such table
UNREACHABLE = (2002, 2003, 2013, 2055)
SOCKET = "/run/mysqld/mysqld.sock"
REFUSED = (1044, 1045, 1698)  # no access to the database, wrong password, wrong authentication plugin


def parse(url):
    """The parts of a SQLAlchemy URL of MySQL or MariaDB, as PyMySQL's connect() names them."""
    parts = urlsplit(url)
    if parts.scheme.split("+")[0] not in ("mysql", "mariadb"):
        raise ValueError(f"database URL of scheme '{parts.scheme}': only mysql+pymysql:// and mysql:// are supported")
    database = unquote(parts.path.lstrip("/"))
    if not database:
        raise ValueError(f"database URL {shown(url)} names no database; write mysql+pymysql://user:password@host/name")
    query = dict(parse_qsl(parts.query))
    found = {
        "host": parts.hostname or "localhost",
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": database,
        "charset": query.get("charset", "utf8mb4"),
    }
    if "unix_socket" in query:
        found["unix_socket"] = query["unix_socket"]
    if "ssl_ca" in query:
        found["ssl"] = {key[4:]: value for key, value in query.items() if key.startswith("ssl_")}
    return found


def shown(url):
    """The URL without its password."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.username or ''}@{host}{port}{parts.path}"


def secrets(url):
    """Every form in which the password of the URL can appear in an output."""
    raw = urlsplit(url).password
    if not raw:
        return set()
    plain = unquote(raw)
    return {raw, plain, quote(plain, safe="")}


def available():
    """Whether PyMySQL can be imported."""
    try:
        import pymysql  # noqa: F401
    except ImportError:
        return False
    return True


def connect(url, as_root=False):
    """An open PyMySQL connection; PyMySQL is imported here because a machine may not have it yet.

    as_root: where the account of the URL is refused and the server is on this machine, look as root over its socket.
    For check mode, in which an account or its new password does not exist yet.
    """
    import pymysql

    options, limits = parse(url), {"connect_timeout": 10, "read_timeout": 60, "autocommit": True}
    try:
        return pymysql.connect(**options, **limits)
    except pymysql.err.OperationalError as error:
        if not as_root or code(error) not in REFUSED or not is_here(options["host"]):
            raise
    return pymysql.connect(user="root", unix_socket=SOCKET, database=options["database"], **limits)


def is_here(host):
    """Whether the host is this machine."""
    try:
        address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.bind(address[4])
    except OSError:
        return False
    return True


def code(error):
    """The number of a PyMySQL error, 0 for any other exception."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def hint(error, url):
    """What to do about an error of the server, for a person."""
    place, number = shown(url), code(error)
    if number in UNREACHABLE:
        return f"no database server answers for {place}: start it, or correct the address ({error.args[-1]})"
    if number in REFUSED:
        return f"the database server refuses {place}: create the account (service_databases) or correct its password"
    if number == 1049:
        return f"the database of {place} does not exist: create it (service_databases)"
    return f"{place}: {error.args[-1] if error.args else error}"
