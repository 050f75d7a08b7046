# SPDX-License-Identifier: Apache-2.0
"""Keep Debian's maintainer scripts from starting services, with our own policy-rc.d for the time of a transaction."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ansible.module_utils.host import atomic_file

POLICY = "/usr/sbin/policy-rc.d"
KEPT = f"{POLICY}.kept-by-nova-ansible"
MARKER = "placed by nova-ansible"
TEXT = f"#!/bin/sh\n# {MARKER}: services are started once they are configured\nexit 101\n"


def is_ours(policy: str = POLICY) -> bool:
    """Tell whether the current policy is our own; outside a transaction, a killed run left it."""
    try:
        with open(policy, encoding="utf-8", errors="replace") as file:
            return MARKER in file.read()
    except OSError:
        return False


def is_stale(policy: str = POLICY, kept: str = KEPT) -> bool:
    """Tell whether an interrupted run left something to repair."""
    return is_ours(policy) or os.path.lexists(kept)


def release(policy: str = POLICY, kept: str = KEPT) -> None:
    """Remove our policy and restore the operator's own, in whatever state an interruption left them."""
    if is_ours(policy):
        os.unlink(policy)
    if os.path.lexists(kept) and not os.path.lexists(policy):
        os.rename(kept, policy)


@contextlib.contextmanager
def held(wanted: bool = True, policy: str = POLICY, kept: str = KEPT) -> Iterator[None]:
    """Hold services back while the block runs."""
    if not wanted:
        yield
        return
    release(policy, kept)
    if os.path.lexists(policy):
        os.rename(policy, kept)
    try:
        atomic_file.write(policy, TEXT, mode=0o755)
        yield
    finally:
        release(policy, kept)
