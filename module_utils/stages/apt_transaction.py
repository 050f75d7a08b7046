# SPDX-License-Identifier: Apache-2.0
"""All packages of a host in one transaction of apt."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import signal
import subprocess
import time

from ansible.module_utils.packages import apt_output, deferred_triggers, policy_rcd

APT = [
    "apt-get",
    "--yes",
    "--quiet=1",
    "--option=APT::Install-Recommends=false",
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
    "--option=Dpkg::Use-Pty=0",
    "--option=Acquire::Retries=3",
    "--option=APT::Get::Allow-Downgrades=true",  # only ever asked for by an explicit name=version
]
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
LISTS = "/var/lib/apt/lists"
RUN_LOCK = "/run/nova-ansible-apt.lock"


class PlanError(Exception):
    """apt sees no way to do what it was asked; the text is what it said."""


class Apt:
    """Runs apt and dpkg; a failure of theirs ends the module with the few lines that matter."""

    def __init__(self, module):
        self.module = module
        self.patience = module.params["lock_timeout"]
        self.path = ""  # where maintainer scripts look for tools; set inside of `undisturbed`
        self.result = {
            "installed": [],
            "upgraded": [],
            "removed": [],
            "healed": [],
            "changed_paths": [],
            "seconds": 0.0,
        }

    def run(self, command: list, **kwargs) -> tuple:
        """Return (rc, output), standard error included in the order in which it came."""
        environment = {**os.environ, **ENVIRONMENT, "LC_ALL": "C.UTF-8", "PATH": self.path or os.environ["PATH"]}
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        text = kwargs.pop("text_in", None)
        if text is not None:
            kwargs["stdin"] = subprocess.PIPE
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **kwargs,
        )
        try:
            output = process.communicate(text)[0]
        except BaseException:  # a signal: let dpkg finish its package before services are released
            process.terminate()
            process.communicate()
            raise
        return process.returncode, output

    def must(self, what: str, command: list, **kwargs) -> str:
        code, output = self.run(command, **kwargs)
        if code != 0:
            self.fail(what, output)
        return output

    def fail(self, what: str, output: str):
        advice = apt_output.hint(output)
        lines = "\n    ".join(apt_output.telling_lines(output))
        self.module.fail_json(msg=f"{what}{'; ' + advice if advice else ''}:\n    {lines}", **self.result)

    def status(self) -> dict:
        return apt_output.parse_status(
            self.must("dpkg-query failed", ["dpkg-query", "-W", "-f", apt_output.DPKG_FORMAT])
        )

    def get(self, *arguments) -> list:
        path = [f"--option=DPkg::Path={self.path}"] if self.path else []
        return [*APT, *path, f"--option=DPkg::Lock::Timeout={self.patience}", *arguments]

    def simulate(self, arguments: list) -> tuple:
        """Return what apt would install and remove."""
        code, output = self.run(self.get("--simulate", *arguments))
        if code != 0:
            raise PlanError(output)
        return apt_output.parse_simulation(output)

    def heal(self) -> None:
        """Finish what an interrupted dpkg left."""
        end = time.monotonic() + self.patience
        while True:
            code, output = self.run(["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"])
            if "lock" not in output or code == 0 or time.monotonic() > end:
                break
            time.sleep(2)
        self.must(
            "Packages that an earlier run left half installed cannot be mended", self.get("install", "--fix-broken")
        )

    @contextlib.contextmanager
    def undisturbed(self):
        """Hold services while the block runs, and do afterwards what need not be done for each package."""
        held = self.module.params["hold_services"]
        with policy_rcd.held(held), deferred_triggers.stand_ins(held) as self.path:
            try:
                yield
            finally:
                self.path = ""
        problems = deferred_triggers.catch_up(self.run)
        if held:
            settle_bus(self)
        if problems:
            self.fail("Python code of the packages cannot be compiled", problems)

    def update(self) -> None:
        """Fetch the package lists; a source that cannot be read is an error before anything changes."""
        end = time.monotonic() + self.patience
        while True:
            code, output = self.run(self.get("update"))
            if "Could not get lock" not in output or time.monotonic() > end:
                break
            time.sleep(2)
        failed = apt_output.failed_fetches(output)
        if failed:
            sources = read_sources()
            lines = [
                "The package lists cannot be fetched, nothing was changed. Correct the source or mend the network:"
            ]
            for address, reason in failed:
                where = apt_output.source_of(address, reason, sources)
                lines.append(f"{address}: {reason}" + (f" (from {where})" if where else ""))
            self.module.fail_json(msg="\n  - ".join(lines), **self.result)
        if code != 0:
            self.fail("The package lists cannot be fetched, nothing was changed", output)


def read_sources() -> dict:
    """Return path -> text of apt's source files."""
    texts = {}
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            texts[path] = file.read()
    return texts


