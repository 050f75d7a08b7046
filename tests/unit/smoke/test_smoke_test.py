# SPDX-License-Identifier: Apache-2.0
"""The smoke test as a whole. On real clouds, healthy and broken, it is run by hand and by Molecule."""

from __future__ import annotations

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.host import lock
from ansible.module_utils.smoke import instance_checks, screen
from ansible.module_utils.smoke.instances import Parts
from ansible.module_utils.smoke.smoke_test import SmokeTest
from ansible.module_utils.smoke.steps import StepFailed
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
    "keep_failed": False,
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


# --- a whole run ------------------------------------------------------------------------------------------------------

CONSOLE = """GUEST-BANNER nova-guest up 2
GUEST-DHCP 10.0.0.5 mask=24 routes=[] up 3
GUEST-META instance-id=i-0000000a hostname=v.novalocal local-ipv4=10.0.0.5 uuid=s1 up 4
"""


def empty_cloud():
    """Return a cloud in which nothing was made yet, and whose instance works."""
    services = [("nova-conductor", "c1"), ("nova-scheduler", "c1"), ("nova-compute", "h1")]
    made = {**server("s1"), "OS-EXT-SRV-ATTR:instance_name": "instance-0000000a"}
    group = {"id": "g1", "security_group_rules": []}
    subnet = {"id": "sub", "cidr": "10.0.0.0/24"}
    return FakeCloud(
        {
            "/os-services": {
                "services": [{"binary": b, "host": h, "status": "enabled", "state": "up"} for b, h in services]
            },
            "/agents": {"agents": [{"binary": "dhcp", "host": "c1", "alive": True, "admin_state_up": True}]},
            "/servers/detail": {"servers": []},
            "/servers": {"server": made},
            "/servers/s1": {"server": made},
            "/servers/s1/action": {"output": CONSOLE},
            "/servers/s1/remote-consoles": {"remote_console": {"url": "http://c1/vnc?token=t"}},
            "/ports": {"ports": [{"fixed_ips": [{"ip_address": "10.0.0.5"}]}]},
            "/security-groups": {"security_groups": [], "security_group": group},
            "/security-group-rules": None,
            "/networks": {
                "networks": [],
                "network": {"id": "n1", "name": "v", "description": "made by nova_smoke_test for v"},
            },
            "/subnets": {"subnets": [], "subnet": subnet},
            "/images": {"images": [], "id": "i1"},
            "/images/i1": {"id": "i1", "status": "active", "size": 1},
            "/flavors/detail": {"flavors": []},
            "/flavors": {"flavor": {"id": "f1"}},
        }
    )


@pytest.fixture
def new_run(tmp_path, monkeypatch):
    """Return a smoke test on an empty cloud; the instance answers on the network and has a screen."""
    for part in IMAGE["files"]:
        (tmp_path / part).write_bytes(b"x")
    network = {"physical_network": "provider", "cidr": "10.0.0.0/24"}
    more = {"guest": str(tmp_path), "flavor": {"ram": None, "vcpus": 1, "disk": 1}, "network": network}
    test = SmokeTest({**OPTIONS, **more, "probe_command": [], "console_address": None, "keep": False})
    test.cloud = empty_cloud()
    monkeypatch.setattr(instance_checks, "look_from", lambda argv, place, probes: ANSWERS)
    monkeypatch.setattr(screen, "check_screen", lambda instance, address, context: "a screen")
    return test


ANSWERS = [
    {"sent": 3, "answered": 3, "milliseconds": 0.5, "error": ""},
    {"state": "open", "greeting": "GUEST-TCP v.novalocal"},
    {"state": "silent", "greeting": ""},
]
IMAGE_TO_BOOT = {**IMAGE, "recipe": {**IMAGE["recipe"], "memory_mb": 128}}


def test_a_run_makes_what_is_missing_and_verifies_each_step(new_run):
    new_run.run(IMAGE_TO_BOOT)
    assert [step.name for step in new_run.steps.done if step.ok] == [
        "login",
        "services",
        "agents",
        "leftovers",
        "images",
        "flavor",
        "network",
        "security group",
        "instance",
        "console",
        "lease",
        "metadata",
        "network answers",
        "screen",
    ]
    assert new_run.made == [
        "image v-kernel",
        "image v-initramfs",
        "image v-disk",
        "flavor v",
        "network v",
        "security group v",
        "instance v",
    ]
    bodies = {path: body for method, path, body in new_run.cloud.requests if method == "POST"}
    assert bodies["/flavors"]["flavor"]["ram"] == 128
    assert bodies["/servers"]["server"] == {
        "name": "v",
        "imageRef": "i1",
        "flavorRef": "f1",
        "networks": [{"uuid": "n1"}],
        "security_groups": [{"name": "g1"}],
        "metadata": {"nova_smoke_test": "v", "nova_smoke_test_image": "i1"},
    }
    result = new_run.result()
    assert result["server"]["console"] == CONSOLE.splitlines() and result["server"]["address"] == "10.0.0.5"
    assert json.loads(json.dumps(result)) == result


def test_an_adopted_instance_that_fails_is_replaced_once(new_run, monkeypatch):
    monkeypatch.setattr(new_run, "boot", lambda parts: True)
    results = iter([StepFailed("no lease"), None])

    def verify(_parts):
        with new_run.steps.step("lease"):
            error = next(results)
            if error:
                raise error

    monkeypatch.setattr(new_run, "verify", verify)
    new_run.run(IMAGE_TO_BOOT)
    assert new_run.made[-1] == "a new instance, because step 'lease' failed with the old one (no lease)"
    assert [step.name for step in new_run.steps.done[-2:]] == ["replacement", "lease"] and not new_run.steps.failed()


def test_wrong_metadata_fail_the_step(new_run):
    new_run.cloud.answers["/servers/s1/action"] = {"output": CONSOLE.replace("uuid=s1", "uuid=s2")}
    with pytest.raises(StepFailed, match="gave instance v wrong data: uuid is s2, but Nova has s1"):
        new_run.run(IMAGE_TO_BOOT)
    assert new_run.steps.failed().name == "metadata"


def test_leftovers_that_cannot_be_removed_end_the_run_before_anything_is_made(new_run):
    del new_run.cloud.answers["/flavors/detail"]
    with pytest.raises(StepFailed, match="resources of an earlier run cannot be removed: cannot remove flavor v: GET"):
        new_run.run(IMAGE_TO_BOOT)
    assert new_run.made == []


def test_an_interrupted_run_is_a_failure_after_which_everything_is_removed(new_run, monkeypatch):
    import nova_smoke_test

    handlers = {number: signal.getsignal(number) for number in nova_smoke_test.SIGNALS}
    monkeypatch.setattr(new_run, "verify", lambda parts: os.kill(os.getpid(), signal.SIGTERM))
    try:
        failure, problems = nova_smoke_test.verify(new_run, IMAGE_TO_BOOT)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert failure == "interrupted by SIGTERM" and problems == []
    assert new_run.steps.done[-1].name == "removal" and not new_run.stays


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
