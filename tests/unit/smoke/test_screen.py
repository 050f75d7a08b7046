# SPDX-License-Identifier: Apache-2.0
"""The check of a screen, against a console proxy of the test."""

from __future__ import annotations

import socket
import ssl
import struct
import threading

import pytest
from ansible.module_utils.smoke import screen
from ansible.module_utils.smoke.instances import Instance
from ansible.module_utils.smoke.steps import StepFailed
from test_rfb import BLACK, WHITE, rectangle, update
from test_websocket import answer_upgrade, server_frame

NAME = b"QEMU (instance-00000009)"
SCREEN = struct.pack(">HHB15xI", 2, 1, 32, len(NAME)) + NAME
SESSION = b"RFB 003.008\n" + b"\x01\x01" + b"\0\0\0\0" + SCREEN + update(rectangle(0, 0, 2, 1, 0, BLACK + WHITE))


class Proxy:
    """A console proxy that serves one page and then one session."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Serve the page, and then the session."""
        with self.listener.accept()[0] as client:
            self.requests.append(client.recv(4096).decode())
            client.sendall(f"HTTP/1.1 {self.page}\r\nContent-Length: 0\r\n\r\n".encode())
        with self.listener.accept()[0] as client:
            self.requests.append(answer_upgrade(client))
            client.sendall(server_frame(2, SESSION))
            while client.recv(4096):
                pass


@pytest.fixture
def check():
    proxies = []

    def run(page="200 OK", name="instance-00000009"):
        proxies.append(Proxy(page))
        url = "http://console.example:6080/vnc_lite.html?path=%3Ftoken%3Dsecret"
        instance = Instance("u", "v", "ACTIVE", "h1", "10.0.0.5", name, "v", novnc_url=url)
        return screen.check_screen(instance, proxies[-1].address, ssl.create_default_context()), proxies[-1].requests

    yield run
    for proxy in proxies:
        proxy.listener.close()


def test_a_screen_is_received_from_another_address_under_the_name_of_the_url(check):
    seen, (page, upgrade) = check()
    assert seen == "RFB 003.008, QEMU (instance-00000009), 2x1, 2 colors"
    assert page.startswith("GET /vnc_lite.html") and "Host: console.example:6080" in page
    assert upgrade.startswith("GET /?token=secret ") and "Host: console.example:6080" in upgrade


def test_a_screen_of_another_instance_is_an_error(check):
    with pytest.raises(StepFailed, match=r"is named 'QEMU \(instance-00000009\)' instead of instance-00000001"):
        check(name="instance-00000001")


def test_a_missing_page_is_an_error_that_does_not_show_the_token(check):
    with pytest.raises(StepFailed, match=r"the page /vnc_lite\.html at 127.* answers 404: is noVNC installed") as error:
        check(page="404 Not Found")
    assert "secret" not in " ".join([str(error.value), *error.value.hints])


def test_a_proxy_that_does_not_run_is_an_error():
    instance = Instance("u", "v", "ACTIVE", "h1", "10.0.0.5", "i", "v", novnc_url="http://127.0.0.1:1/vnc.html?token=t")
    with pytest.raises(StepFailed, match="no VNC session with instance v: .*refused") as error:
        screen.check_screen(instance, None, ssl.create_default_context())
    assert "nova-novncproxy.log" in error.value.hints[1]
