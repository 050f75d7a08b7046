# SPDX-License-Identifier: Apache-2.0
"""One machine of a lab: its disk (an overlay over a template), its identity and its processes."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import time
import uuid

from ansible.module_utils.host import atomic_file
from ansible.module_utils.lab_plan import hosts_file, namespace
from ansible.module_utils.lab_process import (
    LabError,
    first_line,
    in_namespace,
    read_json,
    run,
    running,
    start,
    start_time,
    tail,
    wait_gone,
)
from ansible.module_utils.message import Message

DEVICES = ("/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/loop-control")
DEVICE_GROUPS = {"/dev/kvm": "kvm", "/dev/vhost-net": "kvm", "/dev/vhost-vsock": "kvm"}
SHORT_LIVED = (
    "etc/machine-id",
    "etc/ssh/ssh_host_*",
    "var/log/journal/*",
    "var/lib/systemd/random-seed",
    "tmp/*",
    "var/tmp/*",
)
# The mount is in its own namespace and ends with the machine. `volatile` makes fsync free; a kernel without it gets the
# plain mount. Its mark in work/ is removed, because a lab's disk need not survive a crash of the computer.
# systemd-nspawn --keep-unit leaves a reboot to its parent and requests it with exit code 133. It runs in the control
# group of the machine, and this loop must not: a group with processes cannot delegate controllers.
LAUNCH = """set -e
cgroup=$1 options=$2
shift 2
rm -rf work/work/incompat
mount -t overlay -o "$options,volatile" lab root 2>/dev/null || mount -t overlay -o "$options" lab root
while :; do
    code=0
    sh -c 'echo $$ 2>/dev/null >"$0/cgroup.procs" || :; exec "$@"' "$cgroup" "$@" || code=$?
    [ "$code" = 133 ] || exit "$code"
done
"""
# Without LOCK=0, systemd-nspawn would leave a file for each machine in /run; machine.pid already protects a disk.
ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    "SYSTEMD_NSPAWN_LOCK": "0",
}
NSPAWN = "/run/systemd/nspawn"
TRACES = ("propagate", "unix-export")  # directories of each machine below NSPAWN; the second one since systemd 256


def cgroup2() -> str:
    """Return the mount point of cgroup2 on this computer, or an empty text."""
    with open("/proc/mounts", encoding="utf-8") as stream:
        return next((line.split()[1] for line in stream if line.split()[2] == "cgroup2"), "")


def device_rules() -> str:
    """Return a tmpfiles.d file that creates the computer's special devices in the machine.

    With a bind mount, a change of the owner in a machine would change the device of the computer.
    """
    rules = []
    for path in DEVICES:
        with contextlib.suppress(OSError):
            number = os.stat(path).st_rdev
            mode, group = ("0660", DEVICE_GROUPS[path]) if path in DEVICE_GROUPS else ("0666", "root")
            rules.append(f"c! {path} {mode} root {group} - {os.major(number)}:{os.minor(number)}\n")
    return "".join(rules)


def children(pid: int) -> list:
    """Return the pids of a process's children."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            return [int(word) for word in stream.read().split()]
    return []


