#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: option_export
short_description: Export the names of all options that the installed OpenStack release declares
description:
  - Reads what the installed packages declare under the entry points C(oslo.config.opts), with the code that
    M(config_files) uses to check files, and changes nothing. The role option_lists writes its lists from the result.
options:
  namespaces:
    description: For each file the namespaces that declare its options, as in O(config_files#module:files[].validate).
    type: list
    elements: list
    required: true
author:
  - nova-ansible contributors
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""

EXAMPLES = r"""
- name: Read the options that the installed packages declare
  option_export:
    namespaces: [[nova.conf, oslo.log], [placement.conf, oslo.log]]
  register: exported
"""

RETURN = r"""
options:
  description: The names of all options of the namespaces, and of all keystoneauth plugins.
  returned: success
  type: dict
  contains:
    packages:
      description: Debian version of each package that declares one of the namespaces.
      returned: always
      type: dict
      sample: {python3-nova: "3:31.0.0-5"}
    namespaces:
      description:
        - For each namespace its C(package) and its C(sections). A section maps an option to the current place of an old
          name, which is empty for a current name.
      returned: always
      type: dict
      sample: {nova.conf: {package: python3-nova, sections: {DEFAULT: {my_ip: ""}}}}
    auth_plugins:
      description: Names of the options of each keystoneauth plugin.
      returned: always
      type: dict
      sample: {none: [endpoint, endpoint-override]}
"""

import importlib.metadata

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.config.installed_options import entry_points, list_options
from ansible.module_utils.host.commands import run
from ansible.module_utils.message import Message, OperatorError


def package_of(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Return name and version of the Debian package that an entry point comes from."""
    directory = str(point.dist._path)  # type: ignore[union-attr]  # importlib.metadata has no public name for it
    owner = output(["dpkg-query", "--search", directory]).split(":")[0]
    return owner, output(["dpkg-query", "--show", "--showformat=${Version}", owner])


def output(argv: list[str]) -> str:
    """Return the output of a command; raise OperatorError when it fails."""
    done = run(argv)
    if done.code:
        raise OperatorError(Message(f"the command {' '.join(argv)} {done.ending}: {done.text}"))
    return done.out


def export(namespaces: list[list[str]]) -> dict:
    """Return the list of options."""
    found = list_options(namespaces)
    installed = entry_points()
    owners = {name: package_of(installed[name]) for name in found.namespaces}
    return {
        "packages": dict(owners.values()),
        "namespaces": {
            name: {"package": owners[name][0], "sections": sections} for name, sections in found.namespaces.items()
        },
        "auth_plugins": found.auth_plugins,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"namespaces": {"type": "list", "elements": "list", "required": True}}, supports_check_mode=True
    )
    try:
        options = export(module.params["namespaces"])
    except OperatorError as error:
        module.fail_json(msg=Message(f"The options cannot be listed: {error}."))
    module.exit_json(changed=False, options=options)


if __name__ == "__main__":
    main()
