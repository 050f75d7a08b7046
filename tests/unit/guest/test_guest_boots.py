# SPDX-License-Identifier: Apache-2.0
"""The real guest in a real QEMU, on a network of its own (guest_world.py). About 20 seconds on an idle machine."""

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
    """An image made of the packages that this machine's apt offers, in a folder of its own."""
    import guest_image
    from ansible.module_utils.testing import patch_module_args

    folder = tmp_path_factory.mktemp("guest")
    with patch_module_args({"path": str(folder), "architecture": "x86_64"}), pytest.raises(SystemExit) as end:
        guest_image.main()
    assert end.value.code == 0
    return folder


def boot(guest, tmp_path, **settings):
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
    said = guest_report.report("\n".join(seen["console"]))
    assert said["banner"].startswith("nova-guest up ")
    assert said["disk"] == "vda bytes=1048576 mark=nova-ansible-guest-disk"
    assert said["address"] == "10.99.0.23"
    assert said["routes"] == "169.254.169.254/32 via 10.99.0.1, 0.0.0.0/0 via 10.99.0.1"
    assert said["metadata"] == {
        "instance-id": "i-00000007",
        "hostname": "living.novalocal",
        "local-ipv4": "10.99.0.23",
        "uuid": "3fb52a3c-0b3c-4b0f-8d2f-1f6a4a1c9b11",
    }
    ping, first, second, other, closed = seen["seen"]
    assert ping["answered"] == 3
    assert first == second == other == {"state": "open", "said": "GUEST-TCP living.novalocal"}
    assert closed == {"state": "refused"}
    assert any(line.startswith("GUEST-OFF") for line in seen["console"])
    assert seen["code"] == 0 and seen["stopped_after"] < 30


def test_the_guest_keeps_asking_when_nobody_answers_at_first(guest, tmp_path):
    seen = boot(guest, tmp_path, dhcp_deaf=5, metadata_refusals=2)
    said = guest_report.report("\n".join(seen["console"]))
    assert "GUEST-DHCP none: no answer yet" in said["trouble"][0]
    assert [line for line in said["trouble"] if "try 2: /latest/meta-data/instance-id: HTTP/1.0 404" in line]
    assert said["address"] == "10.99.0.23" and said["metadata"]["hostname"] == "living.novalocal"


def test_the_kernel_is_not_taken_for_a_disk(guest):
    with open(guest / "kernel", "rb") as kernel:
        assert kernel.read(512)[510:512] == b"\0\0"
