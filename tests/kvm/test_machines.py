# SPDX-License-Identifier: Apache-2.0
"""The hardware result for real, in emulated machines (see machines.py); minutes, so only in `make test-slow`."""

from __future__ import annotations

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import machines  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(machines.MACHINES))
def test_emulated_machine_is_judged_rightly(name):
    if not shutil.which("apt-get"):
        pytest.skip("kernels and Python of the machines come from Debian packages: needs apt-get")
    rows, _seconds, console = machines.run(name)
    problems = [f"{phase}: {', '.join(wrong)}" for phase, _answer, wrong in rows if wrong]
    assert not problems, f"{problems}\n{console[-2000:]}"
    for _phase, answer, _wrong in rows:
        assert not answer["facts"]["errors"]
