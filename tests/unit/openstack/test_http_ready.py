# SPDX-License-Identifier: Apache-2.0
"""http_ready with real servers on the loopback: late, wrong, silent and crashing ones."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time

import pytest


@pytest.fixture
def server():
    """Return a function that starts a server and returns its URL; say(number of the request) gives the status."""
    running = []

    def start(say, delay=0.0, port=0):
        counter = iter(range(1, 1000))

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status = say(next(counter))
                if status is None:  # as uWSGI does when the worker of a request crashes
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        def serve():
            time.sleep(delay)
            one = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
            running.append(one)
            ready.set()
            one.serve_forever(poll_interval=0.02)

        port = port or free_port()
        ready = threading.Event()
        threading.Thread(target=serve, daemon=True).start()
        if not delay:
            assert ready.wait(5)
        return f"http://127.0.0.1:{port}/"

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(run_module, *answers, check=False, **options):
    return run_module("http_ready", {"endpoints": list(answers), "interval": 0.05, **options}, check=check)


def test_all_endpoints_are_awaited_in_parallel(run_module, server):
    slow = [{"url": server(lambda _number: 200, delay=0.6), "name": f"late{index}"} for index in range(5)]
    begin = time.monotonic()
    result = wait(run_module, *slow, timeout=20)
    assert not result.get("failed") and result["changed"] is False and result["not_ready"] == []
    assert time.monotonic() - begin < 2.0, "in sequence it would take 3 s"
    assert all(answer["seconds"] >= 0.3 and answer["tries"] > 2 for answer in result["endpoints"])


def test_refused_and_reset_connections_and_errors_are_tried_again(run_module, server):
    sequence = {1: 503, 2: None, 3: 500}
    result = wait(
        run_module, {"url": server(lambda number: sequence.get(number, 300)), "status": [200, 300]}, timeout=20
    )
    assert (result["endpoints"][0]["status"], result["endpoints"][0]["tries"]) == (300, 4)


def test_a_redirection_is_not_followed(run_module, server):
    result = wait(run_module, {"url": server(lambda _number: 302), "status": [302]}, timeout=5)
    assert result["endpoints"][0]["status"] == 302


def test_the_failure_names_each_endpoint_and_its_last_answer(run_module, server):
    good, wrong = server(lambda _number: 200), server(lambda _number: 404)
    nothing = f"http://127.0.0.1:{free_port()}/"
    answers = [{"url": good}, {"url": wrong, "name": "glance"}, {"url": nothing, "name": "placement"}]
    result = wait(run_module, *answers, timeout=1)
    assert result["failed"] and "2 of 3 endpoints are not ready after 1 s" in result["msg"]
    assert f"glance: {wrong} last gave '404 Not Found' instead of 200" in result["msg"]
    assert f"placement: {nothing} last gave" in result["msg"] and "refused" in result["msg"]
    assert good not in result["msg"]
    assert result["not_ready"] == ["glance", "placement"]


def test_a_server_that_accepts_and_never_answers_does_not_hang_the_module(run_module):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        result = wait(run_module, {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}, timeout=1)
    assert result["failed"] and "no answer within" in result["msg"]
    assert time.monotonic() - begin < 5


def test_check_mode_tries_once_and_reports(run_module, server):
    nothing = f"http://127.0.0.1:{free_port()}/"
    result = wait(run_module, {"url": server(lambda _number: 503)}, {"url": nothing}, check=True, timeout=60)
    assert not result.get("failed")
    assert [answer["tries"] for answer in result["endpoints"]] == [1, 1]
    assert len(result["not_ready"]) == 2


@pytest.mark.parametrize("url", ["127.0.0.1:8774", "ftp://host/", "http:///v3", "http://host:port/"])
def test_an_invalid_url_fails_immediately(run_module, url):
    result = wait(run_module, {"url": url}, timeout=60)
    assert result["failed"] and f"{url} is not a valid URL" in result["msg"]


def test_a_password_in_a_url_is_not_shown(run_module):
    result = wait(run_module, {"url": f"http://user:hushhush@127.0.0.1:{free_port()}/"}, timeout=0.5)
    assert "hushhush" not in json.dumps(result)


def test_a_missing_file_of_authorities_fails_immediately(run_module):
    result = wait(run_module, {"url": "https://127.0.0.1/"}, ca_path="/no/such.pem", timeout=60)
    assert result["failed"] and "/no/such.pem cannot be read" in result["msg"]