def descendants(pid: int) -> list:
    """Return the pids of all descendants of a process, nearest first."""
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def is_first(pid: int) -> bool:
    """Tell whether a process is the first one of its pid namespace."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            spaces = next(line for line in stream if line.startswith("NSpid:")).split()[1:]
            return spaces[-1] == "1"
    return False


class Machine:
    """A machine: its directory, its processes, and the operations on it."""

    def __init__(self, lab: dict, row: dict, lab_dir: str) -> None:
        self.lab = lab
        self.row = row
        self.name = row["name"]
        self.lab_dir = lab_dir
        self.dir = os.path.join(lab_dir, "machines", self.name)
        self.full_name = namespace(lab["name"], self.name).replace(".", "-")
        self.pidfile = self.path("machine.pid")
        self.cgroup = os.path.join(cgroup2(), namespace(lab["name"], self.name)) if cgroup2() else ""

    def path(self, *parts: str) -> str:
        """Return a path in the directory of the machine."""
        return os.path.join(self.dir, *parts)

    # -- state --------------------------------------------------------------------------------------------------------
    def exists(self) -> bool:
        """Tell whether the machine has a disk."""
        return os.path.exists(self.path("machine.json"))

    def pid(self) -> int:
        """Return the pid of the outermost process of the machine, or 0."""
        return running(self.pidfile)

    def leader(self) -> int:
        """Return the pid, on this computer, of the first process of the machine, or 0."""
        level = [self.pid()] if self.pid() else []
        for _ in range(3):  # the loop, systemd-nspawn, the machine
            level = [child for pid in level for child in children(pid)]
            for pid in level:
                if is_first(pid):
                    return pid
        return 0

    def processes(self) -> list:
        """Return the pids of all processes of the machine, even if its first process no longer runs."""
        pids = [pid for pid in (self.pid(), running(self.path("leader.pid"))) if pid]
        pids += [child for pid in list(pids) for child in descendants(pid)]
        for directory, _, files in os.walk(self.cgroup) if self.cgroup else ():
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    with open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as stream:
                        pids += [int(word) for word in stream.read().split() if word != "0"]
        return list(dict.fromkeys(pids))

    def cut_off(self) -> bool:
        """Tell whether the machine runs in a network namespace that no longer belongs to the lab."""
        with contextlib.suppress(OSError):
            inside = os.stat(f"/proc/{self.leader()}/ns/net")
            return inside.st_ino != os.stat(f"/run/netns/{namespace(self.lab['name'], self.name)}").st_ino
        return False

    def healthy(self) -> bool:
        """Tell whether the machine runs and is connected."""
        return bool(self.leader()) and not self.cut_off()

    def etc_hosts(self) -> str:
        """Return the path of the machine's /etc/hosts on this computer."""
        leader = self.leader()
        return f"/proc/{leader}/root/etc/hosts" if leader else self.path("upper/etc/hosts")

    def missing_hosts(self) -> list:
        """Return the lines that are missing in the machine's /etc/hosts."""
        try:
            with open(self.etc_hosts(), encoding="utf-8") as stream:
                have = stream.read().splitlines()
        except OSError:
            have = []
        return [line for line in hosts_file(self.lab["machines"]).splitlines() if line not in have]

    # -- the disk -----------------------------------------------------------------------------------------------------
    def create(self, template: str, layers: list, public_key: str) -> None:
        """Give the machine an empty upper layer and its identity."""
        shutil.rmtree(self.dir, ignore_errors=True)
        for part in ("upper", "work", "root"):
            os.makedirs(self.path(part))
        self.identify(public_key)
        atomic_file.write(self.path("machine.json"), json.dumps({"template": template, "layers": layers}) + "\n")

    def identify(self, public_key: str) -> None:
        """Write the identity of the machine into its upper layer: name, keys, hosts, devices."""
        for part, mode in (
            ("upper", 0o755),
            ("upper/etc", 0o755),
            ("upper/root", 0o700),
            ("upper/root/.ssh", 0o700),
            ("upper/etc/ssh", 0o755),
            ("upper/etc/tmpfiles.d", 0o755),
        ):
            os.makedirs(self.path(part), exist_ok=True)
            os.chmod(self.path(part), mode)
        key = self.path("upper/etc/ssh/ssh_host_ed25519_key")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", key])
        atomic_file.write(self.path("upper/etc/hostname"), f"{self.name}\n")
        atomic_file.write(self.path("upper/etc/machine-id"), f"{uuid.uuid4().hex}\n", mode=0o444)
        atomic_file.write(self.path("upper/etc/hosts"), hosts_file(self.lab["machines"]))
        atomic_file.write(self.path("upper/etc/tmpfiles.d/lab-devices.conf"), device_rules())
        atomic_file.write(self.path("upper/root/.ssh/authorized_keys"), public_key, mode=0o600)

    def add_hosts(self) -> None:
        """Add the missing lines to the machine's /etc/hosts, and keep its other lines."""
        missing, path = self.missing_hosts(), self.etc_hosts()
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        atomic_file.write(path, text + "".join(f"{line}\n" for line in missing))

    def host_key(self) -> str:
        """Return the machine's line of known_hosts."""
        with open(self.path("upper/etc/ssh/ssh_host_ed25519_key.pub"), encoding="utf-8") as stream:
            kind, key = stream.read().split()[:2]
        return f"{self.row['address']} {kind} {key}\n"

    def save(self, layer: str, public_key: str) -> None:
        """Turn the stopped machine's upper layer into a read-only layer; the machine continues on top of it."""
        made_of = read_json(self.path("machine.json"))
        os.makedirs(layer)
        os.rename(self.path("upper"), os.path.join(layer, "root"))
        for pattern in SHORT_LIVED:
            for path in glob.glob(os.path.join(glob.escape(layer), "root", pattern)):
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        atomic_file.write(os.path.join(layer, "layer.json"), json.dumps({**made_of, "suite": self.lab["suite"]}) + "\n")
        self.create(made_of["template"], [layer, *made_of["layers"]], public_key)

    # -- the processes ------------------------------------------------------------------------------------------------
    def launch(self) -> None:
        """Mount the disk and start the machine, without waiting for it."""
        self.sweep()
        made_of = read_json(self.path("machine.json"))
        lower = [*made_of["layers"], made_of["template"]]
        gone = [path for path in lower if not os.path.isdir(path)]
        if gone:
            text = Message(f"{self.name} needs {gone[0]}, which does not exist: remove the lab and create it again.")
            raise LabError(text)
        lower = [os.path.join(path, "root") if path in made_of["layers"] else path for path in lower]
        options = f"lowerdir={':'.join(os.path.relpath(path, self.dir) for path in lower)},upperdir=upper,workdir=work"
        if self.cgroup:
            os.makedirs(self.cgroup, exist_ok=True)
        nspawn = [
            *self.scope(),
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--directory=root",
            f"--machine={self.full_name}",
            f"--hostname={self.name}",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--resolv-conf=off",
            "--timezone=off",
            f"--network-namespace-path=/run/netns/{namespace(self.lab['name'], self.name)}",
        ]
        launch = ["unshare", "--mount", "--propagation=slave", "sh", "-c", LAUNCH, "lab", self.cgroup, options]
        start(self.pidfile, [*launch, *nspawn], self.dir, self.path("console.log"), ENVIRONMENT)

    def scope(self) -> list:
        """Return the prefix that starts a machine in a scope of systemd, if this computer runs it."""
        if not os.path.isdir("/run/systemd/system"):
            return []
        scope = ["systemd-run", "--scope", "--quiet", "--collect", "--property=Delegate=yes"]
        return [*scope, f"--unit={self.full_name}", "--"]

    def wait_booted(self, seconds: float) -> None:
        """Wait until the machine's sshd sends its greeting."""
        deadline = time.monotonic() + seconds

        def greets() -> bool:
            return first_line(self.row["address"], 22).startswith("SSH-2.0")

        while not in_namespace(namespace(self.lab["name"]), greets):
            if not self.pid() or time.monotonic() > deadline:
                what = f"did not respond on ssh within {seconds:.0f} s" if self.pid() else "ended while it booted"
                console = self.path("console.log")
                raise LabError(
                    Message(f"{self.name} {what}. The last lines of its console, {console}:\n{tail(console)}")
                )
            time.sleep(0.1)
        leader = self.leader()
        atomic_file.write(self.path("leader.pid"), json.dumps({"pid": leader, "start": start_time(leader)}))

    def stop(self, seconds: float) -> None:
        """Shut down the machine; after the time (seconds), kill its remaining processes by pid."""
        leader, pid = self.leader(), self.pid()
        if leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGRTMIN + 4)
            wait_gone([pid], seconds)
        self.sweep()

    def sweep(self) -> None:
        """Kill the remaining processes of the machine, and remove its control group."""
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if wait_gone(left, 20):
            raise LabError(Message(f"Processes {left} of {self.name} do not end; see their state in /proc/PID/stack."))
        for name in ("machine.pid", "leader.pid"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))
        own = os.path.basename(self.cgroup)  # systemd-nspawn creates the same one in systemd's hierarchy
        for top in [self.cgroup, *glob.glob(f"/sys/fs/cgroup/*/{glob.escape(own)}")] if own else []:
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
        for part in TRACES:
            shutil.rmtree(os.path.join(NSPAWN, part, self.full_name), ignore_errors=True)

    def remove(self) -> None:
        """Remove the stopped machine's disk."""
        shutil.rmtree(self.dir)
