# SPDX-License-Identifier: Apache-2.0
"""Hardware KVM in emulated machines (see machines.py); takes minutes, so only `make test-slow` runs it."""

from __future__ import annotations

import shutil

import machines
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(machines.MACHINES))
def test_every_phase_of_an_emulated_machine_is_evaluated_correctly(name):
    if not shutil.which("apt-get"):
        pytest.skip("kernels and Python of the machines come from Debian packages: needs apt-get")
    rows, _seconds, console = machines.run(name)
    problems = [f"{row.phase}: {', '.join(row.problems)}" for row in rows if row.problems]
    assert not problems, f"{problems}\n{console[-2000:]}"
    assert [row.phase for row in rows if row.answer["facts"]["errors"]] == []