def lists_age() -> float:
    """Return how old the package lists are in seconds; infinite when there are none or the sources are newer."""
    lists = [path for path in glob.glob(f"{LISTS}/*") if os.path.isfile(path) and not path.endswith("/lock")]
    if not lists:
        return float("inf")
    stamps = [LISTS, f"{LISTS}/partial", "/var/lib/apt/periodic/update-success-stamp"]
    fetched = max(os.stat(path).st_mtime for path in stamps if os.path.exists(path))
    sources = ["/etc/apt/sources.list", "/etc/apt/sources.list.d", *glob.glob("/etc/apt/sources.list.d/*")]
    if any(os.stat(path).st_mtime > fetched for path in sources if os.path.exists(path)):
        return float("inf")
    return time.time() - fetched


def settle_bus(apt: Apt) -> None:
    """Do what the held services missed: without it dbus does not know polkit's new user and libvirt refuses nova."""
    for command in (["systemctl", "reload", "dbus.service"], ["systemctl", "try-restart", "polkit.service"]):
        if os.path.isdir("/run/systemd/system"):
            apt.run(command)


@contextlib.contextmanager
def one_at_a_time(patience: int):
    """Keep a second run from taking the first one's policy-rc.d for a stale one."""
    with open(RUN_LOCK, "w", encoding="utf-8") as file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"another transaction holds {RUN_LOCK} for more than {patience} s") from None
                time.sleep(0.5)
        yield


@contextlib.contextmanager
def ended_by_signals():
    """Let a signal raise while the block runs, so that services are released; whoever comes after has its own way."""

    def stop(number, _frame):
        raise SystemExit(f"ended by signal {number}; services are released, run again to finish")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def arguments_of(params: dict, absent: list, present: list) -> list:
    """Return what apt-get has to do, or nothing."""
    removals = [f"{name}-" for name in present]
    if params["upgrade"] == "full":
        return ["dist-upgrade", *absent, *removals]
    names = params["packages"] if params["upgrade"] == "named" else absent
    return ["install", *names, *removals] if names or removals else []


def transact(module, apt: Apt) -> None:
    params, check_mode = module.params, module.check_mode
    begin = time.monotonic()
    stale = policy_rcd.is_stale()
    status = apt.status()
    half_done = status["broken"] or (["dpkg"] if glob.glob("/var/lib/dpkg/updates/[0-9]*") else [])
    uncompiled = [deferred_triggers.LIST] if deferred_triggers.is_left() else []
    apt.result["healed"] += ([policy_rcd.POLICY] if stale else []) + uncompiled + half_done
    if stale and not check_mode:
        policy_rcd.release()
    if (half_done or uncompiled) and not check_mode:
        with apt.undisturbed():
            apt.heal()
        status = apt.status()
    elif stale and not check_mode and params["hold_services"]:
        settle_bus(apt)
    absent = apt_output.missing(params["packages"], status)
    if check_mode:  # a run would have finished these first
        absent = [item for item in absent if item not in status["broken"]]
    present = [name for name in params["remove"] if name in status["installed"]]
    arguments = arguments_of(params, absent, present)
    changes, removals = {}, {}
    if arguments and check_mode:
        changes, removals = predict(module, apt, arguments, absent, present)
    elif arguments:
        if lists_age() > params["cache_valid_time"]:
            apt.update()
        if present or params["upgrade"] == "full":
            refuse_removals(module, apt.result, apt.simulate(arguments)[1])
        else:
            arguments = ["--no-remove", *arguments]
        install(module, apt, arguments, status)
        changes, removals = apt_output.difference(status, apt.status())
    apt.result.update(
        installed=sorted(name for name, (old, _new) in changes.items() if not old),
        upgraded=sorted(name for name, (old, _new) in changes.items() if old),
        removed=sorted(removals),
        changed_paths=[f"/var/lib/dpkg/info/{name}.list" for name in sorted(changes)],
        seconds=round(time.monotonic() - begin, 2),
    )
    before = {**{name: old for name, (old, _new) in changes.items() if old}, **removals}
    module.exit_json(
        changed=bool(changes or removals or apt.result["healed"]),
        diff={
            "before": "".join(f"{name} {version}\n" for name, version in sorted(before.items())),
            "after": "".join(f"{name} {new}\n" for name, (_old, new) in sorted(changes.items())),
        },
        **apt.result,
    )


