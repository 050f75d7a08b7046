# SPDX-License-Identifier: Apache-2.0
"""Compare kvm_verify with other tools on the machines of tests/unit/kvm/machines and on this computer.

The other tools run unchanged in a mount namespace where /proc/cpuinfo and /dev are those of the machine; modprobe and
rdmsr are replaced by scripts that answer as the machine would. They cannot be shown a machine of another architecture:
they call uname.

usage: peers.py [--write]      --write puts the table into docs/kvm.md
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import alone
import packages

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "unit" / "kvm"))
import machine_trees  # noqa: E402  found only on the path that was just added
from machine_trees import Machine  # noqa: E402  found only on the path that was just added

DOCUMENT = HERE.parents[1] / "docs" / "kvm.md"
BEGIN, END = "<!-- peers.py writes from here -->", "<!-- to here -->"
PACKAGES = ("libvirt-clients", "libvirt0", "libyajl2", "libssh-4", "libglib2.0-0", "cpu-checker")
OURS = "kvm_verify"
HINT_LENGTH = 60
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
# Bits 0 (locked) and 4 (SVM off) are 1, bit 2 (VMX on) is 0; rdmsr is called for one bit at a time.
LOCKED_BIT = '$([ "$2" = 2:2 ] && echo 0 || echo 1)'


class Answer(NamedTuple):
    """Whether a tool finds that KVM guests can be run, and its hint if not."""

    usable: bool
    hint: str


class Tool(NamedTuple):
    """A tool: its shell command, and how its output and exit code are read."""

    command: str
    read: Callable[[str, int], Answer]


def tools() -> dict[str, Tool]:
    """Return the other tools by name."""
    root = packages.unpacked("amd64", *PACKAGES)
    validate = f"LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/virt-host-validate qemu"
    return {
        "virt-host-validate": Tool(validate, read_validate),
        "kvm-ok": Tool(f"sh {root}/usr/sbin/kvm-ok", lambda text, code: Answer(code == 0, first_hint(text))),
        "flag count": Tool(
            "grep -E -c '(vmx|svm)' /proc/cpuinfo || true", lambda text, _code: Answer(text.strip() != "0", "")
        ),
    }


def read_validate(text: str, _code: int) -> Answer:
    """Return whether all rows about KVM pass, and the hint of the first that does not."""
    rows = re.findall(
        r"QEMU: Checking (?:for hardware virtualization|if device '?/dev/kvm'?[^:]*)\s*: (\w+)\s*(?:\((.*)\))?", text
    )
    bad = [hint for status, hint in rows if status != "PASS"]
    return Answer(bool(rows) and not bad, bad[0] if bad else "")


def first_hint(text: str) -> str:
    """Return the first line of kvm-ok that gives information."""
    lines = [line for line in text.splitlines() if line.startswith(("INFO", "HINT"))]
    return lines[0].split(":", 1)[1].strip() if lines else ""


def node_commands(machine: Machine) -> list[str]:
    """Return the shell commands that create the device nodes of a machine below /mnt."""
    commands = []
    for path, node in machine.files["/dev.json"].items():
        place = "/mnt" + path[len("/dev") :]
        create = f"mknod {place} c {node['major']} {node['minor']}" if node["chr"] else f"touch {place}"
        commands.append(
            f"mkdir -p {os.path.dirname(place)}; {create}; "
            f"chmod {node['mode']} {place}; chown {node['uid']}:{node['gid']} {place}"
        )
    if machine.want["cause"] == "node_nodev":
        commands.append("mount -o remount,nodev /mnt")
    return commands


@contextlib.contextmanager
def device_cgroup(machine: Machine) -> Iterator[str]:
    """Return the shell command that enters the device cgroup of a machine; empty if it has none."""
    if machine.want["cause"] != "node_cgroup":
        yield ""
        return
    group = Path(f"/sys/fs/cgroup/devices/kvm-peers-{os.getpid()}")
    group.mkdir()
    try:
        (group / "devices.deny").write_text("c 10:232 rwm")
        yield f"echo $$ > {group}/cgroup.procs"
    finally:
        group.rmdir()


def answers(setup: str = "") -> dict[str, Answer]:
    """Return the answer of each tool after shell commands; raise RuntimeError if these fail."""
    found = {}
    for name, tool in tools().items():
        command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", setup + tool.command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        found[name] = tool.read(done.stdout, done.returncode)
        if "not found" in done.stderr or "mount:" in done.stderr or "mknod" in done.stderr:
            raise RuntimeError(f"{name}: {done.stderr}")
    return found


def answers_on(machine: Machine) -> dict[str, Answer]:
    """Return the answer of each tool on a machine; none on a machine of another architecture."""
    if machine.files["/fixture/arch"] != os.uname().machine:
        return {}
    with device_cgroup(machine) as cgroup:
        return answers(
            SETUP.format(
                nodes="\n".join(node_commands(machine)),
                tree=shlex.quote(str(machine_trees.unpacked() / machine.name)),
                cgroup=cgroup,
                bit=LOCKED_BIT if machine.want["cause"] == "firmware" else "0",
            )
        )


def our_result(root: str = "/") -> dict[str, Any]:
    """Return the result of kvm_verify on a tree, or on this computer."""
    if "ansible.module_utils.kvm" not in sys.modules:
        alone.import_path(str(HERE.parents[1] / "module_utils"))
    from ansible.module_utils.kvm import evaluate, facts

    found = facts.gather(root, users=["nova", "libvirt-qemu"])
    return evaluate.evaluate(found, {})


class Table:
    """The table of the document, and how often each tool is right."""

    def __init__(self, names: list[str]) -> None:
        self.names = [OURS, *names]
        self.right = dict.fromkeys(self.names, 0)
        self.shown = dict.fromkeys(self.names, 0)
        self.lines = [
            "| machine | what is true | " + " | ".join(self.names) + " |",
            "|---|---|" + "---|" * len(self.names),
        ]

    def add(self, title: str, truth: str, usable: bool, result: dict[str, Any], found: dict[str, Answer]) -> None:
        """Add the row of a machine on which KVM is usable, or not."""
        causes = [result["cause"], *(name for name in result["failed_checks"] if name != "acceleration")]
        ours = Answer(result["recommended_virt_type"] == "kvm", "")
        cells = [self.cell(OURS, ours, usable, f", {' + '.join(causes)}")]
        for name in self.names[1:]:
            if name in found:
                hint = found[name].hint[:HINT_LENGTH]
                cells.append(self.cell(name, found[name], usable, after=f": {hint}" if hint else ""))
            else:
                cells.append("-")
        self.lines.append(f"| {title} | {truth} | " + " | ".join(cells) + " |")

    def cell(self, name: str, answer: Answer, usable: bool, cause: str = "", after: str = "") -> str:
        """Return the answer of a tool as text, and count it."""
        self.shown[name] += 1
        self.right[name] += answer.usable == usable
        mark = "" if answer.usable == usable else " **(wrong)**"
        return ("yes" if answer.usable else "no") + cause + mark + ("" if answer.usable else after)

    def finished(self) -> list[str]:
        """Return the lines with the counts."""
        counts = " | ".join(f"**{self.right[name]} of {self.shown[name]}**" for name in self.names)
        return [*self.lines, f"| **right** | | {counts} |"]


def table() -> list[str]:
    """Return the lines of the table."""
    rows = Table(list(tools()))
    for machine in machine_trees.machines().values():
        tree = machine_trees.unpacked() / machine.name
        usable = machine.want["virt_type"] == "kvm"
        rows.add(machine.name, machine.description, usable, our_result(str(tree)), answers_on(machine))
    result = our_result()
    texts = {"hardware": "KVM works", "emulated": "guest kernels are interpreted, a thousand times slower"}
    truth = texts.get(result["class"], result["class"]) + " (measured)"
    rows.add("this computer, live", truth, result["class"] == "hardware", result, answers())
    return rows.finished()


def main() -> None:
    """Print the table, or write it to the document."""
    if os.geteuid() != 0:
        sys.exit("peers.py needs root: it makes device nodes in a separate mount namespace")
    today = datetime.date.today().isoformat()
    head = f"Written by `tests/kvm/peers.py` on {today}; yes and no mean whether KVM guests can be run."
    text = "\n".join([BEGIN, head, "", *table(), END])
    if "--write" not in sys.argv:
        print(text)
        return
    document = DOCUMENT.read_text()
    before, _begin, rest = document.partition(BEGIN)
    DOCUMENT.write_text(before + text + rest.partition(END)[2])


if __name__ == "__main__":
    main()
