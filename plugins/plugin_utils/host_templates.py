# SPDX-License-Identifier: Apache-2.0
"""Templates of other hosts of a play, with all variables that a task on them would have, those of roles too."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible.vars.hostvars import HostVars


def templar_of(action: ActionBase, hostvars: HostVars, host: str) -> Templar:
    """Return a templar with every variable that a task of the action's play has on a host."""
    variables = hostvars._variable_manager.get_vars(
        play=action._task.get_play(), host=hostvars._inventory.get_host(host), task=action._task
    )
    return action._templar.copy_with_new_env(available_variables=variables)
