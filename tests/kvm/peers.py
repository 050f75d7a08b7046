# SPDX-License-Identifier: Apache-2.0
"""The machines of tests/unit/kvm/trees and this machine, judged by today's tools and by ours, beside the truth.

The tools run unchanged in a mount namespace where /proc/cpuinfo and /dev are those of the tree; modprobe and rdmsr are
stand-ins that answer as the tree's machine would. A tree of another architecture is not shown to them: they ask uname.

usage: peers.py [--write]      --write puts the table into docs/kvm.md
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import packages

HERE = pathlib.Path(__file__).resolve().parent
TREES = HERE.parent / "unit" / "kvm" / "trees"
DOCUMENT = HERE.parents[1] / "docs" / "kvm.md"
BEGIN, END = "<!-- peers.py writes from here -->", "<!-- to here -->"
PACKAGES = ("libvirt-clients", "libvirt0", "libyajl2", "libssh-4", "libglib2.0-0", "cpu-checker")
SETUP = """set -e
mount -t tmpfs -o mode=755 none /mnt
for name in null zero urandom random; do touch /mnt/$name; mount --bind /dev/$name /mnt/$name; done
mkdir -p /mnt/net /mnt/cpu/0; touch /mnt/cpu/0/msr
{nodes}
mount --move /mnt /dev
mount --bind {tree}/proc/cpuinfo /proc/cpuinfo
mount -t tmpfs none /media; mkdir /media/bin
printf '#!/bin/sh\\nexit 0\\n' > /media/bin/modprobe
printf '#!/bin/sh\\necho {bit}\\n' > /media/bin/rdmsr
chmod 755 /media/bin/*; export PATH=/media/bin:$PATH
{cgroup}
"""


def tools():
    root = packages.unpacked("amd64", *PACKAGES)
    validate = f"LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/virt-host-validate qemu"
    return {
        "virt-host-validate": (validate, by_validate),
        "kvm-ok": (f"sh {root}/usr/sbin/kvm-ok", lambda text, code: (code == 0, last_hint(text))),
        "flag count": ("grep -E -c '(vmx|svm)' /proc/cpuinfo || true", lambda text, code: (text.strip() != "0", "")),
    }


def by_validate(text, code):
    """Whether all its rows about KVM pass, and the hint of the first that does not."""
    rows = re.findall(
        r"QEMU: Checking (?:for hardware virtualization|if device '?/dev/kvm'?[^:]*)\s*: (\w+)\s*(?:\((.*)\))?", text
    )
    bad = [hint for status, hint in rows if status != "PASS"]
    return bool(rows) and not bad, bad[0] if bad else ""


def last_hint(text):
    lines = [line for line in text.splitlines() if line.startswith(("INFO", "HINT"))]
    return lines[0].split(":", 1)[1].strip() if lines else ""


def answers(tree=None):
    """{tool: (says yes, hint)} for a tree, or for this machine as it is."""
    group = None
    prefix, suffix = "", ""
    if tree:
        want = json.loads((tree / "fixture/want.json").read_text())
        nodes = []
        for path, node in json.loads((tree / "dev.json").read_text()).items():
            place = "/mnt" + path[len("/dev") :]
            nodes.append(
                f"mkdir -p {os.path.dirname(place)}; "
                + (f"mknod {place} c {node['major']} {node['minor']}" if node["chr"] else f"touch {place}")
                + f"; chmod {node['mode']} {place}; chown {node['uid']}:{node['gid']} {place}"
            )
        if want["cause"] == "node_nodev":
            nodes.append("mount -o remount,nodev /mnt")
        if want["cause"] == "node_cgroup":
            group = pathlib.Path(f"/sys/fs/cgroup/devices/kvm-peers-{os.getpid()}")
            group.mkdir()
            (group / "devices.deny").write_text("c 10:232 rwm")
            suffix = f"echo $$ > {group}/cgroup.procs"
        # bits 0 (locked) and 4 (SVM off) are one, bit 2 (VMX on) is nought: rdmsr is asked for one bit at a time
        prefix = SETUP.format(
            nodes="\n".join(nodes),
            tree=shlex.quote(str(tree)),
            cgroup=suffix,
            bit='$([ "$2" = 2:2 ] && echo 0 || echo 1)' if want["cause"] == "firmware" else "0",
        )
    found = {}
    try:
        for name, (command, read) in tools().items():
            done = subprocess.run(
                ["unshare", "--mount", "--propagation", "private", "bash", "-c", prefix + command],
                capture_output=True,
                text=True,
                timeout=60,
            )
            found[name] = read(done.stdout, done.returncode)
            if "not found" in done.stderr or "mount:" in done.stderr or "mknod" in done.stderr:
                raise RuntimeError(f"{name}: {done.stderr}")
    finally:
        if group:
            group.rmdir()
    return found


def ours(*arguments):
    sys.path.insert(0, str(HERE))
    import alone

    if "ansible.module_utils.kvm" not in sys.modules:
        alone.import_path(str(HERE.parents[1] / "module_utils"))
    from ansible.module_utils.kvm import evaluate, facts

    found = facts.gather(*arguments, users=["nova", "libvirt-qemu"])
    return evaluate.evaluate(found, {})


def cell(truth, answer):
    says, hint = answer
    return (
        ("yes" if says else "no")
        + ("" if says == truth else " **(wrong)**")
        + (f": {hint[:60]}" if hint and not says else "")
    )


def table():
    names = list(tools())
    lines = [
        "| machine | what is true | kvm_verify | " + " | ".join(names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    score = dict.fromkeys(["kvm_verify", *names], 0)
    shown = dict.fromkeys(score, 0)

    def line(title, said, truth, result, found):
        mine = result["recommended_virt_type"] == "kvm"
        why = " + ".join([result["cause"], *(name for name in result["failed_checks"] if name != "acceleration")])
        cells = [("yes" if mine else "no") + f", {why}" + ("" if mine == truth else " **(wrong)**")]
        score["kvm_verify"] += mine == truth
        shown["kvm_verify"] += 1
        for name in names:
            if name in found:
                cells.append(cell(truth, found[name]))
                score[name] += found[name][0] == truth
                shown[name] += 1
            else:
                cells.append("-")
        lines.append(f"| {title} | {said} | " + " | ".join(cells) + " |")

    for tree in sorted(TREES.iterdir()):
        want = json.loads((tree / "fixture/want.json").read_text())
        asked = (tree / "fixture/arch").read_text().strip() == os.uname().machine
        found = answers(tree) if asked else {}
        line(tree.name, want["truth"], want["virt_type"] == "kvm", ours(str(tree)), found)
    result = ours()
    truth = result["class"] == "hardware"
    said = {"hardware": "KVM works", "emulated": "guest kernels are interpreted, a thousand times slower"}
    line("this computer, live", said.get(result["class"], result["class"]) + " (measured)", truth, result, answers())
    lines.append("| **right** | | " + " | ".join(f"**{score[name]} of {shown[name]}**" for name in score) + " |")
    return lines


def main():
    if os.geteuid() != 0:
        sys.exit("peers.py needs root: it makes device nodes in a mount namespace of its own")
    today = datetime.date.today().isoformat()
    text = "\n".join(
        [
            BEGIN,
            f"Written by `tests/kvm/peers.py` on {today}; yes and no mean whether KVM guests can be run.",
            "",
            *table(),
            END,
        ]
    )
    if "--write" not in sys.argv:
        print(text)
        return
    document = DOCUMENT.read_text()
    head, _begin, rest = document.partition(BEGIN)
    DOCUMENT.write_text(head + text + rest.partition(END)[2])


if __name__ == "__main__":
    main()
