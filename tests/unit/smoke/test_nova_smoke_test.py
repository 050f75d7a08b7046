# SPDX-License-Identifier: Apache-2.0
"""Decisions of nova_smoke_test. That it passes on a real cloud and fails on a broken one is tested on real clouds."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.openstack import cloud_api
from ansible.module_utils.openstack.cloud_api import Cloud, CloudError
from ansible.module_utils.smoke import cloud_checks, instance_checks
from ansible.module_utils.smoke.steps import StepFailed, Steps, message


def service(binary, host="c1", status="enabled", state="up"):
    return {"binary": binary, "host": host, "status": status, "state": state, "updated_at": "noon"}


HEALTHY = [
    service("nova-conductor"),
    service("nova-scheduler"),
    service("nova-compute", "h1"),
    service("nova-compute", "h2"),
]


def test_healthy_services_are_no_problem():
    assert cloud_checks.service_problems(HEALTHY, ["h1", "h2"]) == []


def test_a_service_that_is_down_is_named_unless_it_is_disabled():
    assert cloud_checks.service_problems([*HEALTHY, service("nova-compute", "h3", state="down")]) == [
        "nova-compute on h3 is down, last heard of at noon"
    ]
    assert cloud_checks.service_problems([*HEALTHY, service("nova-compute", "h3", "disabled", "down")]) == []


@pytest.mark.parametrize("missing", ["nova-conductor", "nova-scheduler", "nova-compute"])
def test_a_cloud_without_a_needed_service_is_ill(missing):
    problems = cloud_checks.service_problems([entry for entry in HEALTHY if entry["binary"] != missing])
    assert problems == [f"no {missing} is enabled and up"]


def test_a_wanted_host_without_a_working_compute_is_named():
    listed = [*HEALTHY[:3], service("nova-compute", "h2", "disabled")]
    assert cloud_checks.service_problems(listed, ["h1", "h2"]) == [
        "no nova-compute is enabled and up on h2; there is one on h1"
    ]


def test_a_dead_agent_is_named():
    agents = [
        {
            "binary": "neutron-dhcp-agent",
            "host": "c1",
            "heartbeat_timestamp": "noon",
            "alive": alive,
            "admin_state_up": up,
        }
        for alive, up in ((True, True), (False, True), (False, False))
    ]
    assert cloud_checks.agent_problems(agents) == ["neutron-dhcp-agent on c1 is not alive, last heard of at noon"]


def test_settling_waits_for_what_comes_and_not_longer_than_told():
    states = iter([["a"], ["a"], []])
    assert cloud_checks.settle(lambda: next(states), lambda listed: listed, 30) == ([], [])
    assert cloud_checks.settle(lambda: ["down"], lambda listed: listed, 0) == (["down"], ["down"])


ICMP = {
    "direction": "ingress",
    "ethertype": "IPv4",
    "protocol": "icmp",
    "remote_ip_prefix": None,
    "remote_group_id": None,
    "port_range_min": None,
    "port_range_max": None,
}
SSH = {**ICMP, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
OUT = {**ICMP, "id": "out", "direction": "egress", "protocol": None}


def test_a_new_security_group_gets_its_two_rules():
    assert cloud_checks.rule_changes([OUT], 22) == ([ICMP, SSH], [])


def test_a_right_security_group_is_left_alone():
    assert cloud_checks.rule_changes([OUT, {**SSH, "id": "s"}, {**ICMP, "id": "i"}], 22) == ([], [])


@pytest.mark.parametrize(
    "other",
    [
        {"port_range_max": 2222},
        {"remote_ip_prefix": "10.0.0.0/8"},
        {"ethertype": "IPv6"},
        {"port_range_min": 2222, "port_range_max": 2222},
        {"protocol": "udp"},
    ],
)
def test_rules_that_do_not_belong_to_the_group_are_taken_out(other):
    stray = {**SSH, **other, "id": "x"}
    assert cloud_checks.rule_changes([OUT, {**ICMP, "id": "i"}, {**SSH, "id": "s"}, stray], 22) == ([], [stray])
    assert cloud_checks.rule_changes([OUT, {**ICMP, "id": "i"}, stray], 22) == ([SSH], [stray])


def test_servers_are_named_by_host():
    assert instance_checks.wanted_names("verify", []) == [("verify", None)]
    assert instance_checks.wanted_names("verify", ["h1", "h2"]) == [("verify-h1", "h1"), ("verify-h2", "h2")]


IMAGE = {
    "files": {part: {"name": part, "size": 1, "sha256": part * 2} for part in ("kernel", "initramfs", "disk")},
    "recipe": {"command_line": "quiet", "architecture": "aarch64"},
}


def test_the_disk_image_leads_to_its_kernel():
    kernel = cloud_checks.image_properties("kernel", "v", IMAGE, {})
    disk = cloud_checks.image_properties("disk", "v", IMAGE, {"kernel": "k-id", "initramfs": "r-id"})
    assert (kernel["disk_format"], kernel["name"], kernel["nova_smoke_test_sha256"]) == (
        "raw",
        "v-kernel",
        "kernelkernel",
    )
    assert (
        disk.items()
        >= {
            "disk_format": "raw",
            "container_format": "bare",
            "kernel_id": "k-id",
            "ramdisk_id": "r-id",
            "os_command_line": "quiet",
            "hw_architecture": "aarch64",
            "nova_smoke_test": "v",
        }.items()
    )


GUEST = {
    "id": "u-1",
    "name": "v",
    "host": "h1",
    "address": "10.0.0.5",
    "instance_name": "instance-0000000a",
    "hostname": "v",
}
METADATA = {"uuid": "u-1", "instance-id": "i-0000000a", "hostname": "v.novalocal", "local-ipv4": "10.0.0.5"}


def guest(**metadata):
    return {**GUEST, "report": {"address": "10.0.0.5", "metadata": {**METADATA, **metadata}}}


def test_metadata_that_agree_are_no_problem():
    assert instance_checks.metadata_problems(guest()) == []
    other_template = {**guest(**{"instance-id": "i-1"}), "instance_name": "vm-named-by-template"}
    assert instance_checks.metadata_problems(other_template) == []


@pytest.mark.parametrize("key", list(METADATA))
def test_each_of_the_metadata_is_compared(key):
    problems = instance_checks.metadata_problems(guest(**{key: "other"}))
    assert len(problems) == 1 and problems[0].startswith(f"{key} is other, Nova says ")


def test_a_lease_from_somebody_else_is_told():
    instance_checks.check_lease(guest())
    with pytest.raises(StepFailed, match="leased 10.0.0.5, but Neutron gave its port 10.0.0.6"):
        instance_checks.check_lease({**guest(), "address": "10.0.0.6"})


PING, OPEN, SILENT = {"sent": 3, "answered": 3}, {"state": "open", "said": "GUEST-TCP v.novalocal"}, {"state": "silent"}


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ((PING, OPEN, SILENT), ""),
        (({"sent": 50, "answered": 0}, OPEN, SILENT), "answered none of 50 pings"),
        ((PING, SILENT, SILENT), "answers ping, but TCP port 22 is silent"),
        ((PING, {"state": "open", "said": "SSH-2.0"}, SILENT), "says 'SSH-2.0' instead of 'GUEST-TCP v.novalocal'"),
        ((PING, OPEN, OPEN), "port 2222 of server v (10.0.0.5 on h1) is open, though"),
        ((PING, OPEN, {"state": "refused"}), "is refused, though its security group does not let it in"),
    ],
)
def test_each_answer_from_the_network_is_judged(answers, problem):
    found = instance_checks.reach_problem(guest(), *answers)
    assert problem in found if problem else found == ""


def test_a_failed_step_is_told_with_what_to_look_at():
    steps = Steps()
    with steps.step("first") as entry:
        entry["detail"] = "fine"
    with pytest.raises(StepFailed), steps.step("second"):
        raise StepFailed("no lease", ["agent x: NOT ALIVE", "", "| last line"])
    failed = steps.failed()
    assert failed["name"] == "second" and [entry["ok"] for entry in steps.done] == [True, False]
    text = message({**failed, "seconds": 12.0}, StepFailed("no lease", ["agent x: NOT ALIVE", "", "| last"]))
    assert text.splitlines() == ["Step 'second' failed after 12.0 s: no lease", "  agent x: NOT ALIVE", "  | last"]
    assert "FAILED" in steps.lines()[1] and "fine" in steps.lines()[0]


# --- requests, to a server that answers for real ------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
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
    Answers.catalogue = [
        {"type": kind, "endpoints": [{**point, "url": url + path}]}
        for kind, path in (("compute", "/v2.1"), ("network", ""), ("image", ""))
    ]
    yield cloud
    server.shutdown()
    server.server_close()


def token(handler):
    body = json.dumps({"token": {"project": {"id": "p1"}, "catalog": Answers.catalogue}}).encode()
    handler.send_response(201)
    handler.send_header("X-Subject-Token", "the-token")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_requests_go_where_the_catalogue_says(cloud, tmp_path):
    cloud.connect()
    Answers.plan.update(
        {
            "/v2.1/servers/detail": (200, '{"servers": []}'),
            "/v2.0/networks": (200, '{"networks": [1]}'),
            "/v2/images/i1/file": (204, ""),
        }
    )
    assert cloud_checks.owned_servers(cloud, "verify") == []
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
    catalogue = [{"type": "network", "endpoints": [point]}]
    assert cloud_api.service_url(catalogue, "network", "R", "public") == f"http://n:9696{path.rstrip('/')}{version}"


def test_a_missing_service_or_endpoint_is_named_with_what_there_is():
    catalogue = [{"type": "image", "endpoints": [{"region": "R1", "interface": "internal", "url": "http://i"}]}]
    with pytest.raises(CloudError, match="no service of type compute, only image"):
        cloud_api.service_url(catalogue, "compute", "R1", "public")
    with pytest.raises(CloudError, match="no public endpoint in region R1, only internal in R1"):
        cloud_api.service_url(catalogue, "image", "R1", "public")


@pytest.mark.parametrize(
    ("body", "said"),
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
def test_what_a_service_says_is_passed_on(cloud, body, said):
    assert cloud_api.words(body.encode()) == said
    cloud.connect()
    Answers.plan["/v2.1/servers"] = (400, body)
    with pytest.raises(CloudError, match="POST http://.*/servers -> 400") as error:
        cloud.call("compute", "POST", "/servers", {})
    assert error.value.code == 400 and said in str(error.value)


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
    with pytest.raises(CloudError) as error:
        cloud.call("compute", "POST", "/os-services", {})
    assert error.value.code == 0 and drops == ["POST"]


def test_the_reason_is_found_in_the_servers_actions(cloud):
    cloud.connect()
    Answers.plan.update(
        {
            "/v2.1/servers/s1/os-instance-actions": (
                200,
                '{"instanceActions": [{"request_id": "r1", "action": "create"}]}',
            ),
            "/v2.1/servers/s1/os-instance-actions/r1": (
                200,
                json.dumps(
                    {
                        "instanceAction": {
                            "events": [
                                {"event": "schedule", "result": "Success", "host": "h2", "traceback": None},
                                {
                                    "event": "build",
                                    "result": "Error",
                                    "host": "h1",
                                    "traceback": "Trace\n  File x\nPortBindingFailed: p1\n\n",
                                },
                                {"event": "build", "result": "Error", "traceback": None},
                            ]
                        }
                    }
                ),
            ),
        }
    )
    events = ["build on h1: PortBindingFailed: p1", "build on None: no reason kept"]
    assert instance_checks.build_events(cloud, "s1") == (events, ["h1", "h2"])
    Answers.plan["/v2.0/agents"] = (200, '{"agents": [{"binary": "a", "host": "h1", "alive": false}]}')
    hints = instance_checks.fault_hints(cloud, {"id": "s1"}, "Exceeded maximum number of retries")
    assert hints[2] == "agent a on h1: NOT ALIVE" and hints[-1].startswith("Look at nova-compute.log on h1 and h2,")
    lines, hosts = instance_checks.build_events(cloud, "gone")
    assert "cannot be read: GET" in lines[0] and hosts == []


def test_removing_what_is_gone_is_no_error(cloud):
    cloud.connect()
    Answers.plan["/v2/images/there"] = (204, "")
    assert cloud.remove("image", "/images/there") is True
    assert cloud.remove("image", "/images/gone") is False


def test_a_wrong_password_is_a_failure_and_not_shown(cloud, run_module, tmp_path):
    Answers.plan["/v3/auth/tokens"] = (401, '{"error": {"message": "The request requires authentication."}}')
    args = {"auth": {**cloud.auth, "password": "sosecret"}, "guest": str(tmp_path), "network": {"name": "n"}}
    result = run_module("nova_smoke_test", args, check=True)
    assert result["failed"] and "Step 'login' failed" in result["msg"] and "401" in result["msg"]
    assert "sosecret" not in json.dumps({**result, "invocation": None})


def test_check_mode_predicts_where_no_cloud_answers(run_module, tmp_path):
    auth = {"auth_url": "http://127.0.0.1:9/v3", "username": "a", "password": "sosecret", "project_name": "p"}
    args = {"auth": auth, "guest": str(tmp_path), "network": {"name": "n"}, "keep": True}
    result = run_module("nova_smoke_test", args, check=True)
    assert result["changed"] and "once the cloud answers" in result["diff"]["after"]
    assert not run_module("nova_smoke_test", {**args, "keep": False}, check=True)["changed"]
    (tmp_path / "guest.json").write_text(json.dumps(IMAGE))
    result = run_module("nova_smoke_test", args)
    assert result["failed"] and "Step 'login' failed" in result["msg"] and "refused" in result["msg"]


def test_bad_arguments_are_refused_before_anything_is_asked(run_module, tmp_path):
    auth = {"auth_url": "http://127.0.0.1:9/v3", "username": "a", "password": "sosecret", "project_name": "p"}
    args = {"auth": auth, "guest": str(tmp_path), "network": {"name": "n"}}
    assert "use at most 41 small letters" in run_module("nova_smoke_test", {**args, "name": "Nova Verify"})["msg"]
    assert "let guest_image build it first" in run_module("nova_smoke_test", args)["msg"]
