# SPDX-License-Identifier: Apache-2.0
"""Make the URLs, accounts and option values with which services reach each other. Pure functions.

Every function takes the model of `cloud_model`, which has no secret in it, and the passwords separately.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible.module_utils.message import Message

Cloud = Mapping  # the result of model.cloud_model

DOMAIN = "Default"


def host_port(address: str, port: int | str) -> str:
    """Return address:port, an IPv6 address in brackets."""
    return f"{bracketed(address)}:{port}"


def bracketed(address: str) -> str:
    """Return an address in the form of a URL: IPv6 in brackets."""
    address = str(address)
    return f"[{address}]" if is_ipv6(address) and not address.startswith("[") else address


def is_ipv6(address: str) -> bool:
    """Return whether an address is one of IPv6; names and IPv4 addresses have no colon."""
    return ":" in str(address)


def escape(text: object) -> str:
    """Return a text as a part of a URL: every special character is percent-encoded."""
    return quote(str(text), safe="")


def userinfo(user: object, password: object) -> str:
    """Return user:password@ of a URL."""
    return f"{escape(user)}:{escape(password)}@"


def oslo_value(text: object) -> str:
    r"""Return a text in the form in which oslo.config reads exactly this text from a file.

    oslo.config replaces $name by another option; $$ is a dollar, but after a backslash only \$ is. It also strips white
    space at both ends, and one pair of equal quotes (a single quote character counts as a pair).
    """
    value = re.sub(r"(\\?)\$", lambda found: r"\\$" if found[1] else "$$", str(text))
    stripped = value != value.strip() or (value and value[0] == value[-1] and value[0] in "\"'")
    return f'"{value}"' if stripped else value


def database_url(cloud: Cloud, user: str, password: str, name: str) -> str:
    """Return the SQLAlchemy URL of a database of the cloud."""
    database = cloud["database"]
    place = host_port(database["host"], database["port"])
    return f"mysql+pymysql://{userinfo(user, password)}{place}/{escape(name)}{database_query(cloud)}"


def database_options(cloud: Cloud, user: str, password: str, name: str) -> dict[str, str]:
    """Return the options of [database] with the password outside of the URL.

    Keystone passes the URL to alembic, which takes a percent sign for an interpolation: a password with an encoded
    character would break its migrations. oslo.db adds connection_parameters when it connects.
    """
    database = cloud["database"]
    place = host_port(database["host"], database["port"])
    return {
        "connection": f"mysql+pymysql://{escape(user)}@{place}/{escape(name)}{database_query(cloud)}",
        "connection_parameters": f"password={escape(password)}",
    }


def database_query(cloud: Cloud) -> str:
    """Return the query of a database URL: with TLS, the authority that verifies the server."""
    verified = cloud.get("ca_file") and not cloud["database"]["external"]
    return f"?ssl_ca={quote(cloud['ca_file'], safe='/')}" if verified else ""


def transport_url(cloud: Cloud, service: str, password: str, external: dict[str, Any] | None = None) -> str:
    """Return the oslo.messaging URL of a service (nova, neutron).

    external is `cloud_external`, with the password of an external account. Raise ValueError where the service has no
    message queue or its password is missing.
    """
    messaging = messaging_of(cloud, service)
    account = userinfo(messaging["user"], messaging_password(messaging, password, external))
    hosts = ",".join(account + host_port(host["host"], host["port"]) for host in messaging["hosts"])
    return f"rabbit://{hosts}/{vhost_path(messaging['vhost'])}"


def vhost_path(vhost: str) -> str:
    """Return a virtual host as the path of a transport URL; the path of the virtual host / is empty."""
    return "" if vhost == "/" else escape(vhost)


def messaging_of(cloud: Cloud, service: str) -> dict[str, Any]:
    """Return the hosts and the account of a service's message queue. Raise ValueError where it has none."""
    messaging = cloud["messaging"].get(service)
    if messaging is None:
        raise ValueError(
            Message(f"{service} has no message queue in this cloud; set cloud_external.{service}.messaging")
        )
    return messaging


