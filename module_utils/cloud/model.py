# SPDX-License-Identifier: Apache-2.0
"""Make the model of a cloud: all that one component reads about another. Pure functions; the model has no secret."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.cloud.urls import host_port

PLATFORM = ("mariadb", "rabbitmq", "memcached", "keystone", "placement", "glance", "neutron")
GROUPS = ("nova_controllers", "nova_computes", *PLATFORM)
PORTS = {
    "identity": 5000,
    "placement": 8778,
    "image": 9292,
    "network": 9696,
    "compute": 8774,
    "metadata": 8775,
    "novncproxy": 6080,
    "database": 3306,
    "messaging": 5672,
    "memcached": 11211,
}
# Endpoint -> the group of its hosts, and the path of its URL.
ENDPOINTS = {
    "identity": ("keystone", ""),
    "placement": ("placement", ""),
    "image": ("glance", ""),
    "network": ("neutron", ""),
    "compute": ("nova_controllers", "/v2.1"),
}
OVERRIDABLE = ("placement", "glance", "neutron")  # services that Nova calls, with an option endpoint_override


def cloud_model(
    *,
    release: dict[str, Any],
    region: str,
    groups: dict[str, list[str]],
    addresses: dict[str, str],
    external: dict[str, Any] | None = None,
    overrides: dict[str, Any] | None = None,
    secret_paths: list[list[str]] | None = None,
    api_address: str | None = None,
    tls: dict[str, str] | None = None,
    nova_services: list[str] | None = None,
) -> dict[str, Any]:
    """Return the model of a cloud.

    release: row of the release catalog, with its name.
    groups: group -> hosts in the order of the inventory; a group that is left out is empty.
    addresses: host -> management address.
    external: `cloud_external`.
    overrides, secret_paths: kept unchanged.
    api_address: the one address at which clients reach every API; without it, each API is at the first host of its
        group.
    tls: {ca_file, cert, key} where the APIs use https: the authority that clients trust, and the files with certificate
        and key on each host.
    nova_services: services of Nova that the controllers run.
    """
    place = Place({name: list(groups.get(name) or []) for name in (*GROUPS, *groups)}, addresses, external or {})
    place.api_address, place.scheme = api_address, "https" if tls else "http"
    client_address = place.client_address("nova_controllers")
    return {
        "release": release,
        "region": region,
        "groups": place.groups,
        "scheme": place.scheme,
        "ca_file": (tls or {}).get("ca_file"),
        "certificate": {name: tls.get(name) for name in ("cert", "key")} if tls else None,
        "api_address": client_address,
        "endpoints": {name: endpoints(place, name) for name in ENDPOINTS},
        "ports": dict(PORTS),
        "metadata": {"host": client_address, "port": PORTS["metadata"], "scheme": place.scheme},
        "novncproxy_url": place.url(client_address, PORTS["novncproxy"], "/vnc_lite.html"),
        "database": database(place),
        "messaging": {"nova": messaging(place, "nova"), "neutron": messaging(place, "neutron")},
        "memcached": {"servers": memcached_servers(place)},
        "external": [name for name in PLATFORM if place.is_external(name)],
        "endpoint_overrides": {name: endpoint_override(place, name) for name in OVERRIDABLE},
        "nova_services": list(nova_services or []),
        "secret_paths": secret_paths or [],
        "overrides": overrides or {"all": [], "groups": {}, "hosts": {}, "order": {}},
    }


class Place:
    """The hosts and addresses of the services of a cloud."""

    def __init__(self, groups: dict[str, list[str]], addresses: dict[str, str], external: dict[str, Any]) -> None:
        self.groups = groups
        self.addresses = addresses
        self.external = external
        self.api_address: str | None = None
        self.scheme = "http"

    def is_external(self, group: str) -> bool:
        """Return whether a service is external: its group is empty, and cloud_external has it."""
        return not self.groups[group] and bool(self.external.get(group))

    def first_address(self, group: str) -> str | None:
        """Return the address of a group's first host, None for an empty group."""
        return self.addresses[self.groups[group][0]] if self.groups[group] else None

    def client_address(self, group: str) -> str | None:
        """Return the address at which clients reach the service of a group."""
        return self.api_address or self.first_address(group)

    def url(self, address: str | None, port: int, path: str) -> str | None:
        """Return the URL of a service, None without an address."""
        return f"{self.scheme}://{host_port(address, port)}{path}" if address else None


def endpoints(place: Place, name: str) -> dict[str, str | None]:
    """Return the URLs of a service for the catalog of Keystone, null where there is no such service."""
    group, path = ENDPOINTS[name]
    if place.is_external(group):
        url = place.external[group]["url"].rstrip("/")
    else:
        address = place.client_address(group) if place.groups[group] else None
        url = place.url(address, PORTS[name], path)
    return {"public": url, "internal": url, "admin": url}


def endpoint_override(place: Place, group: str) -> str | None:
    """Return the URL at which Nova reaches an external service without Keystone's catalog, null for our own."""
    return place.external[group]["url"] if place.is_external(group) else None


def database(place: Place) -> dict[str, Any]:
    """Return host and port of the database server. Several servers are reached at the client address, as one."""
    if place.is_external("mariadb"):
        given = place.external["mariadb"]
        return {"host": given["address"], "port": int(given["port"]), "external": True}
    several = len(place.groups["mariadb"]) > 1
    host = place.client_address("mariadb") if several else place.first_address("mariadb")
    return {"host": host, "port": PORTS["database"], "external": False}


def messaging(place: Place, service: str) -> dict[str, Any] | None:
    """Return the account of a service on RabbitMQ, without its password, or None.

    `account` is its path in cloud_external. The RabbitMQ of an external Neutron need not be in the inventory.
    """
    if service == "neutron" and not place.groups["neutron"]:
        return external_messaging(place, ["neutron", "messaging"])
    if not place.groups["rabbitmq"]:
        return external_messaging(place, ["rabbitmq"])
    hosts = [{"host": place.addresses[host], "port": PORTS["messaging"]} for host in place.groups["rabbitmq"]]
    return {"hosts": hosts, "vhost": "/", "user": service, "external": False, "account": []}


def external_messaging(place: Place, account: list[str]) -> dict[str, Any] | None:
    """Return an account of cloud_external, None where it is not set."""
    given: dict[str, Any] = place.external
    for key in account:
        given = given.get(key) or {}
    if not given:
        return None
    hosts = [{"host": given["address"], "port": int(given["port"])}]
    return {"hosts": hosts, "vhost": given["vhost"], "user": given["user"], "external": True, "account": account}


def memcached_servers(place: Place) -> list[str]:
    """Return the memcached servers in the form of python-memcached: those of IPv6 have a prefix."""
    if place.is_external("memcached"):
        servers = [str(server) for server in place.external["memcached"]["addresses"]]
    else:
        servers = [host_port(place.addresses[host], PORTS["memcached"]) for host in place.groups["memcached"]]
    return [f"inet6:{server}" if server.startswith("[") else server for server in servers]
