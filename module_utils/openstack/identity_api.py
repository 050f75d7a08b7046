# SPDX-License-Identifier: Apache-2.0
"""A session with Keystone's API version 3, of the standard library alone: quick to import, and nothing to install."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

GONE = (502, 503, 504)


class Unreachable(Exception):
    """Nothing that speaks HTTP answers."""


class Refused(Exception):
    """An HTTP error; code and the service's own words."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Session:
    """Requests to one identity service; safe to use from several threads."""

    def __init__(self, url, ca_file=None, verify=True, timeout=60, tries=4):
        self.url = url.rstrip("/")
        if not self.url.endswith("/v3"):
            self.url += "/v3"
        self.timeout, self.tries, self.token = timeout, tries, None
        context = None
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=ca_file)
            if not verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        handlers = [urllib.request.HTTPSHandler(context=context)] if context else []
        # a proxy of the environment is for the way out, not for the cloud's own API
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)

    def call(self, method, path, body=None, query=None, token=True):
        """(headers, parsed answer). Reading and logging in are tried again when the service drops the connection."""
        parts = [urllib.parse.quote(str(part), safe="") for part in path]
        url = "/".join([self.url, *parts]) + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token:
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        repeatable = method == "GET" or path == ["auth", "tokens"]
        for attempt in range(1, self.tries + 1):
            try:
                with self.opener.open(request, timeout=self.timeout) as answer:
                    text = answer.read()
                    return answer.headers, json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code not in GONE or not repeatable or attempt == self.tries:
                    raise Refused(error.code, f"{method} {url} -> {error.code} {said(error)}") from None
            except (OSError, ValueError, urllib.error.URLError) as error:
                reason = getattr(error, "reason", error)
                refused = isinstance(reason, ConnectionRefusedError)
                if refused or not repeatable or attempt == self.tries:
                    raise Unreachable(f"{method} {url}: {reason}") from None
            time.sleep(0.3 * attempt)
        raise AssertionError("unreachable")

    def get(self, collection, **query):
        """All objects of a collection."""
        _headers, answer = self.call("GET", [collection], query=query)
        return answer[collection]

    def authenticate(self, user, password, domain, project=None, project_domain=None):
        """(token, what it is good for); Refused with code 401 where the credentials are not good."""
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": {"name": domain}, "password": password}},
        }
        body = {"auth": {"identity": identity, "scope": "unscoped"}}
        if project:
            body["auth"]["scope"] = {"project": {"name": project, "domain": {"name": project_domain}}}
        headers, answer = self.call("POST", ["auth", "tokens"], body, token=False)
        return headers["X-Subject-Token"], answer["token"]


def said(error):
    """The service's own words in an HTTP error."""
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["error"]["message"].rstrip(".")
    except (ValueError, KeyError, TypeError):
        return text[:200].strip() or error.reason
