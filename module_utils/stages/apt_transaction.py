# SPDX-License-Identifier: Apache-2.0
"""Install all packages of a host in one transaction of apt."""

from __future__ import annotations

import contextlib
import glob
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.host import lock
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.packages import apt_output, deferred_triggers, policy_rcd
from ansible.module_utils.packages.apt import Apt, AptError, PlanError, lists_age
from ansible.module_utils.packages.apt_output import Change, Status

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

RUN_LOCK = "/run/nova-ansible-apt.lock"  # a second run must not take the policy-rc.d of the first for a stale one


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise SystemExit at a signal while the block runs, so that services are released."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(Message(f"ended by signal {number}; services are released, run again to finish"))

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def repair(module: AnsibleModule, apt: Apt, result: dict[str, Any]) -> Status:
    """Repair what an interrupted run left, name it in the result, and return the packages of the host."""
    stale = policy_rcd.is_stale()
    status = apt.status()
    half_done = status.broken or (["dpkg"] if glob.glob("/var/lib/dpkg/updates/[0-9]*") else [])
    uncompiled = [deferred_triggers.LIST] if deferred_triggers.is_left() else []
    result["repaired"] = ([policy_rcd.POLICY] if stale else []) + uncompiled + half_done
    if module.check_mode:
        return status
    if stale:
        policy_rcd.release()
    if half_done or uncompiled:
        with apt.undisturbed():
            apt.repair()
        return apt.status()
    if stale and apt.hold_services:
        apt.reload_bus()
    return status


def arguments_of(params: dict[str, Any], absent: list[str], present: list[str]) -> list[str]:
    """Return the arguments of apt-get; none when there is nothing to do.

    absent: packages that are wanted and missing. present: packages that are installed and have to go.
    """
    removals = [f"{name}-" for name in present]
    if params["upgrade"] == "full":
        return ["dist-upgrade", *absent, *removals]
    names = params["packages"] if params["upgrade"] == "named" else absent
    return ["install", *names, *removals] if names or removals else []


def transact(module: AnsibleModule, apt: Apt, result: dict[str, Any]) -> None:
    """Repair, compare, and carry out or predict the transaction."""
    begin = time.monotonic()
    params = module.params
    status = repair(module, apt, result)
    absent = apt_output.missing(params["packages"], status)
    if module.check_mode:  # a run would have finished these first
        absent = [item for item in absent if item not in status.broken]
    present = [name for name in params["remove"] if name in status.installed]
    arguments = arguments_of(params, absent, present)
    change = Change({}, {})
    if arguments and module.check_mode:
        change = predict(module, apt, arguments, absent, present)
    elif arguments:
        change = install(params, apt, arguments, bool(present), status)
    changes = sorted(change.versions.items())
    before = {**{name: old for name, (old, _new) in changes if old}, **change.removals}
    result.update(
        installed=[name for name, (old, _new) in changes if not old],
        upgraded=[name for name, (old, _new) in changes if old],
        removed=sorted(change.removals),
        changed_paths=[f"/var/lib/dpkg/info/{name}.list" for name, _versions in changes],
        seconds=round(time.monotonic() - begin, 2),
    )
    module.exit_json(
        changed=bool(change.versions or change.removals or result["repaired"]),
        diff={
            "before": "".join(f"{name} {version}\n" for name, version in sorted(before.items())),
            "after": "".join(f"{name} {new}\n" for name, (_old, new) in changes),
        },
        **result,
    )


def predict(module: AnsibleModule, apt: Apt, arguments: list[str], absent: list[str], present: list[str]) -> Change:
    """Return what a run would change, as far as the current package lists tell."""
    try:
        change = apt.simulate(arguments)
    except PlanError as error:
        # the sources may be among the files that the same run would change
        module.warn(Message(f"apt cannot plan this transaction yet: {' '.join(error.lines)}"))
        return Change({item.partition("=")[0]: ("", "?") for item in absent}, {name: "?" for name in present})
    refuse_removals(module.params, change)
    return change


def refuse_removals(params: dict[str, Any], change: Change) -> None:
    """Raise AptError before apt removes packages that are not listed; it does so readily where suites are mixed."""
    unlisted = sorted(set(change.removals) - set(params["remove"]))
    if unlisted and params["upgrade"] != "full":
        raise AptError(
            Message(
                f"apt would remove {', '.join(unlisted)}; nothing was changed. Name them in the option remove if "
                "they should be removed, or correct the suites and packages that conflict here."
            )
        )


def install(params: dict[str, Any], apt: Apt, arguments: list[str], removes: bool, before: Status) -> Change:
    """Carry out a transaction and return what it changed; raise AptError unless everything is installed."""
    if lists_age() > params["cache_valid_time"]:
        apt.update()
    if removes or params["upgrade"] == "full":
        refuse_removals(params, apt.simulate(arguments))
    else:
        arguments = ["--no-remove", *arguments]
    if params["debconf"]:
        answers = "".join(f"{line}\n" for line in params["debconf"])
        apt.must(Message("debconf refuses its answers, nothing was installed"), ["debconf-set-selections"], answers)
    with apt.undisturbed():
        done = apt.run(apt.get(*arguments))
        if done.code != 0 and apt_output.failed_fetches(done.out):  # the lists are older than the mirror
            apt.update()
            done = apt.run(apt.get(*arguments))
    if done.code != 0 and "remove is disabled" in done.out:
        refuse_removals(params, apt.simulate(arguments[1:]))
    after = apt.status()
    if done.code != 0 and before == after:
        raise AptError(Message("apt cannot carry out this transaction, nothing was changed"), done.out)
    if done.code != 0:
        raise AptError(Message("The packages were not all installed"), done.out)
    left = apt_output.missing(params["packages"], after)
    if left:
        raise AptError(Message(f"apt succeeded, but {', '.join(left)} is not installed; read /var/log/apt/history.log"))
    return apt_output.difference(before, after)


def argument_spec() -> dict[str, Any]:
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


def run(module: AnsibleModule) -> None:
    """Repair, compare, install."""
    apt = Apt(module.params["lock_timeout"], module.params["hold_services"])
    result: dict[str, Any] = {name: [] for name in ("installed", "upgraded", "removed", "repaired", "changed_paths")}
    result["seconds"] = 0.0
    try:
        if module.check_mode:
            transact(module, apt, result)
        with ended_by_signals(), lock.locked(RUN_LOCK, module.params["lock_timeout"]):
            transact(module, apt, result)
    except OperatorError as error:
        module.fail_json(msg=error.message, **result)
