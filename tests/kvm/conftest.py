# SPDX-License-Identifier: Apache-2.0
"""Tests that use a real KVM: they need root and the device node, and are skipped with the reason otherwise."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import ansible.module_utils
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that the tests share


def reason_to_skip() -> str | None:
    """Return why this machine cannot run the tests; None if it can."""
    if os.geteuid() != 0:
        return "needs root: device nodes, namespaces and other users"
    try:
        node = os.stat("/dev/kvm")
    except OSError as error:
        return f"this machine has no KVM node: {error}"
    if not stat.S_ISCHR(node.st_mode) or os.major(node.st_rdev) != 10:
        return "this machine's /dev/kvm is not the KVM device"
    return None


@pytest.fixture
def real_kvm():
    """Skip a test where there is no KVM."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)


def pytest_configure(config):
    """Describe the marker."""
    config.addinivalue_line("markers", "slow: takes minutes (emulated machines); runs with -m slow")


def pytest_collection_modifyitems(config, items):
    """Skip slow tests unless they are selected."""
    if "slow" not in (config.getoption("markexpr") or ""):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run it with -m slow (make test-slow)"))
