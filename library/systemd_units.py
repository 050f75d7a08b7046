#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Run systemd units on their current files
description:
  - Starts units that do not run, and restarts a unit when one of its files is newer than its start. A restart is
    therefore not lost when an earlier run was interrupted between a change and the restart.
  - The unit's own file and its drop-ins are always among its files.
  - Units are started and restarted by one call of systemd, in parallel, in the order that C(After=) in the units gives.
  - A unit that ended with success and is started by a listening socket counts as running.
author:
  - nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Units that do not exist yet are predicted to be started."}
  diff_mode: {support: full}
options:
  units:
    description: The units and their states.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: "Name of the unit, V(.service) may be left out.", type: str, required: true}
      files:
        description:
          - Paths or patterns of the files that the unit reads when it starts, such as its configuration, and
            C(/var/lib/dpkg/info/*.list) of its code. Missing files are ignored. A directory counts as changed when
            a name in it is added or removed.
        type: list
        elements: str
        default: []
      reload_files:
        description:
          - Paths or patterns of the files that the unit also reads at a reload, such as a certificate. When one is
            newer than the unit's start and its last reload, and no restart is due, the unit is reloaded.
        type: list
        elements: str
        default: []
      state: {description: State of the unit., type: str, choices: [started, stopped], default: started}
      enabled: {description: Whether it starts at boot., type: bool, default: true}
      package: {description: Package of the unit; for the message when the unit is missing., type: str}
  changed_files:
    description:
      - Paths that changed earlier in this run. Check mode takes them as newer than any unit. In a run only removed
        files matter, because all others have their time.
    type: list
    elements: str
    default: []
  timeout: {description: Seconds after which a start has failed., type: int, default: 120}
  settle:
    description: Seconds that a unit must stay up after its start. A run that starts nothing does not wait.
    type: float
    default: 2
  secrets:
    description: Texts that are masked in the quoted lines of journals and logs.
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
  description: Units that ran on older files, and the files that are newer.
  returned: always
  type: list
  elements: dict
  sample: [{unit: nova-conductor.service, newer: [/etc/nova/nova.conf]}]
reloaded:
  description: Units that read their files again, and the files that are newer.
  returned: always
  type: list
  elements: dict
  sample: [{unit: haproxy.service, newer: [/etc/haproxy/cloud.pem]}]
stopped: {description: Units that were stopped., returned: always, type: list, elements: str}
enabled: {description: Units that now start at boot., returned: always, type: list, elements: str}
disabled: {description: Units that no longer start at boot., returned: always, type: list, elements: str}
failed_units: {description: Units that did not start or did not stay up., returned: failure, type: list, elements: str}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import systemd_units as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
