# SPDX-License-Identifier: Apache-2.0
"""Variables of other hosts of a play, as their own tasks see them: with those of the play's roles."""

from __future__ import annotations


def templar_of(action, hostvars, host: str):
    """Return a templar with everything that a task of the action's play sees on a host."""
    variables = hostvars._variable_manager.get_vars(
        play=action._task.get_play(), host=hostvars._inventory.get_host(host), task=action._task
    )
    return action._templar.copy_with_new_env(available_variables=variables)
