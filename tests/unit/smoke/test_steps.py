# SPDX-License-Identifier: Apache-2.0
"""The steps of a smoke test and the message of a failure."""

from __future__ import annotations

import pytest
from ansible.module_utils.smoke.steps import StepFailed, Steps, failure_message, wait_for


def test_a_failed_step_is_reported_with_hints():
    steps = Steps()
    with steps.step("first") as step:
        step.detail = "fine"
    with pytest.raises(StepFailed), steps.step("second"):
        raise StepFailed("no lease", ["agent x: NOT ALIVE", "", "| last line"])
    failed = steps.failed()
    assert failed.name == "second" and [step.ok for step in steps.done] == [True, False]
    failed.seconds = 12.0
    text = failure_message(failed, StepFailed("no lease", ["agent x: NOT ALIVE", "", "| last"]))
    assert text.splitlines() == ["Step 'second' failed after 12.0 s: no lease", "  agent x: NOT ALIVE", "  | last"]
    assert "FAILED" in steps.lines()[1] and "fine" in steps.lines()[0]


def test_a_failure_that_is_tried_again_is_forgotten():
    steps = Steps()
    with steps.step("first"):
        pass
    with pytest.raises(StepFailed), steps.step("second"):
        raise StepFailed("no lease")
    steps.forget_failure()
    assert steps.failed() is None and [step.name for step in steps.done] == ["first"]


def test_waiting_ends_with_the_first_true_result_or_with_the_time():
    results = iter([None, "", "found"])
    assert wait_for(lambda: next(results), 5, 0.01) == "found"
    assert wait_for(lambda: None, 0, 0.01) is None
