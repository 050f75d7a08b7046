# SPDX-License-Identifier: Apache-2.0
"""Check that a refused run gives its reason and does not change the machines."""

from __future__ import annotations

import pytest

STATE = (
    "sha256sum /var/lib/dpkg/status; find /etc -xdev -printf '%p %m %u %g %s\\n' | sort | sha256sum; "
    "find /etc -xdev -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; ls /etc/nova /var/lib/nova"
)


@pytest.fixture
def refusal(playbook, machines, secrets_in):
    """Return refuse(*arguments, inventory): the output of a run that must fail and change nothing.

    Which hosts it is about is part of what it says.
    """

    def refuse(*arguments: str, inventory: list | None = None, name: str = "preflight.yml") -> str:
        before = {machine: host.run(STATE).stdout for machine, host in machines.items()}
        done = playbook(name, *arguments, inventory=inventory)
        assert done.rc != 0, f"it was accepted:\n{done.output[-3000:]}"
        assert {machine: host.run(STATE).stdout for machine, host in machines.items()} == before
        assert done.changed == set()
        assert secrets_in(done.output) == []
        assert "Traceback" not in done.output
        assert done.failures, f"it failed without a reason:\n{done.output[-3000:]}"
        return " ".join(" ".join(done.failures.values()).split())

    return refuse
