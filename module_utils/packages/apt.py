# SPDX-License-Identifier: Apache-2.0
"""Run apt and dpkg without questions, and turn their failures into messages."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Iterator, Sequence

from ansible.module_utils.host import commands
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.packages import apt_output, deferred_triggers, policy_rcd

APT_GET = [
    "apt-get",
    "--yes",
    "--quiet=1",
    "--option=APT::Install-Recommends=false",
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
    "--option=Dpkg::Use-Pty=0",
    "--option=Acquire::Retries=3",
    "--option=APT::Get::Allow-Downgrades=true",  # happens only for an explicit name=version
]
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
LISTS = "/var/lib/apt/lists"
LOCK_INTERVAL = 2  # seconds between two attempts while another package manager holds its lock


class AptError(OperatorError):
    """A failure of apt or dpkg: what failed, what to do, and the lines of the output that name the reason."""

    def __init__(self, what: Message, output: str = "") -> None:
        super().__init__(Message(_with_reason(what, output)))


class PlanError(AptError):
    """apt finds no way to carry out a transaction; `lines` of its output name the reason."""

    def __init__(self, output: str) -> None:
        super().__init__(Message("apt cannot plan this transaction, nothing was changed"), output)
        self.lines = apt_output.error_lines(output, 3)


def _with_reason(what: str, output: str) -> str:
    """Return a message with advice and the lines of an output that name the reason."""
    if not output:
        return what
    advice = apt_output.advice(output)
    lines = "\n    ".join(apt_output.error_lines(output))
    return f"{what}{'; ' + advice if advice else ''}:\n    {lines}"


class Apt:
    """apt and dpkg of this host.

    lock_timeout: seconds to wait for another package manager.
    hold_services: keep services as they are during a transaction.
    """

    def __init__(self, lock_timeout: int, hold_services: bool) -> None:
        self.lock_timeout = lock_timeout
        self.hold_services = hold_services
        self.path = ""  # where maintainer scripts find their tools; set inside of `undisturbed`

    def run(self, command: Sequence[str], text_in: str | None = None) -> commands.Done:
        """Run a command, with standard error in `out`.

        When a signal ends this process, dpkg still finishes its package before this returns.
        """
        environment = {**ENVIRONMENT, **({"PATH": self.path} if self.path else {})}
        return commands.run(command, environment=environment, text_in=text_in, merge=True)

    def must(self, what: Message, command: Sequence[str], text_in: str | None = None) -> str:
        """Return the output of a command, or raise AptError."""
        done = self.run(command, text_in)
        if done.code != 0:
            raise AptError(what, done.out)
        return done.out

    def status(self) -> apt_output.Status:
        """Return the packages of this host."""
        argv = ["dpkg-query", "-W", "-f", apt_output.DPKG_FORMAT]
        return apt_output.parse_status(self.must(Message("dpkg's database cannot be read"), argv))

    def get(self, *arguments: str) -> list[str]:
        """Return the command line of apt-get."""
        path = [f"--option=DPkg::Path={self.path}"] if self.path else []
        return [*APT_GET, *path, f"--option=DPkg::Lock::Timeout={self.lock_timeout}", *arguments]

    def simulate(self, arguments: Sequence[str]) -> apt_output.Change:
        """Return what apt would change; raise PlanError where it finds no way."""
        done = self.run(self.get("--simulate", *arguments))
        if done.code != 0:
            raise PlanError(done.out)
        return apt_output.parse_simulation(done.out)

    def repair(self) -> None:
        """Finish what an interrupted dpkg left."""
        self._run_unlocked(["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"], "lock")
        what = Message("Packages that an earlier run left half installed cannot be repaired")
        self.must(what, self.get("install", "--fix-broken"))

    def update(self) -> None:
        """Fetch the package lists; a source that cannot be read is an error before anything changes."""
        done = self._run_unlocked(self.get("update"), "Could not get lock")
        failed = apt_output.failed_fetches(done.out)
        if failed:
            sources = read_sources()
            what = Message(
                "The package lists cannot be fetched, nothing was changed. Correct the source or the network:"
            )
            lines = []
            for address, reason in failed:
                where = apt_output.source_of(address, reason, sources)
                lines.append(f"{address}: {reason}" + (f" (from {where})" if where else ""))
            raise AptError(Message("\n  - ".join([what, *lines])))
        if done.code != 0:
            raise AptError(Message("The package lists cannot be fetched, nothing was changed"), done.out)

    def _run_unlocked(self, command: Sequence[str], locked: str) -> commands.Done:
        """Run a command again as long as its output has the words of a lock that another package manager holds."""
        end = time.monotonic() + self.lock_timeout
        while True:
            done = self.run(command)
            if done.code == 0 or locked not in done.out or time.monotonic() > end:
                return done
            time.sleep(LOCK_INTERVAL)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Hold services while the block runs, and do afterwards what is not needed for each package."""
        with policy_rcd.held(self.hold_services), deferred_triggers.stand_ins(self.hold_services) as self.path:
            try:
                yield
            finally:
                self.path = ""
        problems = deferred_triggers.catch_up(self.run)
        if self.hold_services:
            self.reload_bus()
        if problems:
            raise AptError(Message("Python code of the packages cannot be compiled"), problems)

    def reload_bus(self) -> None:
        """Reload dbus and restart polkit, which were held too.

        Otherwise dbus does not know polkit's new user, and libvirt refuses Nova.
        """
        if os.path.isdir("/run/systemd/system"):  # sd_booted(3)
            self.run(["systemctl", "reload", "dbus.service"])
            self.run(["systemctl", "try-restart", "polkit.service"])


def read_sources() -> dict[str, str]:
    """Return the text of each file of apt's sources."""
    texts = {}
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            texts[path] = file.read()
    return texts


def lists_age() -> float:
    """Return the age of the package lists in seconds; infinite when there are none or the sources are newer."""
    lists = [path for path in glob.glob(f"{LISTS}/*") if os.path.isfile(path) and not path.endswith("/lock")]
    if not lists:
        return float("inf")
    stamps = [LISTS, f"{LISTS}/partial", "/var/lib/apt/periodic/update-success-stamp"]
    fetched = max(os.stat(path).st_mtime for path in stamps if os.path.exists(path))
    sources = ["/etc/apt/sources.list", "/etc/apt/sources.list.d", *glob.glob("/etc/apt/sources.list.d/*")]
    if any(os.stat(path).st_mtime > fetched for path in sources if os.path.exists(path)):
        return float("inf")
    return time.time() - fetched
