# SPDX-License-Identifier: Apache-2.0
"""HTTP requests to real servers on the loopback."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.host import http


@pytest.fixture
def server():
    """Return a server with its URL, the requests that it got, and its answers by target: status, headers, body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append((self.command, self.path, self.headers["Host"]))
            answers = self.server.answers.get(self.path, [(404, {}, b"")])
            status, headers, body = answers[0] if len(answers) == 1 else answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.requests, running.answers = [], {}
    running.port = running.server_address[1]
    running.url = f"http://127.0.0.1:{running.port}"
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def test_an_error_status_is_an_answer_to_send_and_an_error_to_request(server):
    server.answers["/gone"] = [(410, {}, b"it was removed.")]
    assert http.send("GET", server.url + "/gone", timeout=5)[:2] == (410, "Gone")
    with pytest.raises(http.HttpError, match=f"GET {server.url}/gone -> 410 it was removed$") as error:
        http.request("GET", server.url + "/gone", timeout=5)
    assert (error.value.code, error.value.reason, error.value.temporary) == (410, "it was removed", False)


def test_redirections_are_followed_where_wanted(server):
    server.answers = {"/old": [(302, {"Location": "/new"}, b"")], "/new": [(200, {}, b"here")]}
    assert http.request("GET", server.url + "/old", timeout=5).body == b"here"
    assert http.send("GET", server.url + "/old", timeout=5, follow=False).status == 302


def test_a_proxy_is_used_only_when_it_is_given(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.answers = {"/": [(200, {}, b"direct")], "http://debian.example/": [(200, {}, b"by proxy")]}
    assert http.request("GET", server.url + "/", timeout=5).body == b"direct"
    assert http.request("GET", "http://debian.example/", timeout=5, proxy=server.url).body == b"by proxy"


def test_another_address_is_connected_to_under_the_name_of_the_url(server):
    server.answers["/page"] = [(200, {}, b"x" * 100)]
    url = "http://console.example:6080/page"
    answer = http.send("GET", url, timeout=5, address=("127.0.0.1", server.port), limit=10)
    assert (answer.status, answer.body) == (200, b"x" * 10)
    assert server.requests == [("GET", "/page", "console.example:6080")]


def test_an_overloaded_service_is_asked_again_as_often_as_wanted(server, monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0)
    server.answers["/"] = [(503, {}, b""), (502, {}, b""), (200, {}, b"ok")]
    with pytest.raises(http.HttpError) as error:
        http.request("GET", server.url + "/", timeout=5, tries=2)
    assert error.value.code == 502
    assert http.request("GET", server.url + "/", timeout=5, tries=2).body == b"ok"
    server.answers["/"] = [(503, {}, b""), (200, {}, b"ok")]
    with pytest.raises(http.HttpError, match="503"):
        http.request("POST", server.url + "/", timeout=5, tries=4)


def test_a_refused_connection_is_final(monkeypatch):
    monkeypatch.setattr(http.time, "sleep", lambda _seconds: pytest.fail("it was sent again"))
    with pytest.raises(http.HttpError, match="GET http://127.0.0.1:1/ got no answer: .*refused") as error:
        http.request("GET", "http://127.0.0.1:1/", timeout=5, tries=4)
    assert (error.value.code, error.value.temporary) == (0, False)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "no-url", "http:///v3", "http://127.0.0.1:port/"])
def test_an_invalid_url_is_an_error_with_code_0(url):
    with pytest.raises(http.HttpError, match=url) as error:
        http.request("GET", url, timeout=5, tries=4)
    assert (error.value.code, error.value.temporary) == (0, False)


def test_user_and_password_of_a_url_are_neither_sent_nor_shown(server):
    url = f"http://admin:hushhush@127.0.0.1:{server.port}/no"
    with pytest.raises(http.HttpError, match=f"GET {server.url}/no -> 404 Not Found") as error:
        http.request("GET", url, timeout=5)
    assert "hushhush" not in str(error.value)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_a_certificate_is_checked_unless_that_is_not_wanted(server, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=cloud.example"]
    command += ["-addext", "subjectAltName=DNS:cloud.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answers["/"] = [(200, {}, b"ok")]
    here = {"timeout": 5, "address": ("127.0.0.1", server.port)}
    trusted = http.tls_context(str(certificate))
    assert http.request("GET", "https://cloud.example/", context=trusted, **here).body == b"ok"
    unchecked = http.tls_context(verify=False)
    assert http.request("GET", "https://other.example/", context=unchecked, **here).body == b"ok"
    for url, context in (("https://cloud.example/", None), ("https://other.example/", trusted)):
        with pytest.raises(http.HttpError, match="(?i)certificate verify failed"):
            http.request("GET", url, context=context, **here)


def test_a_missing_file_of_authorities_is_named():
    with pytest.raises(http.HttpError, match="/no/such.pem cannot be read: No such file or directory"):
        http.tls_context("/no/such.pem")
