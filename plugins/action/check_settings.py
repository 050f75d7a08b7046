# SPDX-License-Identifier: Apache-2.0
"""Fail unless Ansible uses the settings of this checkout's ansible.cfg that the playbooks depend on.

Ansible reads ansible.cfg only from the current directory, and ignores it where everyone may write to that directory.
The playbooks are still found then, by the links in playbooks/; without this check they would run with other settings.
"""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible import constants
from ansible.config.manager import ConfigManager
from ansible.module_utils.message import Message
from ansible.plugins.action import ActionBase

SETTINGS = Path(__file__).resolve().parents[2] / "ansible.cfg"
# Settings that decide the value of a variable, or whether a secret can reach a log; all others are a matter of taste.
NEEDED = {
    "VARIABLE_PRECEDENCE": "precedence",
    "INJECT_FACTS_AS_VARS": "inject_facts_as_vars",
    "ALLOW_EMBEDDED_TEMPLATES": "allow_embedded_templates",
    "DEFAULT_NO_TARGET_SYSLOG": "no_target_syslog",
}


def problem() -> Message | None:
    """Return a sentence where a needed setting has another value than in the checkout's ansible.cfg, else None."""
    checkout = ConfigManager(str(SETTINGS))
    differing = [
        name for setting, name in NEEDED.items() if getattr(constants, setting) != checkout.get_config_value(setting)
    ]
    if not differing:
        return None
    used = constants.CONFIG_FILE or "no ansible.cfg"
    return Message(
        f"Ansible uses {used}, but the playbooks need {', '.join(differing)} as in {SETTINGS}; run "
        f"export ANSIBLE_CONFIG={shlex.quote(str(SETTINGS))}"
    )


class ActionModule(ActionBase):
    """Check the settings of Ansible."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset[str]()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return an unchanged result, or a failure."""
        result = super().run(tmp, task_vars)
        failure = problem()
        return {**result, "failed": True, "msg": failure} if failure else {**result, "changed": False}
