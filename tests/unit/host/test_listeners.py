# SPDX-License-Identifier: Apache-2.0
"""Who listens on a port: the output of ss, cgroups, and a real socket of this process."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from ansible.module_utils.host import listeners

SS = """\
LISTEN 0      4096       127.0.0.1:6640      0.0.0.0:*    users:(("ovsdb-server",pid=812,fd=20))
LISTEN 0      128             [::]:80           [::]:*    users:(("apache2",pid=9,fd=4),("apache2",pid=10,fd=4))
LISTEN 0      128                *:111             *:*
"""


def test_ports_processes_and_pids_are_read():
    assert listeners.parse_ss(SS) == {6640: [("ovsdb-server", 812)], 80: [("apache2", 9), ("apache2", 10)], 111: []}


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nova-api.service\n", "nova-api.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.scope\n", "x.scope"),
        ("0::/\n", ""),
    ],
)
def test_the_innermost_unit_counts(cgroup, unit):
    assert listeners.unit_of(cgroup) == unit


@pytest.mark.skipif(not shutil.which("ss"), reason="ss (iproute2) is not installed")
def test_a_socket_of_this_process_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        (found,) = listeners.listeners()[server.getsockname()[1]]
    assert found.process == Path(f"/proc/{os.getpid()}/comm").read_text().strip()
