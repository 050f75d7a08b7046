# SPDX-License-Identifier: Apache-2.0
"""Machines emulated by QEMU (TCG) whose processors offer virtualization: hardware KVM on any computer.

Each boots Debian's kernel with an initramfs that holds Debian's Python and the evaluation of KVM. It goes through
phases (module not loaded, loaded, loaded with other parameters) and prints a result in each.

usage: machines.py [--record] [NAME ...]      --record writes the results to docs/kvm-last-run.md
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ansible.module_utils
import packages

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.guest import initramfs  # noqa: E402  found only on the path that was just added

RECORD = ROOT / "docs" / "kvm-last-run.md"
PYTHON = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
USERSPACE = (*PYTHON, "libc6", "zlib1g", "libexpat1", "libffi8", "libgcc-s1", "busybox-static")
USERSPACE_DIRECTORIES = ("lib", "lib64", "usr/lib", "usr/bin/python3.11")
LEFT_OUT = ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "pydoc_data", "unittest", "distutils", "asyncio")
COMMANDS = ("sh", "mount", "insmod", "rmmod", "mknod", "poweroff", "head", "echo", "true")  # of busybox
MODULES = {"amd64": ("irqbypass", "ccp", "kvm", "kvm_amd"), "arm64": ()}
EVALUATION = ("message.py", "host/*.py", "kvm/*.py")  # what alone.py needs of module_utils
SLICE_MS, DEADLINE_S, BOOT_LIMIT_S = 250, 40, 600

X86 = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "768"]
ARM = ["qemu-system-aarch64", "-accel", "tcg", "-m", "768"]
EMULATOR_PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm"}


class Phase(NamedTuple):
    """A state of a machine: the shell commands that bring it about, and the result that is expected in it."""

    name: str
    shell: str
    wanted: dict[str, Any]


class Machine(NamedTuple):
    """An emulated machine: the command of QEMU, options of the kernel command line, and its phases."""

    arch: str
    command: list[str]
    options: str
    phases: list[Phase]


class Row(NamedTuple):
    """The result of a phase; None if there is none."""

    phase: str
    answer: dict[str, Any] | None
    problems: list[str]


def unusable(cause: str) -> dict[str, Any]:
    """Return the expected result of a phase in which KVM cannot be used."""
    return {"class": "unusable", "cause": cause, "virt_type": "qemu"}


def usable(**more: bool) -> dict[str, Any]:
    """Return the expected result of a phase in which guests run on the processor."""
    return {"class": "hardware", "cause": "ok_nested", "virt_type": "kvm", **more}


def loaded(name: str, **parameters: int) -> Phase:
    """Return a phase with kvm_amd and parameters: a processor with hardware support is expected."""
    words = " ".join(f"{key}={value}" for key, value in parameters.items())
    shell = f"rmmod kvm_amd 2>/dev/null; load kvm_amd {words}"
    return Phase(name, shell, usable(nested=parameters.get("nested", 1) == 1))


def arm(machine: str, cpu: str, phase: Phase, options: str = "") -> Machine:
    """Return an arm64 machine."""
    return Machine("arm64", [*ARM, "-machine", machine, "-cpu", cpu], options, [phase])


MACHINES = {
    "x86-max": Machine(
        "amd64",
        [*X86, "-cpu", "max"],
        "",
        [
            Phase("not-loaded", "true", unusable("module")),
            loaded("nested-paging"),
            loaded("shadow-paging", npt=0),
            loaded("no-nesting", nested=0),
            Phase("unloaded-again", "rmmod kvm_amd", unusable("module")),
            Phase("static-node", "mknod /dev/kvm c 10 232", unusable("node_dead")),
        ],
    ),
    "x86-epyc-milan": Machine("amd64", [*X86, "-cpu", "EPYC-Milan"], "", [loaded("nested-paging")]),
    "x86-clearcpuid": Machine(
        "amd64",
        [*X86, "-cpu", "max"],
        "clearcpuid=194",
        [Phase("hidden", "load kvm_amd", unusable("disabled_cmdline"))],
    ),
    "arm64-el2-gicv3": arm("virt,virtualization=on,gic-version=3", "max", Phase("vhe", "true", usable())),
    "arm64-el2-gicv2": arm("virt,virtualization=on,gic-version=2", "cortex-a57", Phase("nvhe", "true", usable())),
    "arm64-no-el2": arm("virt,gic-version=3", "max", Phase("el1", "true", unusable("no_el2"))),
    "arm64-mode-none": arm(
        "virt,virtualization=on,gic-version=3",
        "max",
        Phase("off", "true", unusable("disabled_cmdline")),
        options="kvm-arm.mode=none",
    ),
}

INIT = """#!/bin/sh
export PATH=/bin:/usr/bin HOME=/
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
echo 0 > /proc/sys/kernel/printk
load() {{ module=$1; shift; insmod /modules/$module.ko "$@"; }}
for module in {modules}; do load $module; done
{phases}
echo @@end
poweroff -f
"""
PHASE = """({shell}) 2>&1 | head -c 500
echo "@@{name} $(python3.11 -B /probe/alone.py --library /probe --users nobody --slice {slice} --deadline {deadline})"
"""


def emulator(program: str) -> str:
    """Return a program of QEMU: the installed one, or that of Debian's package, unpacked into the cache."""
    if shutil.which(program):
        return program
    return str(packages.unpacked("amd64", EMULATOR_PACKAGES[program]) / "usr" / "bin" / program)


