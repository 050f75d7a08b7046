# SPDX-License-Identifier: Apache-2.0
"""kvm_repair on /dev and /etc of a mount namespace; only modprobe is replaced, by a script that logs its arguments."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("real_kvm")
ROOT = Path(__file__).resolve().parents[2]
MINOR = os.minor(os.stat("/dev/kvm").st_rdev) if os.path.exists("/dev/kvm") else 232
SETUP = """set -e
mount -t tmpfs none /media
mkdir /media/up /media/work /media/bin
mount -t overlay -o lowerdir=/etc,upperdir=/media/up,workdir=/media/work none /etc
groupdel kvm 2>/dev/null || true
rm -f /etc/modules-load.d/nova-kvm.conf /etc/modprobe.d/nova-kvm.conf /etc/udev/rules.d/60-nova-kvm.rules
printf '#!/bin/sh\\necho "modprobe $*" >> /media/modprobe.log\\nexit {modprobe}\\n' > /media/bin/modprobe
chmod 755 /media/bin/modprobe; touch /media/modprobe.log; export PATH=/media/bin:$PATH
mount -t tmpfs -o mode=755 none /mnt
for name in null zero urandom random; do touch /mnt/$name; mount --bind /dev/$name /mnt/$name; done
ln -s /proc/self/fd /mnt/fd; mkdir /mnt/shm /mnt/pts; mount --bind /dev/shm /mnt/shm; mount --bind /dev/pts /mnt/pts
ln -s pts/ptmx /mnt/ptmx
mount --move /mnt /dev
{prepare}
"""
SHOW = """
echo "@@after"
stat -c '%F %A %U %G %t:%T' /dev/kvm 2>&1 || true
id -nG nobody
cat /media/modprobe.log
cd /etc
head -n 20 modules-load.d/nova-kvm.conf modprobe.d/nova-kvm.conf udev/rules.d/60-nova-kvm.rules 2>/dev/null || true
"""


def repair(
    repairs: list[dict[str, str]], prepare: str = "", *, check: bool = False, modprobe: int = 0, again: bool = False
) -> tuple[list[dict[str, Any]], str]:
    """Return the answer of each run, and the output of SHOW afterwards.

    prepare: shell commands before the first run. modprobe: exit code of modprobe. again: run it twice.
    """
    ansible = ROOT / ".venv" / "bin" / "ansible"
    command = ["env", f"ANSIBLE_CONFIG={ROOT}/ansible.cfg", "ANSIBLE_CALLBACK_RESULT_FORMAT=json"]
    command += [str(ansible) if ansible.exists() else "ansible", "-i", "localhost,", "-c", "local", "all"]
    command += ["-e", "ansible_python_interpreter=/usr/bin/python3", "-m", "kvm_repair", "-a"]
    command += [json.dumps({"repairs": repairs}), *(["--check", "--diff"] if check else [])]
    runs = [shlex.join(command)] * (2 if again else 1)
    script = SETUP.format(prepare=prepare, modprobe=modprobe) + "set +e\n" + "\n".join(runs) + SHOW
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    answers, _separator, after = done.stdout.partition("@@after\n")
    found = re.findall(r"^localhost \| (\w+)!? => (\{.*?^\})", answers, re.MULTILINE | re.DOTALL)
    assert len(found) == len(runs), done.stdout + done.stderr
    return [dict(json.loads(answer), failed=word == "FAILED") for word, answer in found], after


NODE = [{"act": "node"}]
GOOD_NODE = f"character special file crw-rw---- root kvm a:{MINOR:x}"


@pytest.mark.parametrize(
    "prepare",
    [
        "",
        f"mknod -m 0600 /dev/kvm c 10 {MINOR}",
        "echo nonsense > /dev/kvm",
        "mknod /dev/kvm c 10 200",
        "mkdir /dev/kvm",
    ],
    ids=["missing", "mode", "file", "tun", "directory"],
)
def test_the_node_becomes_the_kvm_device_of_its_group(prepare):
    answers, after = repair(NODE, prepare, again=True)
    assert [answer["changed"] for answer in answers] == [True, False]
    assert after.startswith(GOOD_NODE)
    assert 'KERNEL=="kvm", GROUP="kvm", MODE="0660"' in after


def test_check_mode_reports_every_act_and_does_nothing():
    repairs = [*NODE, {"act": "group", "user": "nobody"}, {"act": "module", "name": "nova_unknown"}]
    (predicted,), after = repair(repairs, "echo nonsense > /dev/kvm", check=True)
    assert after.startswith("regular file")
    assert after.splitlines()[2:] == ["modprobe --dry-run nova_unknown"], after
    (done,), _after = repair(repairs, "echo nonsense > /dev/kvm")
    assert predicted["changed"] and predicted["acts"] == done["acts"] and predicted["pending"] == done["pending"]


def test_a_user_is_added_to_the_group():
    answers, after = repair([{"act": "group", "user": "nobody"}], again=True)
    assert [answer["changed"] for answer in answers] == [True, False]
    assert "kvm" in after.splitlines()[1].split()
    assert "restarted" in answers[0]["pending"][0]


def test_a_user_that_does_not_exist_yet_is_pending():
    (answer,), _after = repair([{"act": "group", "user": "nobody-else"}])
    assert not answer["changed"] and "nobody-else" in answer["pending"][0]


def test_a_module_is_loaded_now_and_at_boot():
    (answer,), after = repair([{"act": "module", "name": "nova_unknown"}])
    assert answer["changed"]
    assert "modprobe nova_unknown\n" in after
    assert after.endswith("==> modules-load.d/nova-kvm.conf <==\nnova_unknown\n")


def test_a_kvm_module_that_cannot_be_loaded_is_an_error():
    (answer,), after = repair([{"act": "module", "name": "kvm_unknown"}], modprobe=1)
    assert answer["failed"] and "kvm_unknown cannot be loaded" in answer["msg"]
    assert "modules-load" not in after


def test_a_companion_that_cannot_be_loaded_is_pending():
    (answer,), after = repair([{"act": "module", "name": "nova_unknown"}], modprobe=1)
    assert not answer["failed"] and not answer["changed"] and "nova_unknown cannot be loaded" in answer["pending"][0]
    assert "modules-load" not in after


def test_a_loaded_module_is_left_alone():
    if not os.path.isdir("/sys/module/kvm"):
        pytest.skip("the kvm module of this kernel is not in /sys")
    (answer,), after = repair([{"act": "module", "name": "kvm"}])
    assert not answer["changed"] and "modprobe" not in after


def test_a_parameter_replaces_its_older_line():
    old = "mkdir -p /etc/modprobe.d; cd /etc/modprobe.d; "
    old += "printf 'options kvm_intel nested=0\\noptions kvm ignore_msrs=0\\n' > nova-kvm.conf; cd -"
    acts = [{"act": "parameter", "module": "kvm_intel", "name": "nested", "value": "1"}]
    answers, after = repair(acts, old, again=True)
    assert [answer["changed"] for answer in answers] == [True, False]
    assert after.endswith("options kvm ignore_msrs=0\noptions kvm_intel nested=1\n")


def test_an_incomplete_repair_is_refused():
    (answer,), _after = repair([{"act": "group"}])
    assert answer["failed"] and "user" in answer["msg"]
