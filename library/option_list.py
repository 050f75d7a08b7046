#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.config.option_check import entry_points, list_options

DOCUMENTATION = r"""
module: option_list
short_description: The names of all options that the installed OpenStack release declares
description:
  - Reads what the installed packages declare under the entry points C(oslo.config.opts), with the same code that
    M(config_files) checks files with, and changes nothing. The role option_lists makes its lists of it.
options:
  namespaces:
    description: For each file the namespaces that declare its options, as in O(config_files#module:files[].validate).
    type: list
    elements: list
    required: true
author: nova-ansible contributors
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""

EXAMPLES = r"""
- name: Read the options that the installed packages declare
  option_list:
    namespaces: [[nova.conf, oslo.log], [placement.conf, oslo.log]]
  register: options
"""

RETURN = r"""
list:
  description:
    - C(packages), the Debian version of each package that declares something; C(namespaces), by name the C(package) and
      its C(sections), section to option to the place where an old name stands now, empty for a current one;
      C(auth_plugins), the options of each keystoneauth plugin.
  returned: success
  type: dict
"""


def package_of(point) -> tuple:
    """Return name and version of the Debian package that an entry point comes from."""
    folder = str(point.dist._path)  # importlib.metadata has no public name for it
    owner = ask(["dpkg-query", "--search", folder]).split(":")[0]
    return owner, ask(["dpkg-query", "--show", "--showformat=${Version}", owner])


def ask(argv: list) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    module = AnsibleModule(
        argument_spec={"namespaces": {"type": "list", "elements": "list", "required": True}}, supports_check_mode=True
    )
    found = list_options(module.params["namespaces"])
    if found["errors"]:
        module.fail_json(msg=f"The options cannot be listed: {'; '.join(found['errors'])}.")
    installed = entry_points()
    owners = {name: package_of(installed[name]) for name in found["namespaces"]}
    module.exit_json(
        changed=False,
        list={
            "packages": dict(owners.values()),
            "namespaces": {
                name: {"package": owners[name][0], "sections": sections}
                for name, sections in found["namespaces"].items()
            },
            "auth_plugins": found["auth_plugins"],
        },
    )


if __name__ == "__main__":
    main()
