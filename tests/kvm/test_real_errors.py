# SPDX-License-Identifier: Apache-2.0
"""Every way in which a kernel refuses KVM, for real in a separate mount namespace, and the cause that is reported."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("real_kvm")
ALONE = Path(__file__).with_name("alone.py")
# Another user cannot read a checkout below /root, whose mode is 0700: it is copied, in the namespace only.
FOR_OTHERS = f"""
mount -t tmpfs -o mode=755 none /mnt
cp -r {shlex.quote(str(ALONE))} {shlex.quote(str(ALONE.parents[2] / "module_utils"))} /mnt
chmod -R a+rX /mnt
"""
# A separate /dev with what a Python process needs
OWN_DEV = """
mount -t tmpfs -o mode=755 none /mnt
for name in null zero urandom random; do touch /mnt/$name; mount --bind /dev/$name /mnt/$name; done
mount --move /mnt /dev
"""
MINOR = os.minor(os.stat("/dev/kvm").st_rdev) if os.path.exists("/dev/kvm") else 232


def verify(setup: str, *arguments: str, user: int | None = None, pid_namespace: bool = False) -> dict[str, Any]:
    """Return the facts and the result in a namespace, after the shell commands of `setup`."""
    command = [sys.executable, str(ALONE), *arguments]
    if user:
        setup += FOR_OTHERS
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", os.path.realpath(sys.executable)]
        command += ["/mnt/alone.py", "--library", "/mnt/module_utils", *arguments]
    script = "set -e\n" + OWN_DEV + setup + "\nexec " + shlex.join(command)
    space = ["unshare", "--mount", "--propagation", "private"]
    space += ["--pid", "--fork", "--mount-proc"] if pid_namespace else []
    done = subprocess.run([*space, "sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert not answer["facts"]["errors"]
    return answer


def seen(answer: dict[str, Any]) -> tuple[str | None, str | None, str, str]:
    """Return the failed step, its errno, the class and the cause."""
    probe = answer["facts"]["probe"]
    return probe.get("failed_step"), probe.get("errno"), probe["class"], answer["result"]["cause"]


@pytest.fixture(scope="module")
def usual():
    """Return the answer of this machine when nothing is wrong."""
    answer = verify(f"mknod -m 0600 /dev/kvm c 10 {MINOR}")
    assert "failed_step" not in answer["facts"]["probe"], answer["facts"]["probe"]
    return answer


def test_root_can_open_the_node_when_others_cannot(usual):
    node = usual["facts"]["node"]
    assert (node["mode"], node["chr"], node["major"]) == ("0600", True, 10)
    assert usual["facts"]["users"]["nobody"]["open"] == "EACCES"
    row = next(row for row in usual["result"]["checks"] if row["name"] == "access nobody")
    assert row["status"] == "fail" and "usermod" in row["remedy"]


def test_another_user_cannot_open_the_node():
    answer = verify(f"mknod -m 0600 /dev/kvm c 10 {MINOR}", user=65534)
    assert seen(answer) == ("open", "EACCES", "unusable", "node_denied")
    assert "0600" in answer["result"]["msg"]


def test_another_user_can_open_the_node_if_its_mode_allows_it(usual):
    answer = verify(f"mknod /dev/kvm c 10 {MINOR}; chmod 0666 /dev/kvm", user=65534)
    assert seen(answer)[2:] == seen(usual)[2:]
    assert verify(f"mknod /dev/kvm c 10 {MINOR}; chmod 0666 /dev/kvm")["facts"]["users"]["nobody"]["open"] == "ok"


def test_the_group_of_the_node_decides():
    """The group of the node may have no name here, as when a container has its own udev."""
    answer = verify(f"mknod /dev/kvm c 10 {MINOR}; chmod 0660 /dev/kvm; chown 0:994 /dev/kvm")
    user = answer["facts"]["users"]["nobody"]
    assert (user["open"], user["in_node_group"]) == ("EACCES", False)
    answer = verify(f"mknod /dev/kvm c 10 {MINOR}; chmod 0660 /dev/kvm; chown 0:65534 /dev/kvm")
    assert answer["facts"]["users"]["nobody"]["open"] == "ok"


def test_a_missing_node():
    answer = verify("")
    assert seen(answer) == ("stat", "ENOENT", "unusable", "node_missing")
    assert answer["facts"]["kernel"]["kvm_registered"] is True


def test_a_missing_node_in_a_container():
    setup = "mount -t tmpfs none /run; mkdir -p /run/systemd; echo podman > /run/systemd/container"
    answer = verify(setup, pid_namespace=True)
    assert seen(answer) == ("stat", "ENOENT", "unusable", "node_container")
    assert "podman" in answer["result"]["msg"]


def test_a_leftover_container_marker_is_ignored():
    answer = verify("mount -t tmpfs none /run; mkdir -p /run/systemd; echo docker > /run/systemd/container")
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        pytest.skip("these tests run in a container themselves")
    assert answer["facts"]["container"] is None
    assert seen(answer)[3] == "node_missing"


@pytest.mark.parametrize(
    "setup, step, errno",
    [
        ("touch /dev/kvm; mount --bind /dev/null /dev/kvm", "KVM_GET_API_VERSION", "ENOTTY"),
        ("echo nonsense > /dev/kvm", "KVM_GET_API_VERSION", "ENOTTY"),
        ("mknod /dev/kvm c 10 200", "KVM_GET_API_VERSION", "EBADFD"),
        ("mknod /dev/kvm c 10 250", "open", "ENODEV"),
        ("mknod /dev/kvm c 240 1", "open", "ENXIO"),
        (f"mknod /dev/kvm b 10 {MINOR}", "open", "ENXIO"),
        ("mkdir /dev/kvm", "open", "EISDIR"),
        ("mkfifo /dev/kvm", "KVM_GET_API_VERSION", "ENOTTY"),
        ("ln -s /dev/zero /dev/kvm", "KVM_GET_API_VERSION", "ENOTTY"),
    ],
    ids=["null", "file", "tun", "no-misc-driver", "no-char-driver", "block", "directory", "fifo", "link"],
)
def test_a_node_that_is_something_else(setup, step, errno):
    if "c 10 200" in setup and not os.path.exists("/dev/net/tun"):
        pytest.skip("this machine has no tun driver")
    answer = verify(setup)
    assert seen(answer) == (step, errno, "unusable", "node_wrong")
    assert "mknod" in answer["result"]["msg"]


def test_a_node_without_a_driver():
    with open("/proc/misc") as misc:
        if " kvm\n" in misc.read():
            pytest.skip("this kernel has its KVM loaded: its node cannot be without a driver")
    assert seen(verify(f"mknod /dev/kvm c 10 {MINOR}"))[1:] == ("ENODEV", "unusable", "node_dead")


def test_a_mount_without_devices():
    answer = verify(f"mknod -m 0666 /dev/kvm c 10 {MINOR}; mount -o remount,nodev /dev")
    assert seen(answer) == ("open", "EACCES", "unusable", "node_nodev")


@pytest.fixture
def device_cgroup():
    """Return a device cgroup that denies the node."""
    top = Path("/sys/fs/cgroup/devices")
    if not (top / "devices.deny").exists() and not (top / "cgroup.procs").exists():
        pytest.skip("no cgroup v1 device controller here (v2 refuses with the same errno, by a BPF program)")
    group = top / f"kvm-test-{os.getpid()}"
    group.mkdir()
    (group / "devices.deny").write_text(f"c 10:{MINOR} rwm")
    yield group
    for _ in range(100):
        try:
            group.rmdir()
            break
        except OSError:
            time.sleep(0.05)


def test_a_device_cgroup_that_denies_the_node(device_cgroup):
    answer = verify(f"mknod -m 0666 /dev/kvm c 10 {MINOR}; echo $$ > {device_cgroup}/cgroup.procs")
    assert seen(answer) == ("open", "EPERM", "unusable", "node_cgroup")
    assert answer["facts"]["users"]["nobody"]["open"] == "EPERM"


def test_a_process_without_file_descriptors_left():
    answer = verify(f"mknod -m 0600 /dev/kvm c 10 {MINOR}", "--nofile", "5")
    assert seen(answer) == ("KVM_CREATE_VM", "EMFILE", "unusable", "resources")
