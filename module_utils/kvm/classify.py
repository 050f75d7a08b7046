# SPDX-License-Identifier: Apache-2.0
"""Classify a probe by its measurements; pure, and safe on any input."""

from __future__ import annotations

from typing import Any, NamedTuple

API_VERSION = 12
CLASSES = ("hardware", "emulated", "unusable", "unmeasured")
WITH_GUEST_PROGRAM = ("x86_64", "aarch64")
# Tests that every 64-bit guest kernel needs. Real mode is not among them: sound Intel hardware without
# "unrestricted guest" interprets it.
MUST_RUN = ("long_hello", "exception", "sse2", "popcnt", "cmpxchg16b", "avx", "msr", "mmu", "neon", "exclusives")
# Interpreted code was measured at 0.0009 of native speed at most, real hardware support at 0.18 at least (inside a
# machine that was itself emulated). KVM's own count of interpreted instructions decides first, where it exists.
INTERPRETED_SHARE = 0.5
FLOOR_WITH_SHARE, FLOOR_WITHOUT_SHARE, FLOOR_PER_SECOND = 0.02, 0.10, 5e7
SPEEDS = ("long64", "real16", "user64")


class Classification(NamedTuple):
    """One of CLASSES, and why."""

    kind: str
    reason: str


def mapping(value: object) -> dict[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def known_class(value: object) -> str | None:
    """Return the value if it is the name of a class, else None."""
    return value if isinstance(value, str) and value in CLASSES else None


def number(value: object) -> float | None:
    """Return the value if it is a number that can be compared, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return value


def ratios(probe: dict[str, Any]) -> dict[str, float]:
    """Return the speeds as a share of native speed."""
    native = number(probe.get("native_per_second"))
    rates = mapping(probe.get("rates"))
    speeds = {name: number(mapping(rates.get(name)).get("per_second")) for name in SPEEDS if name in rates}
    return {name: round(speed / native, 6) for name, speed in speeds.items() if speed is not None} if native else {}


def starved(reply: object) -> bool:
    """Tell whether a test was given up because the host was busy, not because the guest did not answer."""
    return mapping(reply).get("exit") == "TIMEOUT" and mapping(reply).get("starved") is True


def classify(probe: object) -> Classification:
    """Return the class of a probe and the reason."""
    found = mapping(probe)
    rates, step = mapping(found.get("rates")), found.get("failed_step")
    if step == "internal":
        return Classification("unmeasured", f"the probe itself failed: {found.get('error')}")
    if step == "deadline" and found.get("starved") is True:
        return Classification("unmeasured", f"this host is too busy: {found.get('error')}, waiting for a processor")
    if step and not rates:
        where = f" at {found['at']}" if step == "deadline" and found.get("at") else ""
        return Classification("unusable", f"{step}{where} failed: {found.get('errno') or found.get('error')}")
    if found.get("api_version") != API_VERSION:
        return Classification("unusable", f"KVM API version {found.get('api_version')!r}, {API_VERSION} wanted")
    if found.get("level") == "open":
        return Classification("unmeasured", "a VM can be created; no guest code was run, as requested (probe: open)")
    if found.get("arch") not in WITH_GUEST_PROGRAM:
        return Classification("unmeasured", "a vCPU can be created; there is no guest program for this architecture")
    return _from_measurements(found, mapping(rates.get("long64")), mapping(found.get("tests")))


def _from_measurements(probe: dict[str, Any], loop: dict[str, Any], tests: dict[str, Any]) -> Classification:
    """Return the class of a probe that ran guest code."""
    no_time = Classification("unmeasured", "this host is too busy: the guest got no CPU time")
    if not loop or "stopped_by" in loop:
        reply = loop.get("stopped_by") or mapping(tests.get("long_hello")).get("got")
        if starved(reply):
            return no_time
        return Classification("emulated", f"a guest does not run in 64-bit kernel mode: {reply}")
    speed = number(loop.get("per_second"))
    if not speed or speed < 0:
        return no_time
    ratio, share = ratios(probe).get("long64"), number(loop.get("emulated_share"))
    shown = f"{speed:.3g} loops/s" if ratio is None else f"{100 * ratio:.2g} % of native speed"
    if share is not None and share > INTERPRETED_SHARE:
        return Classification(
            "emulated", f"KVM interprets 64-bit kernel-mode code instruction by instruction ({shown})"
        )
    failed = sorted(name for name in MUST_RUN if name in tests and not mapping(tests[name]).get("ok"))
    if failed and all(starved(mapping(tests[name]).get("got")) for name in failed):
        return Classification("unmeasured", f"this host is too busy: tests got no CPU time: {', '.join(failed)}")
    if failed:
        return Classification("emulated", f"guest instructions fail in 64-bit kernel mode: {', '.join(failed)}")
    floor = FLOOR_WITHOUT_SHARE if share is None else FLOOR_WITH_SHARE
    slow = speed < FLOOR_PER_SECOND if ratio is None else ratio < floor
    return Classification("emulated" if slow else "hardware", f"64-bit kernel-mode code runs at {shown}")
