# SPDX-License-Identifier: Apache-2.0
"""The lab refuses impossible requests, and leaves nothing behind when it is removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAME = "mf-gone"
HOME = ROOT / ".lab" / NAME


def names(directory: str, pattern: str = "*") -> set:
    return {str(path) for path in Path(directory).glob(pattern)}


def traces() -> dict:
    """Return everything on this computer that belongs to the lab."""
    commands, roots = [], []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            commands.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
            roots.append(os.readlink(process / "root"))
        except OSError:
            continue
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    outside = [
        path for directory in ("/run", "/etc", "/tmp", "/var/lib", "/var/tmp", "/root") for path in walk(directory)
    ]
    return {
        "processes": sorted(line for line in commands if NAME in line and "pytest" not in line),
        "processes inside": sorted(root for root in roots if NAME in root),
        "mounts": sorted(line for line in mounts if NAME in line),
        "namespaces": sorted(path for path in names("/run/netns") if NAME in path),
        "control groups": sorted(path for path in walk("/sys/fs/cgroup") if NAME in path),
        "files outside .lab": sorted(path for path in outside if NAME in path),
        "its directory": sorted(names(str(ROOT / ".lab"), f"{NAME}*")),
    }


def walk(directory: str) -> list:
    found = []
    for place, directories, files in os.walk(directory):
        if ".lab" in directories:
            directories.remove(".lab")
        found += [os.path.join(place, name) for name in (*directories, *files)]
    return found


def devices() -> set:
    """Return the network devices of this computer's network namespace."""
    return names("/sys/class/net")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LAB_SUITE": "buster"}, "LAB_SUITE is 'buster'; choose one of bookworm, trixie"),
        ({"LAB_FAMILY": "ipv5"}, "LAB_FAMILY is 'ipv5'; choose one of ipv4, ipv6."),
        ({"LAB_ALPHABET": "long"}, "LAB_ALPHABET is 'long'; choose one of plain, special."),
        ({"LAB_LAYOUT": "ring"}, "LAB_LAYOUT is 'ring'; choose one of:"),
        ({"LAB_COMPUTES": "99"}, "LAB_COMPUTES is '99'; give a whole number from 1 to 20."),
        ({"LAB_NAME": "../etc"}, "LAB_NAME is '../etc'; use 1 to 12 characters"),
    ],
)
def test_an_impossible_lab_is_refused(playbook, variables, words):
    done = playbook("lab.yml", **{"LAB_NAME": NAME, "LAB_LAYOUT": "allinone", **variables})
    assert done.rc != 0
    assert words in " ".join(done.output.split())
    assert not HOME.exists()


def test_a_removed_lab_leaves_nothing_behind(playbook):
    before = devices()
    assert {kind: found for kind, found in traces().items() if found} == {}
    wanted = {"LAB_NAME": NAME, "LAB_LAYOUT": "allinone"}
    try:
        made = playbook("lab.yml", "--extra-vars", "lab_check_memory=false", **wanted)  # nothing is deployed on it
        assert made.rc == 0, made.output[-2000:]
        up = traces()
        for kind in ("processes", "mounts", "namespaces", "its directory"):
            assert up[kind], f"a living lab has {kind}: the search must see them"
    finally:
        gone = playbook("lab_down.yml", **wanted)
    assert gone.rc == 0, gone.output[-2000:]
    assert {kind: found for kind, found in traces().items() if found} == {}
    assert devices() == before


def test_removing_a_lab_that_does_not_exist_changes_nothing(playbook):
    gone = playbook("lab_down.yml", LAB_NAME=NAME)
    assert gone.rc == 0
    assert gone.changed == set()
    assert re.search(r"changed=0 ", gone.output)
