# SPDX-License-Identifier: Apache-2.0
"""The screen of a test instance, through Nova's console proxy."""

from __future__ import annotations

import socket
import ssl

from ansible.module_utils.host import http
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message
from ansible.module_utils.openstack.session import Cloud
from ansible.module_utils.smoke import rfb, websocket
from ansible.module_utils.smoke.instances import Instance
from ansible.module_utils.smoke.steps import StepFailed

TIMEOUT = 20  # seconds without data


def console_url(cloud: Cloud, instance: Instance) -> str:
    """Return a new noVNC URL of an instance."""
    body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    url: str = cloud.call("compute", "POST", f"/servers/{instance.id}/remote-consoles", body)["remote_console"]["url"]
    return url


def target(endpoint: websocket.Endpoint, address: str | None) -> tuple[str, int]:
    """Return host and port to connect to: those of an endpoint, or of another address (HOST:PORT) that serves it."""
    host, port = endpoint.host, str(endpoint.port)
    if address:
        host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def connect(endpoint: websocket.Endpoint, address: str | None, context: ssl.SSLContext) -> socket.socket:
    """Return a connection to an endpoint, or to another address (HOST:PORT) that serves it."""
    sock = socket.create_connection(target(endpoint, address), TIMEOUT)
    return context.wrap_socket(sock, server_hostname=endpoint.host) if endpoint.tls else sock


def page_status(endpoint: websocket.Endpoint, address: str | None, context: ssl.SSLContext) -> int:
    """Return the HTTP status of the page that a browser would load."""
    url = endpoint.origin + endpoint.page
    answer = http.send(
        "GET", url, timeout=TIMEOUT, context=context, follow=False, address=target(endpoint, address), limit=0
    )
    return answer.status


def check_screen(instance: Instance, address: str | None, context: ssl.SSLContext) -> str:
    """Receive the screen of an instance in a VNC session, and return what was seen.

    Raise StepFailed when that is not possible, or when it is the screen of another instance.
    """
    endpoint = websocket.console_endpoint(instance.novnc_url)
    place = address or f"{endpoint.host}:{endpoint.port}"
    hints = [
        f"The console URL is {instance.novnc_url.split('?')[0]}, the connection went to {place}.",
        f"Look at nova-novncproxy.log on the controller and at the VNC address of the guest on {instance.host}.",
    ]
    try:
        status = page_status(endpoint, address, context)
        if status != 200:
            raise StepFailed(
                Message(f"the page {endpoint.page} at {place} answers {status}: is noVNC installed?"), hints
            )
        stream = websocket.WebSocket(connect(endpoint, address, context))
        try:
            stream.handshake(endpoint)
            screen = rfb.handshake(stream)
            picture = rfb.picture(stream, screen)
        finally:
            stream.close()
    except (OSError, HttpError, websocket.WebSocketError, rfb.RfbError) as error:
        raise StepFailed(Message(f"no VNC session with instance {instance.name}: {error}"), hints) from None
    if instance.instance_name and instance.instance_name not in screen.name:
        raise StepFailed(
            Message(
                f"the screen of instance {instance.name} is named '{screen.name}' instead of {instance.instance_name}"
            ),
            hints,
        )
    return f"{screen.version}, {screen.name}, {picture.width}x{picture.height}, {picture.colors} colors"