def predict(module, apt: Apt, arguments: list, absent: list, present: list) -> tuple:
    """Return what a run would change, as far as the package lists that are here tell."""
    try:
        changes, removals = apt.simulate(arguments)
    except PlanError as error:
        # the sources may be among what this very run would change
        module.warn(f"apt cannot plan this transaction yet: {' '.join(apt_output.telling_lines(str(error), 3))}")
        return {item.partition("=")[0]: ("", "?") for item in absent}, {name: "?" for name in present}
    refuse_removals(module, apt.result, removals)
    return changes, removals


def refuse_removals(module, result: dict, removals: dict) -> None:
    """Stop before apt takes away what nobody wanted to lose; it does so readily where suites are mixed."""
    strange = sorted(set(removals) - set(module.params["remove"]))
    if strange and module.params["upgrade"] != "full":
        module.fail_json(
            msg=f"apt would remove {', '.join(strange)}; nothing was changed. List them in `remove` if they shall go, "
            "or correct the suites and packages that do not go together here.",
            **result,
        )


def install(module, apt: Apt, arguments: list, before: dict) -> None:
    """Give debconf its answers, then fetch and install all with the services held."""
    params = module.params
    if params["debconf"]:
        text = "".join(f"{line}\n" for line in params["debconf"])
        apt.must("debconf refuses its answers, nothing was installed", ["debconf-set-selections"], text_in=text)
    with apt.undisturbed():
        code, output = apt.run(apt.get(*arguments))
        if code != 0 and apt_output.failed_fetches(output):  # the lists are older than the mirror
            apt.update()
            code, output = apt.run(apt.get(*arguments))
    if code != 0 and "remove is disabled" in output:
        refuse_removals(module, apt.result, apt.simulate(arguments[1:])[1])
    if code != 0 and before == apt.status():
        apt.fail("apt cannot do this, nothing was changed", output)
    if code != 0:
        apt.fail("The packages were not all installed", output)
    left = apt_output.missing(params["packages"], apt.status())
    if left:
        module.fail_json(msg=f"apt ended well, but {', '.join(left)} is not installed; read its history", **apt.result)


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    return {
        "packages": {"type": "list", "elements": "str", "required": True},
        "remove": {"type": "list", "elements": "str", "default": []},
        "upgrade": {"choices": ["none", "named", "full"], "default": "none"},
        "debconf": {"type": "list", "elements": "str", "default": []},
        "hold_services": {"type": "bool", "default": True},
        "cache_valid_time": {"type": "int", "default": 3600},
        "lock_timeout": {"type": "int", "default": 300},
    }


ARGUMENT_SPEC = argument_spec()


def run(module) -> None:
    """Heal, compare, install."""
    apt = Apt(module)
    try:
        if module.check_mode:
            transact(module, apt)
        with ended_by_signals(), one_at_a_time(module.params["lock_timeout"]):
            transact(module, apt)
    except PlanError as error:
        apt.fail("apt cannot plan this transaction, nothing was changed", str(error))
    except TimeoutError as error:
        module.fail_json(msg=f"{error}; run again when it is done", **apt.result)
