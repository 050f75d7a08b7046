#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_transaction
short_description: Install all packages of a host in one transaction of apt
description:
  - Installs the missing ones of a list of packages, without recommended packages, with answers for debconf, and with
    services held back, so that they start once they are configured.
  - When nothing is missing, only dpkg's database is read, and neither apt's cache nor a mirror.
  - Python code is compiled once for all packages, on all processors, instead of by the maintainer scripts of each
    package. A reload of systemd waits for the first call that may need it.
  - What an interrupted run left is repaired first, namely half installed packages, Python code that is not compiled,
    and its C(policy-rc.d).
  - A transaction that would remove a package that is not in O(remove) is refused before anything changes.
author:
  - nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Simulated by apt; without package lists, only the missing names."}
  diff_mode: {support: full}
options:
  packages:
    description: Packages to install, each a name or C(name=version).
    type: list
    elements: str
    required: true
  remove: {description: Packages to remove., type: list, elements: str, default: []}
  upgrade:
    description:
      - V(none) keeps the versions of installed packages. V(named) upgrades those of O(packages) to the newest version
        of the sources, V(full) every package of the host (dist-upgrade), which may also remove packages.
    type: str
    choices: [none, named, full]
    default: none
  debconf:
    description: Answers as C(debconf-set-selections) reads them. They are set before each installation.
    type: list
    elements: str
    default: []
  hold_services:
    description: Whether services stay as they are meanwhile. The operator's own C(policy-rc.d) is restored afterwards.
    type: bool
    default: true
  cache_valid_time:
    description: Age in seconds at which package lists are fetched again. Lists older than the sources always are.
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
installed:
  description: Packages that were installed; in check mode, those that would be.
  returned: always
  type: list
  elements: str
upgraded: {description: Packages whose version changed., returned: always, type: list, elements: str}
removed: {description: Packages that were removed., returned: always, type: list, elements: str}
repaired:
  description:
    - What an interrupted run had left and was repaired. Names of half installed packages, the path of C(policy-rc.d),
      and the path of the list of packages whose Python code was not compiled.
  returned: always
  type: list
  elements: str
changed_paths:
  description: dpkg's list of files of each new or upgraded package, for C(changed_files) of M(systemd_units).
  returned: always
  type: list
  elements: str
  sample: [/var/lib/dpkg/info/python3-nova.list]
seconds: {description: "Duration of the transaction, in seconds.", returned: always, type: float}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages import apt_transaction as stage


def main() -> None:
    """Run this stage alone."""
    stage.run(AnsibleModule(argument_spec=stage.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
