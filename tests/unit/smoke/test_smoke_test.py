# SPDX-License-Identifier: Apache-2.0
"""The smoke test as a whole. On real clouds, healthy and broken, it is run by hand and by Molecule."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.host import lock
from ansible.module_utils.smoke.instances import Parts
from ansible.module_utils.smoke.smoke_test import SmokeTest
from fake_cloud import FakeCloud
from test_resources import IMAGE

OPTIONS = {
    "name": "v",
    "auth": {"auth_url": "http://127.0.0.1:9/v3", "username": "a", "password": "sosecret", "project_name": "p"},
    "region": "RegionOne",
    "interface": "public",
    "ca_file": None,
    "validate_certs": True,
    "hosts": [],
    "keep": True,
    "timeout": 5,
}


def smoke_test(servers, **options):
    """Return a smoke test on a cloud with these instances."""
    test = SmokeTest({**OPTIONS, **options})
    actions = {f"/servers/{server['id']}/action": None for server in servers}
    test.cloud = FakeCloud({"/servers/detail": {"servers": servers}, **actions})
    return test


def server(server_id, name="v", status="ACTIVE", host="h1", **metadata):
    found = {"nova_smoke_test": "v", "nova_smoke_test_image": "image-1", **metadata}
    return {"id": server_id, "name": name, "status": status, "OS-EXT-SRV-ATTR:host": host, "metadata": found}


PARTS = Parts("image-1", "f", "n", "g")


def test_an_instance_that_is_still_right_is_adopted():
    test = smoke_test([server("s1")])
    assert test.adopt(PARTS) == {"v": "s1"} and (test.made, test.removed) == ([], [])


def test_an_instance_that_is_shut_off_is_started():
    test = smoke_test([server("s1", status="SHUTOFF")])
    assert test.adopt(PARTS) == {"v": "s1"} and test.made == ["start of instance v"]


@pytest.mark.parametrize(
    "wrong",
    [
        server("s1", status="ERROR"),
        server("s1", name="v-h9"),
        server("s1", nova_smoke_test_image="image-0"),
        {**server("s1"), "metadata": {"nova_flow": "v", "nova_flow_image": "image-1"}},
    ],
)
def test_an_instance_that_is_no_longer_right_is_removed(wrong):
    test = smoke_test([wrong])
    assert test.adopt(PARTS) == {}
    assert test.removed == [f"instance {wrong['name']}"] and test.cloud.removed == ["/servers/s1"]


def test_an_instance_on_another_host_is_removed():
    test = smoke_test([server("s1", name="v-h2", host="h1"), server("s2", name="v-h1", host="h1")], hosts=["h1", "h2"])
    assert test.adopt(PARTS) == {"v-h1": "s2"} and test.cloud.removed == ["/servers/s1"]


def test_check_mode_predicts_by_the_instances():
    servers = [server("s1"), server("s2", name="v-h1")]
    assert smoke_test(servers, keep=False).predict() == [
        "instance v would be removed",
        "instance v-h1 would be removed",
    ]
    assert smoke_test(servers, hosts=["h1", "h2"]).predict() == [
        "instance v-h2 would be made",
        "instance v would be removed",
    ]


# --- the module -------------------------------------------------------------------------------------------------------


class Refusing(BaseHTTPRequestHandler):
    """A Keystone that accepts no password."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b'{"error": {"message": "The request requires authentication."}}')

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v3"
        server.shutdown()


@pytest.fixture
def arguments(tmp_path):
    return {"auth": OPTIONS["auth"], "guest": str(tmp_path), "network": {"name": "n"}}


def test_a_wrong_password_is_a_failure_and_is_not_shown(refusing, run_module, arguments):
    arguments["auth"] = {**arguments["auth"], "auth_url": refusing}
    result = run_module("nova_smoke_test", arguments, check=True)
    assert result["failed"] and "Step 'login' failed" in result["msg"] and "401" in result["msg"]
    assert "sosecret" not in json.dumps({**result, "invocation": None})


def test_check_mode_predicts_where_no_cloud_answers(run_module, arguments, tmp_path):
    arguments["keep"] = True
    result = run_module("nova_smoke_test", arguments, check=True)
    assert result["changed"] and "once the cloud answers" in result["diff"]["after"]
    assert not run_module("nova_smoke_test", {**arguments, "keep": False}, check=True)["changed"]
    (tmp_path / "guest.json").write_text(json.dumps(IMAGE))
    result = run_module("nova_smoke_test", arguments)
    assert result["failed"] and "Step 'login' failed" in result["msg"] and "refused" in result["msg"]


def test_wrong_arguments_are_refused_before_the_first_request(run_module, arguments):
    assert (
        "use at most 41 lowercase letters" in run_module("nova_smoke_test", {**arguments, "name": "Nova Verify"})["msg"]
    )
    assert "build it with guest_image first" in run_module("nova_smoke_test", arguments)["msg"]


def test_only_one_run_of_a_name_is_active_on_a_host(run_module, arguments, tmp_path):
    import nova_smoke_test

    (tmp_path / "guest.json").write_text(json.dumps(IMAGE))
    arguments["name"] = "only-one"
    with lock.locked(nova_smoke_test.lock_path("only-one")):
        result = run_module("nova_smoke_test", arguments)
    assert result["failed"] and "another run of the smoke test 'only-one' is active" in result["msg"]
