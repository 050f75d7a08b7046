# SPDX-License-Identifier: Apache-2.0
"""Requests to the services of one OpenStack cloud, found in Keystone's catalogue; of the standard library alone.

Why not openstacksdk: its classes cap the microversion (bookworm's at 2.73; choosing a host needs 2.74) and change from
release to release, while the REST API stays; and its import alone takes longer than most steps that are measured here.
Every request is a connection of its own: Debian's uWSGI services drop idle ones, which looks like a failure.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from ansible.module_utils.openstack import identity_api

COMPUTE_MICROVERSION = "2.74"  # Train, 2019: choose a host; servers show flavor, faults and instance_name
TYPES = {"compute": ("compute", "/v2.1"), "network": ("network", "/v2.0"), "image": ("image", "/v2")}


class CloudError(Exception):
    """A request failed; code is the HTTP status, or 0 when nothing answered."""

    def __init__(self, text, code=0):
        super().__init__(text)
        self.code = code


def words(body, limit=400):
    """What a service says in the body of an error: JSON of several shapes, HTML or text."""
    text = body.decode(errors="replace")
    try:
        inner = next(iter(json.loads(text).values()))
        return (inner.get("message") or str(inner)) if isinstance(inner, dict) else str(inner)
    except (ValueError, AttributeError, StopIteration):
        return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:limit]


def service_url(catalogue, service, region, interface):
    """The versioned URL of a service, from a token's catalogue."""
    kind, version = TYPES[service]
    known = [entry["type"] for entry in catalogue]
    if kind not in known:
        raise CloudError(f"Keystone's catalogue has no service of type {kind}, only {', '.join(known) or 'none'}")
    urls = [
        (point["region"], point["interface"], point["url"])
        for entry in catalogue
        if entry["type"] == kind
        for point in entry["endpoints"]
    ]
    found = [url for where, who, url in urls if who == interface and where == region]
    if not found:
        raise CloudError(
            f"the {kind} service has no {interface} endpoint in region {region}, only "
            + (", ".join(f"{who} in {where}" for where, who, _ in urls) or "none")
        )
    url = found[0].rstrip("/")
    return url if re.search(r"/v\d[\d.]*(/[0-9a-f-]{32,36})?$", url) else url + version


class Cloud:
    """call(service, method, path, ...): one request; the answer is the parsed JSON."""

    def __init__(self, auth, region, interface="public", ca_file=None, verify=True, timeout=90):
        self.auth, self.region, self.interface = auth, region, interface
        self.ca_file, self.verify, self.timeout = ca_file, verify, timeout
        self.token, self.project_id, self.catalogue = None, None, []

    def tls(self):
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def connect(self):
        session = identity_api.Session(self.auth["auth_url"], self.ca_file, self.verify, self.timeout)
        try:
            self.token, scope = session.authenticate(
                self.auth["username"],
                self.auth["password"],
                self.auth["user_domain_name"],
                self.auth["project_name"],
                self.auth["project_domain_name"],
            )
        except (identity_api.Refused, identity_api.Unreachable) as error:
            raise CloudError(str(error), getattr(error, "code", 0)) from None
        self.project_id = scope["project"]["id"]
        self.catalogue = scope["catalog"]
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls())
        )

    def call(self, service, method, path, body=None, query=None, content=None):
        """body: sent as JSON; content: (open binary file, size) sent as it is."""
        url = service_url(self.catalogue, service, self.region, self.interface) + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers = {"X-Auth-Token": self.token, "Accept": "application/json"}
        data = None
        if service == "compute":
            headers["OpenStack-API-Version"] = f"compute {COMPUTE_MICROVERSION}"
        if content:
            data = content[0]
            headers.update({"Content-Type": "application/octet-stream", "Content-Length": str(content[1])})
        elif body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return self._send(urllib.request.Request(url, data, headers, method=method))

    def _send(self, request):
        what = f"{request.get_method()} {request.full_url}"
        for attempt in (1, 2):
            try:
                with self.opener.open(request, timeout=self.timeout) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                raise CloudError(f"{what} -> {error.code} {words(error.read())}", error.code) from None
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                if request.get_method() != "GET" or attempt == 2 or isinstance(reason, ConnectionRefusedError):
                    raise CloudError(f"{what}: {reason or type(error).__name__}") from None
                time.sleep(0.5)
            except ValueError as error:
                raise CloudError(f"{what}: the answer is not JSON ({error})") from None
        raise AssertionError("unreachable")

    def get(self, service, path, **query):
        return self.call(service, "GET", path, query=query)

    def upload(self, image_id, path):
        with open(path, "rb") as content:
            self.call("image", "PUT", f"/images/{image_id}/file", content=(content, os.path.getsize(path)))

    def remove(self, service, path):
        """True when it is gone or going, False when it was not there."""
        try:
            self.call(service, "DELETE", path)
        except CloudError as error:
            if error.code == 404:
                return False
            raise
        return True