class Files:
    """The entries of an initramfs; the directories of each file come before it."""

    def __init__(self) -> None:
        self.entries: list[initramfs.Entry] = []
        self.known: set[str] = set()

    def directory(self, path: str) -> None:
        """Add a directory."""
        if path not in (".", *self.known):
            self.known.add(path)
            self.entries.append(initramfs.directory(path))

    def parents(self, path: str) -> None:
        """Add the directories of a path."""
        for parent in reversed(Path(path).parents):
            self.directory(str(parent))

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self.parents(path)
        self.entries.append(initramfs.file(path, data, mode))

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self.parents(path)
        self.entries.append(initramfs.Entry(path, stat.S_IFLNK | 0o777, target.encode()))


def userspace(root: Path) -> Iterator[Path]:
    """Return the files and links of the unpacked packages that a machine needs."""
    for directory in USERSPACE_DIRECTORIES:
        start = root / directory
        for file in [start] if start.is_file() else sorted(start.rglob("*")):
            parts = file.relative_to(root).parts
            skipped = "modules" in parts or "gconv" in parts or set(parts[3:4]) & set(LEFT_OUT)
            if file.is_symlink() or (file.is_file() and not skipped):
                yield file


def archive(machine: Machine, root: Path, kernel: str) -> bytes:
    """Return the initramfs of a machine."""
    files, names = Files(), MODULES[machine.arch]
    for file in userspace(root):
        path = str(file.relative_to(root))
        if file.is_symlink():
            files.link(path, str(file.readlink()))
        else:
            files.file(path, file.read_bytes(), 0o755)
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.exists())
    files.file("bin/busybox", busybox.read_bytes(), 0o755)
    for name in COMMANDS:
        files.link(f"bin/{name}", "busybox")
    for name in names:
        file = next((root / "lib/modules" / kernel).rglob(f"{name.replace('_', '-')}.ko*"))
        files.file(f"modules/{name}.ko", initramfs.plain_module(file.name, file.read_bytes()))
    for file in (path for pattern in EVALUATION for path in sorted((ROOT / "module_utils").glob(pattern))):
        files.file(f"probe/{file.relative_to(ROOT / 'module_utils')}", file.read_bytes())
    files.file("probe/alone.py", Path(__file__).with_name("alone.py").read_bytes())
    files.file("etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    files.file("etc/group", b"root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n")
    for directory in ("proc", "sys", "dev", "tmp", "run"):
        files.directory(directory)
    phases = "".join(
        PHASE.format(name=phase.name, shell=phase.shell, slice=SLICE_MS, deadline=DEADLINE_S)
        for phase in machine.phases
    )
    first = " ".join(name for name in names if name != "kvm_amd")
    files.file("init", INIT.format(modules=first, phases=phases).encode(), 0o755)
    return initramfs.cpio(files.entries)


def boot(name: str) -> tuple[dict[str, Any], float, str]:
    """Return the answers of a machine by phase, the seconds that it ran, and its console.

    It is killed after BOOT_LIMIT_S seconds.
    """
    machine = MACHINES[name]
    package = packages.depends(machine.arch, f"linux-image-{machine.arch}")
    root = packages.unpacked(machine.arch, package, *USERSPACE)
    kernel = package[len("linux-image-") :]
    directory = packages.CACHE / "machines" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "initramfs").write_bytes(archive(machine, root, kernel))
    console = "ttyS0" if machine.arch == "amd64" else "ttyAMA0"
    command = [
        *(emulator(machine.command[0]), *machine.command[1:], "-smp", "1"),
        *("-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(root / "boot" / f"vmlinuz-{kernel}"), "-initrd", str(directory / "initramfs")),
        *("-append", f"console={console} quiet panic=-1 mitigations=off {machine.options}".strip()),
    ]
    start = time.monotonic()
    with open(directory / "console", "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait(BOOT_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    text = (directory / "console").read_text("utf-8", "replace")
    return answers_in(text), time.monotonic() - start, text


def answers_in(console: str) -> dict[str, Any]:
    """Return the answers on a console by phase."""
    answers = {}
    for phase, answer in re.findall(r"@@([\w-]+) (\{.*\})", console):
        try:
            answers[phase] = json.loads(answer)
        except ValueError:  # cut by a kernel message: the phase counts as unanswered
            pass
    return answers


def differences(wanted: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[str]:
    """Return how an answer differs from the expected one."""
    if answer is None:
        return ["no answer"]
    result, probe = answer["result"], answer["facts"]["probe"] or {}
    cpu = probe.get("guest_cpu") or {}
    given = {
        "class": result["class"],
        "cause": result["cause"],
        "virt_type": result["recommended_virt_type"],
        "nested": bool(cpu.get("nested_svm") or cpu.get("nested_vmx")),
    }
    return [f"{key} is {given[key]}, wanted {value}" for key, value in wanted.items() if given[key] != value]


def run(name: str) -> tuple[list[Row], float, str]:
    """Return the rows of a machine, the seconds that it ran, and its console.

    A machine that hangs before it reaches its first phase is booted once more.
    """
    answers, seconds, console = boot(name)
    if not answers:
        answers, seconds, console = boot(name)
    rows = [
        Row(phase.name, answers.get(phase.name), differences(phase.wanted, answers.get(phase.name)))
        for phase in MACHINES[name].phases
    ]
    return rows, seconds, console


def shown(row: Row) -> str:
    """Return a row of the table in the document."""
    if row.answer is None:
        return f"| {row.phase} | no answer | | | | | {'; '.join(row.problems)} |"
    probe = row.answer["facts"]["probe"]
    loop = (probe.get("rates") or {}).get("long64") or {}
    ratio, share = (probe.get("ratios") or {}).get("long64"), loop.get("emulated_share")
    failed = sorted(name for name, test in (probe.get("tests") or {}).items() if not test["ok"])
    cells = [
        row.phase,
        row.answer["result"]["class"],
        row.answer["result"]["cause"],
        "-" if ratio is None else f"{ratio:.2f}",
        "-" if share is None else f"{share:.4f}",
        ", ".join(failed) or "-",
        "; ".join(row.problems) or "as expected",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = """# Hardware KVM, evaluated in emulated machines

Written by `python tests/kvm/machines.py --record [NAME ...]`: each section is the last run of its machine.
QEMU emulates processors with virtualization extensions (TCG), on which the kernel's real kvm_amd or arm64 KVM runs.
Native speed is the speed of the emulated machine. The last column must be "as expected" everywhere.

"""


def section(name: str, rows: Sequence[Row], seconds: float) -> str:
    """Return the section of a machine in the document."""
    machine = MACHINES[name]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"## {name}",
        "",
        f"{now}, {seconds:.0f} s, {packages.depends(machine.arch, f'linux-image-{machine.arch}')}",
        "",
        "`" + " ".join(machine.command[1:] + ([f"({machine.options})"] if machine.options else [])) + "`",
        "",
        "| phase | class | cause | ring-0/EL1 speed, of native | interpreted | failed tests | result |",
        "|---|---|---|---|---|---|---|",
        *[shown(row) for row in rows],
        "",
    ]
    return "\n".join(lines)


def record(sections: Mapping[str, str]) -> None:
    """Write sections to the document, in the order of MACHINES; other machines keep their last result."""
    document = RECORD.read_text() if RECORD.exists() else ""
    kept = {text.split("\n")[0]: "## " + text for text in document.split("\n## ")[1:]}
    kept = {name: text.rstrip("\n") + "\n" for name, text in kept.items() if name in MACHINES}
    kept.update(sections)
    RECORD.write_text(HEAD + "\n".join(kept[name] for name in MACHINES if name in kept))


def main() -> int:
    """Run machines and print their results; return 1 if one is not as expected."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    wrong = 0
    for name in options.names or MACHINES:
        rows, seconds, _console = run(name)
        text = section(name, rows, seconds)
        print(text, flush=True)
        wrong += sum(bool(row.problems) for row in rows)
        if options.record:
            record({name: text})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
