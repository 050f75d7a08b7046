# SPDX-License-Identifier: Apache-2.0
"""All packages of a host in one transaction of apt."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_transaction
short_description: All packages of a host in one transaction of apt
description:
  - Installs what is missing of a list of packages, at once, without recommended packages, with answers for debconf, and
    with services held back, so that they start once they are configured.
  - When nothing is missing only dpkg's own list is read; neither apt's cache nor a mirror is touched.
  - Python code is compiled once for all packages, on all processors, instead of by the maintainer scripts of each
    package; a reload of systemd waits for what may need it.
  - What an interrupted run left is mended first, packages that are half installed, Python code that is not compiled,
    and a C(policy-rc.d) of ours.
  - A transaction that would remove a package that nobody named in O(remove) is refused before anything changes.
author: nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Simulated by apt; without package lists, only the missing names."}
  diff_mode: {support: full}
options:
  packages:
    description: Packages to have, each a name or C(name=version).
    type: list
    elements: str
    required: true
  remove: {description: Packages not to have., type: list, elements: str, default: []}
  upgrade:
    description:
      - V(none) leaves installed packages alone, V(named) brings those of O(packages) to the newest version of the
        sources, V(full) every package of the host (dist-upgrade), which may also remove packages.
    type: str
    choices: [none, named, full]
    default: none
  debconf:
    description: Answers as C(debconf-set-selections) reads them. Given before each installation.
    type: list
    elements: str
    default: []
  hold_services:
    description: Whether services stay as they are meanwhile. An operator's own C(policy-rc.d) is put back afterwards.
    type: bool
    default: true
  cache_valid_time:
    description: Seconds for which package lists are good enough. Lists older than a change of the sources never are.
    type: int
    default: 3600
  lock_timeout: {description: Seconds to wait for another package manager., type: int, default: 300}
"""

EXAMPLES = r"""
- name: Install what this host needs
  apt_transaction:
    packages: [glance-api, python3-pymysql]
    debconf: ["glance-common glance/configure_db boolean false"]
"""

RETURN = r"""
installed: {description: Packages that were new; in check mode would be., returned: always, type: list, elements: str}
upgraded: {description: Packages that got another version., returned: always, type: list, elements: str}
removed: {description: Packages that were removed., returned: always, type: list, elements: str}
healed:
  description:
    - What an interrupted run had left and was mended; half installed packages, C(policy-rc.d), and the list of packages
      whose Python code was not compiled.
  returned: always
  type: list
  elements: str
changed_paths:
  description: dpkg's file list of each new or upgraded package; for C(systemd_units), whose units run on their code.
  returned: always
  type: list
  elements: str
  sample: [/var/lib/dpkg/info/python3-nova.list]
seconds: {description: How long the transaction took., returned: always, type: float}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import apt_transaction as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
