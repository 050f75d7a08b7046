# SPDX-License-Identifier: Apache-2.0
"""The real guest in a real QEMU, on a separate network (guest_world.py). About 20 seconds on an idle machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.guest import guest_report

HERE = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/net/tun") or not shutil.which("qemu-system-x86_64"),
    reason="needs root, /dev/net/tun and qemu-system-x86",
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """Build an image from the packages that the apt of this machine offers, and return its directory."""
    import guest_image
    from ansible.module_utils.testing import patch_module_args

    directory = tmp_path_factory.mktemp("guest")
    with patch_module_args({"path": str(directory), "architecture": "x86_64"}), pytest.raises(SystemExit) as end:
        guest_image.main()
    assert end.value.code == 0
    return directory


def boot(guest, tmp_path, **settings):
    """Return what guest_world.py saw."""
    run = subprocess.run(
        ["unshare", "--net", sys.executable, HERE / "guest_world.py", guest, json.dumps({"limit": 150, **settings})],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "module_utils/smoke")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_the_guest_boots_reports_answers_and_stops(guest, tmp_path):
    seen = boot(guest, tmp_path)
    report = guest_report.report("\n".join(seen["console"]))
    assert report.banner.startswith("nova-guest up ")
    assert report.disk == "vda bytes=1048576 mark=nova-ansible-guest-disk"
    assert report.address == "10.99.0.23"
    assert report.routes == "169.254.169.254/32 via 10.99.0.1, 0.0.0.0/0 via 10.99.0.1"
    assert report.metadata == {
        "instance-id": "i-00000007",
        "hostname": "vm.novalocal",
        "local-ipv4": "10.99.0.23",
        "uuid": "3fb52a3c-0b3c-4b0f-8d2f-1f6a4a1c9b11",
    }
    ping, first, second, other, closed = seen["answers"]
    assert ping["answered"] == 3
    assert first == second == other == {"state": "open", "greeting": "GUEST-TCP vm.novalocal"}
    assert closed == {"state": "refused", "greeting": ""}
    assert any(line.startswith("GUEST-OFF") for line in seen["console"])
    assert seen["code"] == 0 and seen["stopped_after"] < 30


def test_the_guest_repeats_requests_until_they_are_answered(guest, tmp_path):
    seen = boot(guest, tmp_path, dhcp_deaf=5, metadata_refusals=2)
    report = guest_report.report("\n".join(seen["console"]))
    assert "GUEST-DHCP none: no answer yet" in report.trouble[0]
    assert [line for line in report.trouble if "try 2: /latest/meta-data/instance-id: HTTP/1.0 404" in line]
    assert report.address == "10.99.0.23" and report.metadata["hostname"] == "vm.novalocal"


def test_the_kernel_has_no_signature_of_a_boot_sector(guest):
    with open(guest / "kernel", "rb") as kernel:
        assert kernel.read(512)[510:512] == b"\0\0"
