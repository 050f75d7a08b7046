# SPDX-License-Identifier: Apache-2.0
"""Machines emulated by QEMU (TCG) whose own processor offers virtualization: KVM with hardware, on any computer.

Debian's kernel, Debian's Python and this project's probe in an initramfs; a machine runs several phases (module not
loaded, loaded, loaded with another parameter) and prints an answer for each.

usage: machines.py [--record] [NAME ...]      --record puts the results into docs/kvm-last-run.md
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import time

import packages

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORD = ROOT / "docs" / "kvm-last-run.md"
PYTHON = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
USERSPACE = (*PYTHON, "libc6", "zlib1g", "libexpat1", "libffi8", "libgcc-s1", "busybox-static")
LEFT_OUT = ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "pydoc_data", "unittest", "distutils", "asyncio")
MODULES = {"amd64": ("irqbypass", "ccp", "kvm", "kvm_amd"), "arm64": ()}
SLICE_MS, DEADLINE = 250, 40

X86 = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "768"]
ARM = ["qemu-system-aarch64", "-accel", "tcg", "-m", "768"]

# Phases: shell commands, then the answer that is wanted of the machine in that state
NOT_LOADED = ("not-loaded", "true", {"class": "unusable", "cause": "module", "virt_type": "qemu"})


def loaded(name, **parameters):
    """kvm_amd with parameters; a processor with hardware support must be found."""
    words = " ".join(f"{key}={value}" for key, value in parameters.items())
    nested = parameters.get("nested", 1) == 1
    wanted = {"class": "hardware", "cause": "ok_nested", "virt_type": "kvm", "nested": nested}
    return name, f"rmmod kvm_amd 2>/dev/null; load kvm_amd {words}", wanted


MACHINES = {
    "x86-max": (
        "amd64",
        [*X86, "-cpu", "max"],
        "",
        [
            NOT_LOADED,
            loaded("nested-paging"),
            loaded("shadow-paging", npt=0),
            loaded("no-nesting", nested=0),
            ("unloaded-again", "rmmod kvm_amd", {"class": "unusable", "cause": "module", "virt_type": "qemu"}),
            (
                "static-node",
                "mknod /dev/kvm c 10 232",
                {"class": "unusable", "cause": "node_dead", "virt_type": "qemu"},
            ),
        ],
    ),
    "x86-epyc-milan": ("amd64", [*X86, "-cpu", "EPYC-Milan"], "", [loaded("nested-paging")]),
    "x86-clearcpuid": (
        "amd64",
        [*X86, "-cpu", "max"],
        "clearcpuid=194",
        [
            ("hidden", "load kvm_amd", {"class": "unusable", "cause": "disabled_cmdline", "virt_type": "qemu"}),
        ],
    ),
    "arm64-el2-gicv3": (
        "arm64",
        [*ARM, "-machine", "virt,virtualization=on,gic-version=3", "-cpu", "max"],
        "",
        [("vhe", "true", {"class": "hardware", "cause": "ok_nested", "virt_type": "kvm"})],
    ),
    "arm64-el2-gicv2": (
        "arm64",
        [*ARM, "-machine", "virt,virtualization=on,gic-version=2", "-cpu", "cortex-a57"],
        "",
        [("nvhe", "true", {"class": "hardware", "cause": "ok_nested", "virt_type": "kvm"})],
    ),
    "arm64-no-el2": (
        "arm64",
        [*ARM, "-machine", "virt,gic-version=3", "-cpu", "max"],
        "",
        [("el1", "true", {"class": "unusable", "cause": "no_el2", "virt_type": "qemu"})],
    ),
    "arm64-mode-none": (
        "arm64",
        [*ARM, "-machine", "virt,virtualization=on,gic-version=3", "-cpu", "max"],
        "kvm-arm.mode=none",
        [("off", "true", {"class": "unusable", "cause": "disabled_cmdline", "virt_type": "qemu"})],
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


def emulator(program):
    """The program on this machine, else from Debian's package, unpacked beside us."""
    if shutil.which(program):
        return program
    package = {"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm"}[program]
    return str(packages.unpacked("amd64", package) / "usr" / "bin" / program)


