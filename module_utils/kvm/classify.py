# SPDX-License-Identifier: Apache-2.0
"""What a probe's measurements mean; pure, and safe on any input."""

from __future__ import annotations

API_VERSION = 12
CLASSES = ("hardware", "emulated", "unusable", "unmeasured")
WITH_GUEST_PROGRAM = ("x86_64", "aarch64")
# Tests without which a 64-bit guest kernel does not live. Real mode is not among them: sound Intel hardware
# without "unrestricted guest" interprets it.
MUST_RUN = ("long_hello", "exception", "sse2", "popcnt", "cmpxchg16b", "avx", "msr", "mmu", "neon", "exclusives")
# Interpreted code was measured at 0.0009 of native speed at most, real hardware support at 0.18 at least (inside a
# machine that was itself emulated). KVM's own count of interpreted instructions decides first, where it exists.
INTERPRETED_SHARE = 0.5
FLOOR_WITH_SHARE, FLOOR_WITHOUT_SHARE, FLOOR_PER_SECOND = 0.02, 0.10, 5e7
SPEEDS = ("long64", "real16", "user64")


def mapping(value):
    return value if isinstance(value, dict) else {}


def listing(value):
    return value if isinstance(value, list) else []


def known_class(value):
    return value if value in CLASSES else None


def number(value):
    """The value if it is a number that can be compared, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return value


def ratios(probe):
    """Speeds as a share of native speed."""
    native = number(probe.get("native_per_second"))
    rates = mapping(probe.get("rates"))
    speeds = {name: number(mapping(rates.get(name)).get("per_second")) for name in SPEEDS if name in rates}
    return {name: round(speed / native, 6) for name, speed in speeds.items() if speed is not None} if native else {}


def starved(reply):
    """Whether a test was given up because the host was busy, not because the guest did not answer."""
    return mapping(reply).get("exit") == "TIMEOUT" and mapping(reply).get("starved") is True


def classify(probe):
    """(class, reason); class is hardware, emulated, unusable or unmeasured."""
    probe = mapping(probe)
    rates, tests = mapping(probe.get("rates")), mapping(probe.get("tests"))
    step = probe.get("failed_step")
    if step == "internal":
        return "unmeasured", f"the probe itself failed: {probe.get('error')}"
    if step == "deadline" and probe.get("starved") is True:
        return "unmeasured", f"this host is too busy: {probe.get('error')}, waiting for a processor"
    if step and not rates:
        where = f" at {probe['at']}" if step == "deadline" and probe.get("at") else ""
        return "unusable", f"{step}{where} failed: {probe.get('errno') or probe.get('error')}"
    if probe.get("api_version") != API_VERSION:
        return "unusable", f"KVM API version {probe.get('api_version')!r}, {API_VERSION} wanted"
    if probe.get("level") == "open":
        return "unmeasured", "a VM can be created; no guest code was run, as asked (probe: open)"
    if probe.get("arch") not in WITH_GUEST_PROGRAM:
        return "unmeasured", "a vCPU can be created; there is no guest program for this architecture"
    return _from_measurements(probe, mapping(rates.get("long64")), tests)


def _from_measurements(probe, loop, tests):
    if not loop or "stopped_by" in loop:
        said = loop.get("stopped_by") or mapping(tests.get("long_hello")).get("got")
        if starved(said):
            return "unmeasured", "this host is too busy: the guest got no CPU time"
        return "emulated", f"a guest does not run in 64-bit kernel mode: {said}"
    speed = number(loop.get("per_second"))
    if not speed or speed < 0:
        return "unmeasured", "this host is too busy: the guest got no CPU time"
    ratio, share = ratios(probe).get("long64"), number(loop.get("emulated_share"))
    shown = f"{speed:.3g} loops/s" if ratio is None else f"{100 * ratio:.2g} % of native speed"
    if share is not None and share > INTERPRETED_SHARE:
        return "emulated", f"KVM interprets 64-bit kernel-mode code instruction by instruction ({shown})"
    failed = sorted(name for name in MUST_RUN if name in tests and not mapping(tests[name]).get("ok"))
    if failed and all(starved(mapping(tests[name]).get("got")) for name in failed):
        return "unmeasured", f"this host is too busy: tests got no CPU time: {', '.join(failed)}"
    if failed:
        return "emulated", f"guest instructions fail in 64-bit kernel mode: {', '.join(failed)}"
    floor = FLOOR_WITHOUT_SHARE if share is None else FLOOR_WITH_SHARE
    slow = speed < FLOOR_PER_SECOND if ratio is None else ratio < floor
    return "emulated" if slow else "hardware", f"64-bit kernel-mode code runs at {shown}"
