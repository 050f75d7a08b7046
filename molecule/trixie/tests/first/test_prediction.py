# SPDX-License-Identifier: Apache-2.0
"""The plan that check mode made of empty machines, against what the first run changed."""

from __future__ import annotations

import json
import os
from pathlib import Path


def test_the_first_run_changed_exactly_what_check_mode_predicted(converged):
    planned = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "planned.json").read_text(encoding="utf-8")
    planned = {tuple(row) for row in json.loads(planned)}
    assert len(converged.changed) >= 10, "a first deployment changes a lot"
    assert sorted(planned - converged.changed) == [], "predicted, but not changed"
    assert sorted(converged.changed - planned) == [], "changed, but not predicted"


def test_the_run_ended_with_a_living_guest(converged):
    names = [row["task"] for row in converged.tasks]
    assert "verify : Prove the cloud with a living guest" in names
    assert names[-1] == "verify : Show the services, the proof and the guests"
