# SPDX-License-Identifier: Apache-2.0
"""The report that the test guest writes to its console."""

from __future__ import annotations

from ansible.module_utils.guest import guest_report

CONSOLE = (
    "SeaBIOS (version 1.16)\r\n\r\r\n"
    "GUEST-BANNER nova-guest up 2.52 kernel 6.1.0-56-cloud-amd64 memory 92\r\n"
    "GUEST-DISK vda bytes=1073741824 mark=nova-ansible-guest-disk\r\n"
    "GUEST-DHCP none: no answer yet, still asking, up 13.20\r\n"
    "GUEST-DHCP 10.88.0.103 mask=24 routes=[169.254.169.254/32 via 10.88.0.100, 0.0.0.0/0 via 10.88.0.1] up 14\r\n"
    "GUEST-META none try 1: /latest/meta-data/instance-id: no answer up 15\r\n"
    "GUEST-META instance-id=i-00000003 hostname=vm.novalocal local-ipv4=10.88.0.103 uuid=abc-def up 16.1\r\n"
    "GUEST-ALIVE vm.novalocal up 16.2\r\n"
    "[   17.2] a kernel message in between GUEST-BANNER half a line\r\n"
)


def test_a_console_log_is_read():
    found = guest_report.report(CONSOLE)
    assert found.banner == "nova-guest up 2.52 kernel 6.1.0-56-cloud-amd64 memory 92"
    assert found.disk.startswith("vda bytes=1073741824")
    assert found.address == "10.88.0.103"
    assert found.routes == "169.254.169.254/32 via 10.88.0.100, 0.0.0.0/0 via 10.88.0.1"
    assert found.metadata == {
        "instance-id": "i-00000003",
        "hostname": "vm.novalocal",
        "local-ipv4": "10.88.0.103",
        "uuid": "abc-def",
    }
    assert len(found.lines) == 7
    assert found.heartbeat == "vm.novalocal up 16.2"
    assert [line.split()[0] for line in found.trouble] == ["GUEST-DHCP", "GUEST-META"]


def test_trouble_is_not_taken_for_success():
    found = guest_report.report(
        "GUEST-DHCP none: no answer yet, still asking, up 13\n"
        "GUEST-META none try 4: x: 500 y up 9\n"
        "GUEST-ERROR module virtio_net does not load\n"
    )
    assert (found.banner, found.address, found.metadata) == ("", "", {})
    assert len(found.trouble) == 3
