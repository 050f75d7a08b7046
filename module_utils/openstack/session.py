# SPDX-License-Identifier: Apache-2.0
"""Sessions with the APIs of one OpenStack cloud: tokens, the catalog, and requests to its services.

Why not openstacksdk: its classes cap the microversion (bookworm's at 2.73; choosing a host needs 2.74) and change from
release to release, while the REST API stays; and its import alone takes longer than most requests.
"""

from __future__ import annotations

import functools
import json
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple, TypedDict
from urllib.parse import quote, urlencode

from ansible.module_utils.host import http
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message

COMPUTE_MICROVERSION = "2.74"  # Train, 2019: choose a host; servers show flavor, faults and instance_name
TYPES = {"compute": ("compute", "/v2.1"), "network": ("network", "/v2.0"), "image": ("image", "/v2")}
IDENTITY_TRIES, CLOUD_TRIES = 4, 2


class Auth(TypedDict):
    """Who logs in, and where."""

    auth_url: str
    username: str
    password: str
    project_name: str
    user_domain_name: str
    project_domain_name: str


class Token(NamedTuple):
    """A token, and what Keystone knows of it: user, project, roles, catalog."""

    id: str
    content: dict[str, Any]


class Identity:
    """Requests to Keystone's API version 3; safe to use from several threads.

    token: the token that requests carry, or None; authenticate() does not set it.
    """

    def __init__(
        self,
        url: str,
        ca_file: str | None = None,
        verify: bool = True,
        timeout: float = 60,
        tries: int = IDENTITY_TRIES,
    ) -> None:
        """Prepare requests; raise HttpError when the file of certificate authorities cannot be read."""
        self.url = url.rstrip("/")
        if not self.url.endswith("/v3"):
            self.url += "/v3"
        self.timeout, self.tries = timeout, tries
        self.token: str | None = None
        self.context = http.tls_context(ca_file, verify) if self.url.startswith("https:") else None

    def call(
        self, method: str, path: Sequence[str], body: Any = None, query: Mapping[str, Any] | None = None
    ) -> tuple[Mapping[str, str], Any]:
        """Send a request and return headers and content of the answer; raise HttpError.

        path: names and ids, which are quoted. Reading and logging in are repeated when the service drops the
        connection or is overloaded.
        """
        url = "/".join([self.url, *(quote(str(part), safe="") for part in path)])
        login = list(path) == ["auth", "tokens"]
        return _call(
            method,
            url + (f"?{urlencode(query)}" if query else ""),
            {"X-Auth-Token": self.token} if self.token and not login else {},
            body,
            tries=self.tries,
            repeatable=method == "GET" or login,
            timeout=self.timeout,
            context=self.context,
        )

    def get(self, collection: str, **query: Any) -> list[dict[str, Any]]:
        """Return the objects of a collection."""
        _headers, answer = self.call("GET", [collection], query=query)
        found: list[dict[str, Any]] = answer[collection]
        return found

    def authenticate(
        self, user: str, password: str, domain: str, project: str | None = None, project_domain: str | None = None
    ) -> Token:
        """Return a new token, without a project an unscoped one; raise HttpError, code 401 for wrong credentials."""
        credentials = {"user": {"name": user, "domain": {"name": domain}, "password": password}}
        scope: Any = "unscoped"
        if project:
            scope = {"project": {"name": project, "domain": {"name": project_domain}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": credentials}, "scope": scope}}
        headers, answer = self.call("POST", ["auth", "tokens"], body)
        return Token(headers["X-Subject-Token"], answer["token"])


def service_url(catalog: Sequence[Mapping[str, Any]], service: str, region: str, interface: str) -> str:
    """Return the versioned URL of a service in a token's catalog; raise HttpError when it has none."""
    kind, version = TYPES[service]
    known = [entry["type"] for entry in catalog]
    if kind not in known:
        raise HttpError(Message(f"Keystone's catalog has no service of type {kind}, only {', '.join(known) or 'none'}"))
    endpoints = [point for entry in catalog if entry["type"] == kind for point in entry["endpoints"]]
    found = [point["url"] for point in endpoints if (point["interface"], point["region"]) == (interface, region)]
    if not found:
        others = ", ".join(f"{point['interface']} in {point['region']}" for point in endpoints)
        raise HttpError(
            Message(f"the {kind} service has no {interface} endpoint in region {region}, only {others or 'none'}")
        )
    url: str = found[0].rstrip("/")
    return url if re.search(r"/v\d[\d.]*(/[0-9a-f-]{32,36})?$", url) else url + version


class Cloud:
    """Requests to the services in the catalog of a cloud, as one user."""

    def __init__(
        self,
        auth: Auth,
        region: str,
        interface: str = "public",
        ca_file: str | None = None,
        verify: bool = True,
        timeout: float = 90,
    ) -> None:
        self.auth, self.region, self.interface = auth, region, interface
        self.ca_file, self.verify, self.timeout = ca_file, verify, timeout
        self.token = self.project_id = ""
        self.catalog: list[dict[str, Any]] = []

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        """Return what checks the certificates of this cloud; raise HttpError."""
        return http.tls_context(self.ca_file, self.verify)

    def connect(self) -> None:
        """Log in and read the catalog; raise HttpError."""
        auth = self.auth
        identity = Identity(auth["auth_url"], self.ca_file, self.verify, self.timeout)
        self.token, content = identity.authenticate(
            auth["username"],
            auth["password"],
            auth["user_domain_name"],
            auth["project_name"],
            auth["project_domain_name"],
        )
        self.project_id, self.catalog = content["project"]["id"], content["catalog"]

    def call(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content: tuple[IO[bytes], int] | None = None,
    ) -> Any:
        """Send a request and return the parsed answer, None if it is empty; raise HttpError.

        body: sent as JSON. content: an open file and its size, sent as it is.
        """
        url = service_url(self.catalog, service, self.region, self.interface) + path
        headers = {"X-Auth-Token": self.token}
        if service == "compute":
            headers["OpenStack-API-Version"] = f"compute {COMPUTE_MICROVERSION}"
        return _call(
            method,
            url + (f"?{urlencode(query)}" if query else ""),
            headers,
            body,
            content,
            tries=CLOUD_TRIES,
            timeout=self.timeout,
            context=self.context,
        )[1]

    def get(self, service: str, path: str, **query: Any) -> Any:
        """Return the parsed answer to a GET request; raise HttpError."""
        return self.call(service, "GET", path, query=query)

    def upload(self, image_id: str, path: str) -> None:
        """Send the content of an image; raise HttpError."""
        with open(path, "rb") as content:
            self.call("image", "PUT", f"/images/{image_id}/file", content=(content, os.path.getsize(path)))

    def remove(self, service: str, path: str) -> bool:
        """Delete an object and return whether it was there; raise HttpError."""
        try:
            self.call(service, "DELETE", path)
        except HttpError as error:
            if error.code == 404:
                return False
            raise
        return True


def _call(
    method: str,
    url: str,
    headers: dict[str, str],
    body: Any = None,
    content: tuple[IO[bytes], int] | None = None,
    **options: Any,
) -> tuple[Mapping[str, str], Any]:
    """Send a request with JSON or the content of a file; return headers and the parsed body of the answer."""
    headers = {"Accept": "application/json", **headers}
    data: IO[bytes] | bytes | None = None
    if content:
        data, size = content
        headers.update({"Content-Type": "application/octet-stream", "Content-Length": str(size)})
    elif body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    answer = http.request(method, url, headers=headers, body=data, **options)
    try:
        return answer.headers, json.loads(answer.body) if answer.body else None
    except ValueError as error:
        raise HttpError(
            Message(f"{method} {url}: the answer is not JSON ({error}); is this an OpenStack API?")
        ) from None
