#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Write all configuration files of a host in one call
description:
  - Writes files, makes directories and links, and removes files, given as one list, in one call.
  - With O(files[].validate), each option of a changed file is looked up in the option catalog of the installed
    OpenStack release before anything is written. One wrong option in one file keeps every file from being replaced.
  - All new contents are written next to their targets before the first file is replaced, each by a rename.
  - A symbolic link at the path of a file is replaced by the file; nothing is written to its target.
author:
  - nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Owners, groups and directories that do not exist yet are predicted."}
  diff_mode: {support: full, description: "Only options or lines that differ; secrets are masked on both sides."}
options:
  files:
    description: The files, directories and links of the host.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      state:
        description:
          - V(absent) removes a file, a link or an empty directory.
          - V(link) is a symbolic link to O(files[].target); it replaces a file.
        type: str
        choices: [file, directory, link, absent]
        default: file
      layers:
        description:
          - Options in layers, each a dict of C(name), C(source) (the file that an operator edits) and C(options).
          - C(options) maps sections to options; in a format without sections it maps options to values. A later layer
            wins, V(null) removes an option, a list repeats it, booleans become V(true) and V(false).
        type: list
        elements: dict
      format:
        description:
          - V(ini) is read by oslo.config; sections and options are sorted, V(DEFAULT) first. All other formats keep
            the order of the layers. A section without options is dropped.
          - V(systemd) is for units and their drop-ins. V([Unit]) comes first, V([Install]) last; an empty text at the
            head of a list resets the values of the unit.
          - V(properties) writes lines C(name = value). A value is written as given, so a text for libvirtd.conf needs
            its own double quotes.
          - V(shell) writes lines C(NAME="value"), quoted for shells and for systemd's C(EnvironmentFile=).
          - V(flags) writes lines C(name value) as in memcached.conf; V(true) writes the name alone, V(false) drops it.
          - V(yaml) writes a mapping. Each of its names is an option; a later layer replaces the whole value.
        type: str
        choices: [ini, systemd, properties, shell, flags, yaml]
        default: ini
      text: {description: The content of a file that is not made of options., type: str}
      source:
        description: File on the managed host whose content is copied, such as a packaged C(api-paste.ini).
        type: path
      target: {description: Target of a link; it need not exist., type: path}
      optional:
        description:
          - The file is not made, and one that an operator or a package wrote is left alone, until a layer has an option
            for it.
          - From then on the file stays, even when its last option is removed, because oslo.policy fails on a policy
            file that vanishes while a service runs.
        type: bool
        default: false
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode:
        description: Octal, in quotes, with a leading zero. By default V(0640) for a file, V(0755) for a directory.
        type: str
      validate:
        description:
          - Namespaces of C(oslo.config.opts) that declare the options of this file, such as V(nova.conf), or patterns
            of them, such as V(neutron.*). The message about an unknown option names the namespace that has it.
          - A namespace that is not installed is an error; in check mode the file is listed in RV(not_validated).
        type: list
        elements: str
        default: []
  validate_unchanged:
    description: Check the options of files that do not change as well; an upgrade needs it.
    type: bool
    default: false
  secrets:
    description: Texts that are masked in everything this module returns.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write the configuration of Placement
  config_files:
    files:
      - path: /etc/placement/placement.conf
        layers:
          - name: placement
            source: roles/placement/vars/main/component.yml
            options:
              DEFAULT: {debug: false}
              placement_database: {connection: "mysql+pymysql://placement:{{ placement_password }}@10.77.0.11/p"}
              keystone_authtoken: {auth_type: password, username: placement, password: "{{ placement_password }}"}
          - name: cloud (group all)
            source: group_vars/all/cloud.yml
            options:
              DEFAULT: {debug: true}
        group: placement
        validate: [placement.conf, keystonemiddleware.auth_token, oslo.log]
      - {path: /etc/systemd/system/placement-api.service.d, state: directory}
      - path: /etc/systemd/system/placement-api.service.d/limits.conf
        format: systemd
        layers:
          - {name: placement, source: roles/placement/vars/main/component.yml, options: {Service: {TimeoutStopSec: 65}}}
        mode: "0644"
    secrets: ["{{ placement_password }}"]
"""

RETURN = r"""
changed_paths:
  description: Paths whose content, owner, group or mode changed, or in check mode would change.
  returned: success
  type: list
  elements: str
  sample: [/etc/placement/placement.conf]
deprecated:
  description: Options of the checked files that the installed release accepts but deprecates, with the replacement.
  returned: success
  type: list
  elements: str
  sample: ["/etc/nova/nova.conf: [glance] api_servers will be removed: use the service catalog"]
validated:
  description: Files whose options were looked up in the catalog of the installed release.
  returned: success
  type: list
  elements: str
not_validated:
  description: Files that check mode could not check, because their packages are not installed yet.
  returned: success
  type: list
  elements: str
diff:
  description: The differences of each changed path, with secrets masked.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages.config_files import ARGUMENT_SPEC, run


class QuietModule(AnsibleModule):
    """Keep the arguments out of the target's journal: `files` may hold secrets that are not among `secrets`."""

    def _log_invocation(self) -> None:
        self.log(f"config_files: {', '.join(entry['path'] for entry in self.params['files'])}")


def main() -> None:
    """Run the module."""
    run(QuietModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