def rabbitmq_password(password: str) -> str:
    """Return the password of an account that we make on RabbitMQ, from the secret of the inventory.

    oslo.messaging does not encode a slash, and the URL ends there: an account with a slash in its password cannot log
    in. The password has %2F instead.
    """
    return password.replace("/", "%2F")


def messaging_password(messaging: dict[str, Any], password: str, external: dict[str, Any] | None) -> str:
    """Return the password of an account on RabbitMQ; that of an external account is in cloud_external.

    Raise ValueError where it is missing there.
    """
    if not messaging["external"]:
        return rabbitmq_password(password)
    account: dict[str, Any] = external or {}
    for key in messaging["account"]:
        account = account.get(key) or {}
    if "password" not in account:
        raise ValueError(Message(f"cloud_external.{'.'.join(messaging['account'])}.password is missing"))
    return account["password"]


def messaging_account(
    cloud: Cloud, service: str, password: str, external: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the account of a service on its first RabbitMQ server, in the form of the module queue_consumers."""
    messaging = messaging_of(cloud, service)
    return {
        "address": messaging["hosts"][0]["host"],
        "port": messaging["hosts"][0]["port"],
        "user": messaging["user"],
        "password": messaging_password(messaging, password, external),
        "vhost": messaging["vhost"],
    }


def auth_options(cloud: Cloud, user: str, password: str) -> dict[str, Any]:
    """Return the keystoneauth options with which a service logs in."""
    return {
        "auth_type": "password",
        "auth_url": cloud["endpoints"]["identity"]["internal"],
        "project_name": "service",
        "user_domain_name": DOMAIN,
        "project_domain_name": DOMAIN,
        "username": user,
        "password": oslo_value(password),
        "region_name": cloud["region"],
        "cafile": cloud["ca_file"],
    }


def authtoken_options(cloud: Cloud, user: str, password: str) -> dict[str, Any]:
    """Return the options of [keystone_authtoken], with which an API validates the tokens of requests."""
    return {
        **auth_options(cloud, user, password),
        "www_authenticate_uri": cloud["endpoints"]["identity"]["public"],
        "memcached_servers": ",".join(cloud["memcached"]["servers"]),
        "service_token_roles": "service",
        "service_token_roles_required": True,
    }


def admin_auth(cloud: Cloud, password: str, external: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the administrator's credentials; those of cloud_external where Keystone is external."""
    keystone = (external or {}).get("keystone") or {} if "keystone" in cloud["external"] else {}
    return {
        "auth_url": cloud["endpoints"]["identity"]["public"] + "/v3",
        "username": keystone.get("admin_user", "admin"),
        "password": keystone.get("admin_password", password),
        "project_name": "admin",
        "user_domain_name": DOMAIN,
        "project_domain_name": DOMAIN,
    }


def cell_templates(cloud: Cloud) -> dict[str, str]:
    """Return the URL templates of Nova's cells: cell0 (database), database and transport (of cell1).

    Each service fills them from its own nova.conf, so that a new password needs no cell update. Nova removes the
    brackets of an IPv6 address, numbers the parts where the URL has several hosts, and then keeps the colon at the port
    of an IPv6 address: there the port is spelled out.
    """
    host = "[{hostname}]" if is_ipv6(cloud["database"]["host"]) else "{hostname}"
    database = f"{{scheme}}://{{username}}:{{password}}@{host}:{{port}}/"
    query = "?{query}" if database_query(cloud) else ""
    return {
        "cell0": f"{database}nova_cell0{query}",
        "database": f"{database}nova{query}",
        "transport": f"{{scheme}}://{transport_hosts(cloud['messaging']['nova']['hosts'])}/{{path}}",
    }


def transport_hosts(hosts: list[dict[str, Any]]) -> str:
    """Return the part of a transport template between the scheme and the path."""
    if len(hosts) == 1:
        host = "[{hostname}]" if is_ipv6(hosts[0]["host"]) else "{hostname}"
        return f"{{username}}:{{password}}@{host}:{{port}}"
    return ",".join(
        f"{{username{n}}}:{{password{n}}}@"
        + (f"[{{hostname{n}}}]:{host['port']}" if is_ipv6(host["host"]) else f"{{hostname{n}}}:{{port{n}}}")
        for n, host in enumerate(hosts, 1)
    )
