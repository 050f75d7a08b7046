# SPDX-License-Identifier: Apache-2.0
"""Requests to the services in the catalog of a cloud. Real sockets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.host import http
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.openstack import session
from ansible.module_utils.openstack.session import Cloud
from ansible.module_utils.smoke import resources


class Answers(BaseHTTPRequestHandler):
    """Answers by path, and the requests that came."""

    plan, seen = {}, []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        Answers.seen.append((self.command, self.path, headers, body))
        status, text = Answers.plan.get(self.path.split("?")[0], (404, "{}"))
        if callable(status):
            return status(self)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def cloud():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    Answers.plan, Answers.seen = {}, []
    Answers.plan["/v3/auth/tokens"] = (token, "")
    cloud = Cloud(
        {
            "auth_url": url + "/v3",
            "username": "admin",
            "password": "pw",
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "RegionOne",
        timeout=5,
    )
    point = {"region": "RegionOne", "interface": "public"}
    Answers.catalog = [
        {"type": kind, "endpoints": [{**point, "url": url + path}]}
        for kind, path in (("compute", "/v2.1"), ("network", ""), ("image", ""))
    ]
    yield cloud
    server.shutdown()
    server.server_close()


def token(handler):
    body = json.dumps({"token": {"project": {"id": "p1"}, "catalog": Answers.catalog}}).encode()
    handler.send_response(201)
    handler.send_header("X-Subject-Token", "the-token")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_requests_go_where_the_catalog_says(cloud, tmp_path):
    cloud.connect()
    Answers.plan.update(
        {
            "/v2.1/servers/detail": (200, '{"servers": []}'),
            "/v2.0/networks": (200, '{"networks": [1]}'),
            "/v2/images/i1/file": (204, ""),
        }
    )
    assert resources.owned_servers(cloud, "verify") == []
    assert cloud.get("network", "/networks", name="a b")["networks"] == [1]
    (tmp_path / "disk").write_bytes(b"\0" * 100000)
    cloud.upload("i1", tmp_path / "disk")
    _, compute, network, image = Answers.seen
    assert compute[1] == "/v2.1/servers/detail?name=verify"
    assert compute[2]["openstack-api-version"] == "compute 2.74" and compute[2]["x-auth-token"] == "the-token"
    assert network[1] == "/v2.0/networks?name=a+b" and "openstack-api-version" not in network[2]
    assert image[0] == "PUT" and image[3] == b"\0" * 100000 and image[2]["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("", "/v2.0"),
        ("/v2.0", ""),
        ("/v2.0/", ""),
        ("/networking", "/v2.0"),
        ("/v2.1/0123456789abcdef0123456789abcdef", ""),
    ],
)
def test_an_endpoint_gets_its_version_when_it_lacks_one(path, version):
    point = {"region": "R", "interface": "public", "url": f"http://n:9696{path}"}
    catalog = [{"type": "network", "endpoints": [point]}]
    assert session.service_url(catalog, "network", "R", "public") == f"http://n:9696{path.rstrip('/')}{version}"


def test_a_missing_service_or_endpoint_is_named_with_what_there_is():
    catalog = [{"type": "image", "endpoints": [{"region": "R1", "interface": "internal", "url": "http://i"}]}]
    with pytest.raises(HttpError, match="no service of type compute, only image"):
        session.service_url(catalog, "compute", "R1", "public")
    with pytest.raises(HttpError, match="no public endpoint in region R1, only internal in R1"):
        session.service_url(catalog, "image", "R1", "public")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"badRequest": {"message": "Invalid host", "code": 400}}', "Invalid host"),
        (
            '{"NeutronError": {"type": "X", "message": "Physical network in use", "detail": ""}}',
            "Physical network in use",
        ),
        ("<html><body><h1>403 Forbidden</h1>\n no such property</body></html>", "403 Forbidden no such property"),
        ("plain", "plain"),
        ("", ""),
        ("[]", "[]"),
        ('{"message": "short"}', "short"),
    ],
)
def test_the_error_text_of_a_service_is_passed_on(cloud, body, text):
    assert http.error_text(body.encode()) == text
    cloud.connect()
    Answers.plan["/v2.1/servers"] = (400, body)
    with pytest.raises(HttpError, match="POST http://.*/servers -> 400") as error:
        cloud.call("compute", "POST", "/servers", {})
    assert error.value.code == 400 and text in str(error.value)


def test_a_dropped_connection_is_tried_again_for_reading_only(cloud):
    cloud.connect()
    drops = []

    def drop(handler):
        drops.append(handler.command)
        if len(drops) > 1:
            handler.send_response(200)
            handler.end_headers()
        handler.close_connection = True
        if len(drops) == 1:
            handler.connection.close()

    Answers.plan["/v2.1/os-services"] = (drop, "")
    assert cloud.get("compute", "/os-services") is None and drops == ["GET", "GET"]
    drops.clear()
    with pytest.raises(HttpError) as error:
        cloud.call("compute", "POST", "/os-services", {})
    assert error.value.code == 0 and drops == ["POST"]


def test_removing_what_is_gone_is_no_error(cloud):
    cloud.connect()
    Answers.plan["/v2/images/there"] = (204, "")
    assert cloud.remove("image", "/images/there") is True
    assert cloud.remove("image", "/images/gone") is False
