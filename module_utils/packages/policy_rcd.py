# SPDX-License-Identifier: Apache-2.0
"""Keep Debian's maintainer scripts from starting services, with a policy-rc.d of ours that never outlives the work."""

from __future__ import annotations

import contextlib
import os

POLICY = "/usr/sbin/policy-rc.d"
KEPT = f"{POLICY}.kept-by-nova-ansible"
MARKER = "placed by nova-ansible"
TEXT = f"#!/bin/sh\n# {MARKER}: services are started once they are configured\nexit 101\n"


def is_ours(policy: str = POLICY) -> bool:
    """Tell whether the policy that is there now is ours: outside a running transaction, one that a kill left over."""
    try:
        with open(policy, encoding="utf-8", errors="replace") as file:
            return MARKER in file.read()
    except OSError:
        return False


def is_stale(policy: str = POLICY, kept: str = KEPT) -> bool:
    """Tell whether an interrupted run left something to put right."""
    return is_ours(policy) or os.path.lexists(kept)


def release(policy: str = POLICY, kept: str = KEPT) -> None:
    """Remove our policy and put the operator's own back, whatever state an interruption left them in."""
    if is_ours(policy):
        os.unlink(policy)
    if os.path.lexists(kept) and not os.path.lexists(policy):
        os.rename(kept, policy)


@contextlib.contextmanager
def held(wanted: bool = True, policy: str = POLICY, kept: str = KEPT):
    """Hold services back while the block runs."""
    if not wanted:
        yield
        return
    release(policy, kept)
    if os.path.lexists(policy):
        os.rename(policy, kept)
    try:
        with open(f"{policy}.new", "w", encoding="utf-8") as file:
            file.write(TEXT)
            os.fchmod(file.fileno(), 0o755)
        os.rename(f"{policy}.new", policy)
        yield
    finally:
        release(policy, kept)
