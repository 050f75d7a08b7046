# SPDX-License-Identifier: Apache-2.0
"""The session with Keystone: what it repeats, and its errors. Real sockets."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.openstack.session import Identity


@pytest.fixture
def server():
    """Return a function that starts a server and returns its URL and the list of the requests that it gets.

    Each connection gets the next answer: status, body and headers, or None to drop the connection.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    requests = []

    def work(answers):
        for answer in answers:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head, _empty, body = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-len")), 0)
                while len(body) < length:
                    body += connection.recv(65536)
                requests.append((lines[0], body.decode()))
                if answer:
                    status, text, headers = answer
                    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Connection: close", *headers]
                    connection.sendall(("\r\n".join(head) + "\r\n\r\n" + text).encode())

    def serve(*answers):
        threading.Thread(target=work, args=(answers,), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", requests

    yield serve
    listener.close()


def session(url, **options):
    """Return a session that is logged in."""
    opened = Identity(url, **options)
    opened.token = "token"
    return opened


def test_reading_is_repeated_when_the_connection_drops(server):
    url, requests = server(None, (503, "", []), (200, '{"roles": [{"id": "1"}]}', []))
    assert session(url).get("roles") == [{"id": "1"}]
    assert [line for line, _body in requests] == ["GET /v3/roles HTTP/1.1"] * 3


def test_creating_is_not_repeated_because_it_may_have_happened(server):
    url, requests = server(None, (201, "{}", []))
    with pytest.raises(HttpError) as error:
        session(url).call("POST", ["users"], {"user": {}})
    assert error.value.code == 0
    assert len(requests) == 1


def test_a_login_is_repeated_and_gives_the_token_of_the_header(server):
    answer = (201, '{"token": {"user": {"id": "u"}}}', ["X-Subject-Token: abc"])
    url, requests = server(None, answer)
    token, content = Identity(url).authenticate("nova", "pw", "Default", "service", "Default")
    assert (token, content["user"]["id"]) == ("abc", "u")
    scope = json.loads(requests[-1][1])["auth"]["scope"]
    assert scope == {"project": {"name": "service", "domain": {"name": "Default"}}}


def test_a_refusal_has_the_text_of_keystone_and_no_password(server):
    url, _requests = server((401, '{"error": {"message": "The request you have made requires authentication."}}', []))
    with pytest.raises(HttpError, match="requires authentication") as error:
        Identity(url).authenticate("nova", "s3cret-pw", "Default")
    assert error.value.code == 401
    assert "s3cret-pw" not in str(error.value)


def test_names_are_quoted_in_the_url(server):
    url, requests = server((200, '{"users": []}', []), (204, "", []))
    opened = session(url + "/v3/")
    opened.get("users", name="a b&c")
    opened.call("PUT", ["projects", "a/b"])
    assert [line for line, _body in requests] == [
        "GET /v3/users?name=a+b%26c HTTP/1.1",
        "PUT /v3/projects/a%2Fb HTTP/1.1",
    ]


def free_port():
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def arguments(url):
    """Return the arguments for one user of the cloud at a URL."""
    auth = {"auth_url": url, "username": "admin", "password": "s3cret-of-admin", "project_name": "admin"}
    user = {"name": "nova", "password": "s3cret-of-nova", "project": "service", "roles": ["admin"]}
    return {"auth": auth, "users": [user], "projects": [{"name": "service"}]}


def test_a_cloud_that_is_not_there_yet_is_predicted_only_in_check_mode(run_module):
    url = f"http://127.0.0.1:{free_port()}"
    predicted = run_module("openstack_identity", arguments(url), check=True)
    assert predicted["created"] == ["project service", "user nova", "role admin of nova on service"]
    run = run_module("openstack_identity", arguments(url))
    assert run["failed"]
    assert "Keystone does not answer" in run["msg"]
    assert "s3cret" not in str(predicted) + str(run)


def test_a_wrong_password_of_the_administrator_is_named(run_module, server):
    refusal = (401, '{"error": {"message": "requires authentication"}}', [])
    url, _requests = server(refusal, refusal)
    result = run_module("openstack_identity", arguments(url), check=True)
    assert result["failed"]
    assert "Check username, password and project_name of 'admin'" in result["msg"]
    assert "s3cret" not in str(result)


def test_a_broken_identity_service_is_predicted_only_in_check_mode(run_module, server):
    refusal = (500, '{"error": {"message": "no such table"}}', [])
    url, _requests = server(*[refusal] * 4)
    predicted = run_module("openstack_identity", arguments(url), check=True)
    assert predicted["created"] == ["project service", "user nova", "role admin of nova on service"]
    run = run_module("openstack_identity", arguments(url))
    assert run["failed"] and "Keystone refused a request: " in run["msg"]
