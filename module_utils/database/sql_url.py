# SPDX-License-Identifier: Apache-2.0
"""Read the database URLs of OpenStack's configuration files, and query their databases with PyMySQL."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.message import Message, OperatorError

NOT_THERE = (1049, 1146)  # unknown database, no such table
UNREACHABLE = (2002, 2003, 2013, 2055)
REFUSED = (1044, 1045, 1698)  # no access to the database, wrong password, wrong authentication plugin
SOCKET = "/run/mysqld/mysqld.sock"
CONNECTION: dict[str, Any] = {"connect_timeout": 10, "read_timeout": 60, "autocommit": True}  # timeouts in seconds


class InvalidUrl(OperatorError):
    """A database URL cannot be used; the text has no password."""


class DatabaseError(OperatorError):
    """A database cannot be reached, or rejected a statement; the text has no password."""


def parse(url: str) -> dict[str, Any]:
    """Return a SQLAlchemy URL of MySQL or MariaDB as arguments of PyMySQL's connect(); raise InvalidUrl."""
    try:
        parts = urlsplit(url)
        host, port, place = parts.hostname or "localhost", parts.port or 3306, shown(url)
    except ValueError:  # its text may quote a part of the password
        raise InvalidUrl(
            Message("a database URL has no valid host and port; percent-quote special characters of its password")
        ) from None
    if parts.scheme.split("+")[0] not in ("mysql", "mariadb"):
        raise InvalidUrl(
            Message(f"database URL of scheme '{parts.scheme}': only mysql+pymysql:// and mysql:// are supported")
        )
    database = unquote(parts.path.lstrip("/"))
    if not database:
        raise InvalidUrl(
            Message(f"database URL {place} names no database; write mysql+pymysql://user:password@host/name")
        )
    query = dict(parse_qsl(parts.query))
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": database,
        "charset": query.get("charset", "utf8mb4"),
    }
    if "unix_socket" in query:
        options["unix_socket"] = query["unix_socket"]
    if "ssl_ca" in query:
        options["ssl"] = {key[4:]: value for key, value in query.items() if key.startswith("ssl_")}
    return options


def shown(url: str) -> str:
    """Return the URL without its password."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.username or ''}@{host}{port}{parts.path}"


def secrets(url: str) -> set[str]:
    """Return every form in which the password of the URL can appear in an output."""
    raw = urlsplit(url).password
    if not raw:
        return set()
    plain = unquote(raw)
    return {raw, plain, quote(plain, safe="")}


def available() -> bool:
    """Return whether PyMySQL is installed."""
    try:
        import pymysql  # noqa: F401  only whether it is there
    except ImportError:
        return False
    return True


def missing_library() -> Message:
    """Return the message about a missing PyMySQL."""
    return Message(missing_required_lib("PyMySQL") + " (Debian: python3-pymysql)")


def connect(url: str, as_root: bool = False) -> Any:
    """Return an open PyMySQL connection; raise DatabaseError.

    as_root: where the account of the URL is refused and the server runs on this host, connect as root over its socket.
    For check mode, in which an account or its new password may not exist yet.
    """
    try:
        import pymysql  # late: a host may not have it yet
    except ImportError:
        raise DatabaseError(Message("python3-pymysql is not installed on this host")) from None
    options = parse(url)
    try:
        try:
            return pymysql.connect(**options, **CONNECTION)
        except pymysql.err.OperationalError as error:
            if not as_root or code(error) not in REFUSED or not is_local(options["host"]):
                raise
        return pymysql.connect(user="root", unix_socket=SOCKET, database=options["database"], **CONNECTION)
    except Exception as error:  # besides PyMySQL's errors, those of the system and of TLS
        raise DatabaseError(failure(error, url)) from error


@contextlib.contextmanager
def cursor(url: str) -> Iterator[Any]:
    """Give a cursor of a new connection; raise DatabaseError when the connection or a statement in the block fails."""
    connection = connect(url)
    from pymysql.err import MySQLError

    try:
        with connection, connection.cursor() as opened:
            yield opened
    except MySQLError as error:
        raise DatabaseError(failure(error, url)) from error


def query(url: str, text: str, params: Sequence[str] = (), as_root: bool = False) -> Sequence[tuple[Any, ...]]:
    """Return all rows of a query, none when a table of it does not exist; raise DatabaseError. as_root: see connect."""
    connection = connect(url, as_root)
    try:
        with connection, connection.cursor() as opened:
            opened.execute(text, tuple(params) or None)
            rows: Sequence[tuple[Any, ...]] = opened.fetchall()
            return rows
    except Exception as error:  # besides PyMySQL's errors, those of the system
        if code(error) in NOT_THERE:
            return ()
        raise DatabaseError(Message(f"the query '{text}' failed: {failure(error, url)}")) from error


def is_local(host: str) -> bool:
    """Return whether a host name or address is one of this host."""
    try:
        address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.bind(address[4])
    except OSError:
        return False
    return True


def code(error: Exception) -> int:
    """Return the number of a PyMySQL error, 0 for any other exception."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def failure(error: Exception, url: str) -> Message:
    """Return the message about an error of a database server, with what to do."""
    place, number = shown(url), code(error)
    if number in UNREACHABLE:
        return Message(f"no database server answers for {place}: start it, or correct the address ({error.args[-1]})")
    if number in REFUSED:
        return Message(
            f"the database server refuses {place}: create the account (service_databases) or correct its password"
        )
    if number == 1049:
        return Message(f"the database of {place} does not exist: create it (service_databases)")
    return Message(f"the database server of {place} reports: {error.args[-1] if error.args else error}")
