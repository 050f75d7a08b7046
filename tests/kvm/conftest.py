# SPDX-License-Identifier: Apache-2.0
"""Tests that touch a real KVM: they need root and a node, and say so when they are skipped."""

from __future__ import annotations

import os
import pathlib
import stat

import ansible.module_utils
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))


def why_not():
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
    reason = why_not()
    if reason:
        pytest.skip(reason)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes (emulated machines); runs with -m slow")


def pytest_collection_modifyitems(config, items):
    if "slow" not in (config.getoption("markexpr") or ""):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run it with -m slow (make test-slow)"))
