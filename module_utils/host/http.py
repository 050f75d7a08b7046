# SPDX-License-Identifier: Apache-2.0
"""HTTP requests with the standard library alone: quick to import, and nothing to install.

Each request opens its own connection: Debian's uWSGI services drop idle ones, which looks like a failure.
A proxy of the environment is not used: it is for the way out, not for the APIs of the cloud.
"""

from __future__ import annotations

import functools
import http.client
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from ansible.module_utils.message import Message, OperatorError

OVERLOADED = (502, 503, 504)  # codes of a service, or a proxy in front of it, that may answer a moment later
PAUSE = 0.3  # seconds before the second attempt; before the third twice as long, and so on
LONGEST_ERROR = 400  # characters of a page that is neither JSON nor short


class HttpError(OperatorError):
    """A request failed.

    code: the HTTP status, or 0 when there was no answer.
    reason: the text of the server, or of the system where there was no answer.
    temporary: whether the same request may succeed a moment later.
    """

    def __init__(self, message: Message, code: int = 0, reason: str = "", temporary: bool = False) -> None:
        super().__init__(message)
        self.code, self.reason, self.temporary = code, reason, temporary


class Answer(NamedTuple):
    """The answer of a server; `reason` is the text of its status line."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def tls_context(ca_file: str | None = None, verify: bool = True) -> ssl.SSLContext:
    """Return what checks a server's certificate, by the system's authorities or those of a file; raise HttpError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        why = error.strerror or str(error)
        raise HttpError(
            Message(f"the file of certificate authorities {ca_file} cannot be read: {why}"), reason=why
        ) from None
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | IO[bytes] | None = None,
    timeout: float,
    context: ssl.SSLContext | None = None,
    proxy: str = "",
    follow: bool = True,
    address: tuple[str, int] | None = None,
    limit: int | None = None,
) -> Answer:
    """Send a request once and return the answer, whatever its status; raise HttpError when there is none.

    timeout: seconds to wait for the connection, and for each part of the answer.
    context: what checks the certificate of an https URL; by default the authorities of the system.
    proxy: URL of a proxy; by default there is none.
    follow: follow redirections.
    address: host and port to connect to instead of the URL's; the request still names the URL's host.
    limit: bytes of the body to read.
    """
    url = _without_account(url)
    try:
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)
        try:
            response: Any = _opener(context, proxy, follow, address).open(request, timeout=timeout)
        except urllib.error.HTTPError as error:  # a redirection to nowhere; it is an answer too
            response = error
        with response:
            return Answer(response.getcode(), response.reason or "", response.headers, response.read(limit))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _no_answer(method, url, error, timeout) from None


def request(
    method: str, url: str, *, tries: int = 1, repeatable: bool | None = None, timeout: float, **options: Any
) -> Answer:
    """Send a request and return the answer; raise HttpError when there is none, or its status is an error.

    tries: how often a repeatable request is sent when the service drops the connection or is overloaded. A refused
    connection is final.
    repeatable: whether sending it twice does no harm; by default so are GET requests.
    The other options are those of send().
    """
    if not (method == "GET" if repeatable is None else repeatable):
        tries = 1
    for attempt in range(1, tries):
        try:
            return _accepted(method, url, timeout, options)
        except HttpError as error:
            if not error.temporary:
                raise
        time.sleep(PAUSE * attempt)
    return _accepted(method, url, timeout, options)


def _accepted(method: str, url: str, timeout: float, options: dict[str, Any]) -> Answer:
    """Send a request once; raise HttpError when the status is an error."""
    answer = send(method, url, timeout=timeout, **options)
    if answer.status < 400:
        return answer
    text = error_text(answer.body) or answer.reason
    message = Message(f"{method} {_without_account(url)} -> {answer.status} {text}")
    raise HttpError(message, answer.status, text, answer.status in OVERLOADED)


def _no_answer(method: str, url: str, error: Exception, timeout: float) -> HttpError:
    """Return the error of a request without an answer."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    reason = f"no answer within {timeout:.0f} s" if isinstance(cause, socket.timeout) else str(cause)
    reason = reason or type(cause).__name__
    temporary = isinstance(cause, (OSError, http.client.HTTPException)) and not isinstance(
        cause, (ConnectionRefusedError, http.client.InvalidURL)
    )
    return HttpError(Message(f"{method} {url} got no answer: {reason}"), reason=reason, temporary=temporary)


def _without_account(url: str) -> str:
    """Return a URL without user and password, which are not sent and must not be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _opener(
    context: ssl.SSLContext | None, proxy: str, follow: bool, address: tuple[str, int] | None
) -> urllib.request.OpenerDirector:
    """Return what sends requests."""
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.UnknownHandler())
    opener.add_handler(_Connector(context, address))
    if proxy:
        opener.add_handler(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    if follow:
        opener.add_handler(urllib.request.HTTPErrorProcessor())
        opener.add_handler(urllib.request.HTTPRedirectHandler())
        opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    return opener


class _Connector(urllib.request.AbstractHTTPHandler):
    """The connections of requests. urllib's own handler reads the system's authorities even when no URL is https."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, context: ssl.SSLContext | None, address: tuple[str, int] | None) -> None:
        super().__init__()
        self.context, self.address = context, address

    def http_open(self, request: urllib.request.Request) -> Any:
        """Send a request without TLS."""
        return self.do_open(self._plain, request)

    def https_open(self, request: urllib.request.Request) -> Any:
        """Send a request with TLS."""
        return self.do_open(self._encrypted, request)

    def _plain(self, host: str, /, **options: Any) -> http.client.HTTPConnection:
        return self._to_address(http.client.HTTPConnection(host, **options))

    def _encrypted(self, host: str, /, **options: Any) -> http.client.HTTPConnection:
        context = self.context or _system_context()
        return self._to_address(http.client.HTTPSConnection(host, context=context, **options))

    def _to_address(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        """Make a connection lead to the address, if one is given."""
        address = self.address

        def connect(_of_the_url: tuple[str, int], *options: Any) -> socket.socket:
            return socket.create_connection(address or _of_the_url, *options)

        # the only place where http.client separates the address from the name in the Host header and in TLS
        connection._create_connection = connect  # type: ignore[attr-defined]  # the types leave it out
        return connection


@functools.lru_cache(maxsize=1)
def _system_context() -> ssl.SSLContext:
    """Return what checks certificates by the authorities of the system."""
    return tls_context()


def error_text(body: bytes) -> str:
    """Return what a service wrote in the body of an error: JSON of several shapes, HTML or text."""
    text = body.decode(errors="replace")
    try:
        inner = next(iter(json.loads(text).values()))
        text = str(inner.get("message") or inner) if isinstance(inner, dict) else str(inner)
    except (ValueError, AttributeError, StopIteration):
        text = " ".join(re.sub(r"<[^>]*>", " ", text).split())[:LONGEST_ERROR]
    return text.rstrip(".")
