# SPDX-License-Identifier: Apache-2.0
"""Run systemd units on their current files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Run systemd units on their current files
description:
  - Starts what does not run, and restarts a unit when a file it runs on is newer than the start of the unit, so that
    nothing is lost when an earlier run was interrupted between a change and the restart.
  - The unit's own file and its drop-ins are always among its files.
  - What has to be started or restarted is handed to systemd at once and comes up side by side, in the order that the
    units themselves ask for (C(After=)).
  - A unit that ended well and is started by a listening socket counts as running.
author: nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Units that do not exist yet are predicted to be started."}
  diff_mode: {support: full}
options:
  units:
    description: The units and the state each shall be in.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: "Name of the unit, V(.service) may be left out.", type: str, required: true}
      files:
        description:
          - Paths or patterns of what the unit runs on, such as its configuration and C(/var/lib/dpkg/info/*.list) of
            its code. What does not exist is passed over. A directory stands for the names in it.
        type: list
        elements: str
        default: []
      reload_files:
        description:
          - Paths or patterns of what the unit reads again when it is told to, such as a certificate. When one is newer
            than the unit's start and its last reload, and no restart is due, the unit is reloaded.
        type: list
        elements: str
        default: []
      state: {description: State to be in., type: str, choices: [started, stopped], default: started}
      enabled: {description: Whether it starts at boot., type: bool, default: true}
      package: {description: Package that brings the unit; for the message when it is missing., type: str}
  changed_files:
    description:
      - Paths that changed earlier in this run. Check mode takes them as newer than any unit. In a run only those that
        no longer exist matter, as all others show it by their time.
    type: list
    elements: str
    default: []
  timeout: {description: Seconds after which a start counts as failed., type: int, default: 120}
  settle:
    description: Seconds that a unit must stay up after its start. Only a run that started something waits for it.
    type: float
    default: 2
  secrets:
    description: Texts that are masked in what the module returns of journals and logs.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Run the Nova services on their current files
  systemd_units:
    units:
      - name: nova-conductor
        files: [/etc/nova/nova.conf, /var/lib/dpkg/info/python3-nova.list]
      - {name: nova-spicehtml5proxy, state: stopped, enabled: false}
    changed_files: "{{ __nova_files.changed_paths }}"
"""

RETURN = r"""
started: {description: Units that did not run., returned: always, type: list, elements: str}
restarted:
  description: Units that ran on files older than those that are there now.
  returned: always
  type: list
  elements: dict
  sample: [{unit: nova-conductor.service, newer: [/etc/nova/nova.conf]}]
reloaded:
  description: Units that were told to read their files again.
  returned: always
  type: list
  elements: dict
  sample: [{unit: haproxy.service, newer: [/etc/haproxy/cloud.pem]}]
stopped: {description: Units that ran and shall not., returned: always, type: list, elements: str}
enabled: {description: Units that now start at boot., returned: always, type: list, elements: str}
disabled: {description: Units that no longer start at boot., returned: always, type: list, elements: str}
failed_units: {description: Units that did not come up or did not stay., returned: failure, type: list, elements: str}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import systemd_units as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
