# SPDX-License-Identifier: Apache-2.0
"""The first run changed what check mode had predicted on empty machines."""

from __future__ import annotations

import json
import os
from pathlib import Path

# A copy of a package's file. Its maintainer script makes the same copy, which cannot be predicted.
OF_A_PACKAGE = "/etc/nova/api-paste.ini"


def test_the_first_run_changed_exactly_what_check_mode_predicted(converged):
    planned = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "planned.json").read_text(encoding="utf-8")
    planned = {tuple(row) for row in json.loads(planned)}
    assert len(converged.stages) >= 12, "a first deployment changes a lot"
    unchanged = planned - converged.changes
    assert unchanged == {(host, "file", OF_A_PACKAGE) for host, _ in converged.stages}, "predicted, but not changed"
    assert sorted(converged.changes - planned) == [], "changed, but not predicted"


def test_every_host_was_read_once_and_changed_in_few_calls(converged):
    looks = [row["task"] for row in converged.tasks if row["stage_seconds"] and not row["stages"]]
    assert looks == ["preflight : Check each host and predict what a deployment changes"]
    acting = [row for row in converged.tasks if row["stages"]]
    for host in {host for host, _ in converged.stages}:
        assert len([row for row in acting if host in row["stage_seconds"]]) <= 8


def test_the_run_ended_with_a_running_instance(converged):
    names = [row["task"] for row in converged.tasks]
    assert "verify : Verify the cloud with a test instance" in names
    assert names[-1] == "verify : Show the services, the steps and the instances"
