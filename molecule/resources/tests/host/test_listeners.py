# SPDX-License-Identifier: Apache-2.0
"""Services listen only on the intended addresses."""

from __future__ import annotations

import re

testinfra_hosts = ["ansible://all"]
EVERYWHERE = {"22"}  # sshd is the machine's, not ours


def test_services_listen_on_the_management_address_or_on_loopback_only(host):
    own = host.ansible.get_variables()["management_address"]
    rows = [line.split() for line in host.check_output("ss -Hltn").splitlines()]
    ends = [row[3].rsplit(":", 1) for row in rows]  # [fd00::1]:22
    assert len(ends) > 3, "a deployed host listens somewhere"
    loose = [
        f"{address}:{port}"
        for address, port in ends
        if port not in EVERYWHERE and address.strip("[]") != own and not re.match(r"127\.|\[::1\]", address)
    ]
    assert loose == []