def initramfs(arch, root, kernel, phases):
    sys.path.insert(0, str(ROOT / "module_utils"))
    import initramfs as image

    entries, known = [], set()

    def add_folders(path):
        for parent in reversed(pathlib.PurePosixPath(path).parents):
            if str(parent) not in (".", *known):
                known.add(str(parent))
                entries.append(image.folder(str(parent)))

    def add(path, data, mode=0o644):
        add_folders(path)
        entries.append(image.file(path, data, mode))

    def add_link(path, target):
        add_folders(path)
        entries.append({"path": path, "mode": stat.S_IFLNK | 0o777, "data": target.encode()})

    for folder in ("lib", "lib64", "usr/lib", "usr/bin/python3.11"):
        start = root / folder
        for file in [start] if start.is_file() else sorted(start.rglob("*")) if start.exists() else []:
            name = file.relative_to(root)
            skipped = "modules" in name.parts or "gconv" in name.parts or set(name.parts[3:4]) & set(LEFT_OUT)
            if file.is_symlink():
                add_link(str(name), str(file.readlink()))
            elif file.is_file() and not skipped:
                add(str(name), file.read_bytes(), 0o755)
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.exists())
    add("bin/busybox", busybox.read_bytes(), 0o755)
    for name in ("sh", "mount", "insmod", "rmmod", "mknod", "poweroff", "head", "echo", "true"):
        add_link(f"bin/{name}", "busybox")
    for module in MODULES[arch]:
        file = next((root / "lib/modules" / kernel).rglob(f"{module.replace('_', '-')}.ko*"))
        add(f"modules/{module}.ko", image.plain_module(file.name, file.read_bytes()))
    for file in sorted((ROOT / "module_utils" / "kvm").glob("*.py")):
        add(f"probe/kvm/{file.name}", file.read_bytes())
    add("probe/alone.py", pathlib.Path(__file__).with_name("alone.py").read_bytes())
    add("etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    add("etc/group", b"root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n")
    for folder in ("proc", "sys", "dev", "tmp", "run"):
        entries.append(image.folder(folder))
    text = "".join(
        PHASE.format(name=name, shell=shell, slice=SLICE_MS, deadline=DEADLINE) for name, shell, _wanted in phases
    )
    first = " ".join(module for module in MODULES[arch] if module != "kvm_amd")
    add("init", INIT.format(modules=first, phases=text).encode(), 0o755)
    return image.cpio(entries)


def boot(name, limit=600):
    """{phase: answer}, seconds, console. The machine is killed after `limit` seconds."""
    arch, command, options, phases = MACHINES[name]
    package = packages.depends(arch, f"linux-image-{arch}")
    root = packages.unpacked(arch, package, *USERSPACE)
    kernel = package[len("linux-image-") :]
    folder = packages.CACHE / "machines" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "initramfs").write_bytes(initramfs(arch, root, kernel, phases))
    console = "ttyS0" if arch == "amd64" else "ttyAMA0"
    start = time.monotonic()
    with open(folder / "console", "wb") as output:
        process = subprocess.Popen(
            [
                emulator(command[0]),
                *command[1:],
                "-smp",
                "1",
                "-nographic",
                "-nodefaults",
                "-no-reboot",
                "-serial",
                "stdio",
                "-kernel",
                str(root / "boot" / f"vmlinuz-{kernel}"),
                "-initrd",
                str(folder / "initramfs"),
                "-append",
                f"console={console} quiet panic=-1 mitigations=off {options}".strip(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    text = (folder / "console").read_text("utf-8", "replace")
    answers = {}
    for phase, answer in re.findall(r"@@([\w-]+) (\{.*\})", text):
        try:
            answers[phase] = json.loads(answer)
        except ValueError:  # cut by a kernel message; the phase counts as unanswered
            pass
    return answers, time.monotonic() - start, text


def differences(wanted, answer):
    """What an answer says otherwise than wanted."""
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


def run(name):
    """[(phase, answer, differences)], seconds, console. Started once more if it hung before our code ran."""
    for attempt in (1, 2):
        answers, seconds, console = boot(name)
        if answers or attempt == 2:
            break
    rows = [
        (phase, answers.get(phase), differences(wanted, answers.get(phase)))
        for phase, _shell, wanted in MACHINES[name][3]
    ]
    return rows, seconds, console


def shown(phase, answer, problems):
    if answer is None:
        return f"| {phase} | no answer | | | | | {'; '.join(problems)} |"
    probe = answer["facts"]["probe"]
    loop = (probe.get("rates") or {}).get("long64") or {}
    ratio, share = (probe.get("ratios") or {}).get("long64"), loop.get("emulated_share")
    failed = sorted(name for name, test in (probe.get("tests") or {}).items() if not test["ok"])
    return "| {} | {} | {} | {} | {} | {} | {} |".format(
        phase,
        answer["result"]["class"],
        answer["result"]["cause"],
        "-" if ratio is None else f"{ratio:.2f}",
        "-" if share is None else f"{share:.4f}",
        ", ".join(failed) or "-",
        "; ".join(problems) or "as wanted",
    )


HEAD = """# The hardware result, proven in emulated machines

Written by `python tests/kvm/machines.py --record [NAME ...]`, each section when its machine was last run.
QEMU emulates processors with virtualization extensions (TCG); on them runs the real kvm_amd or arm64 KVM
of the kernel. Native speed is that of the emulated machine. The last column must say "as wanted".

"""


def section(name, rows, seconds):
    arch, command, extra, _phases = MACHINES[name]
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"## {name}",
        "",
        f"{today}, {seconds:.0f} s, {packages.depends(arch, f'linux-image-{arch}')}",
        "",
        "`" + " ".join(command[1:] + ([f"({extra})"] if extra else [])) + "`",
        "",
        "| phase | class | cause | ring-0/EL1 speed, of native | interpreted | failed tests | result |",
        "|---|---|---|---|---|---|---|",
        *[shown(*row) for row in rows],
        "",
    ]
    return "\n".join(lines)


def record(sections):
    """Put the sections of machines into the document, in the order of MACHINES; others keep their last result."""
    document = RECORD.read_text() if RECORD.exists() else ""
    kept = {text.split("\n")[0]: "## " + text for text in document.split("\n## ")[1:]}
    kept = {name: text.rstrip("\n") + "\n" for name, text in kept.items() if name in MACHINES}
    kept.update(sections)
    RECORD.write_text(HEAD + "\n".join(kept[name] for name in MACHINES if name in kept))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    wrong = 0
    for name in options.names or MACHINES:
        rows, seconds, _console = run(name)
        text = section(name, rows, seconds)
        print(text, flush=True)
        wrong += sum(bool(problems) for _phase, _answer, problems in rows)
        if options.record:
            record({name: text})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
