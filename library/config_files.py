# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stages.config_files import ARGUMENT_SPEC, run

DOCUMENTATION = r"""
module: config_files
short_description: All configuration files of a host in one call
description:
  - Writes files, makes directories and links, and removes files, given as one list, in one call.
  - With O(files[].validate), each option of a changed file is looked up in the option catalogue of the installed
    OpenStack release before anything is written. Where one option of one file is wrong, no file is replaced.
  - All new contents are written next to their targets before the first file is replaced, each by a rename.
  - A symbolic link at the place of a file is replaced by the file; it is never written through.
author: nova-ansible contributors
attributes:
  check_mode: {support: full, description: "Owners, groups and folders that do not exist yet are predicted."}
  diff_mode: {support: full, description: "Only options or lines that differ; secrets are masked on both sides."}
options:
  files:
    description: What is wanted, written in the order given.
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
          - Options in layers, each a dict of C(name), C(source) (where an operator finds it) and C(options).
          - C(options) are sections of options; in the formats without sections they are options. A later layer wins,
            V(null) removes an option, a list repeats it, booleans become V(true) and V(false).
        type: list
        elements: dict
      format:
        description:
          - V(ini) is read by oslo.config; sections and options are sorted, V(DEFAULT) first. All other formats keep
            the order of the layers. A section without options is dropped.
          - V(systemd) are units and their drop-ins. V([Unit]) stands first, V([Install]) last; an empty text at the
            head of a list resets what the unit had.
          - V(properties) are lines C(name = value). A value is written as it is given, so that a text for libvirtd.conf
            holds its double quotes.
          - V(shell) are lines C(NAME="value"), quoted for shells and for systemd's C(EnvironmentFile=).
          - V(flags) are lines C(name value) as in memcached.conf; V(true) writes the name alone, V(false) drops it.
          - V(yaml) is a mapping. Each of its names is an option; a later layer replaces the whole value.
        type: str
        choices: [ini, systemd, properties, shell, flags, yaml]
        default: ini
      text: {description: The whole content of a file that is not made of options., type: str}
      source:
        description: File on the managed host whose content is taken over, such as a packaged C(api-paste.ini).
        type: path
      target: {description: Where a link leads; it need not exist., type: path}
      optional:
        description:
          - The file is not made, and one that an operator or a package wrote is left alone, until a layer has an option
            for it.
          - From then on it stays, without options where they went away. oslo.policy fails on a policy that vanishes
            while a service runs.
        type: bool
        default: false
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode:
        description: Octal, in quotes, with a leading zero. By default V(0640) for a file, V(0755) for a directory.
        type: str
      validate:
        description:
          - Namespaces of C(oslo.config.opts) which declare the options of this file, such as V(nova.conf), or patterns
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
  description: Accepted options of the checked files which the installed release calls deprecated, with what to use.
  returned: success
  type: list
  elements: str
  sample: ["/etc/nova/nova.conf: [glance] api_servers will be removed: use the catalogue"]
validated:
  description: Files whose options were looked up in the installed release's catalogue.
  returned: success
  type: list
  elements: str
not_validated:
  description: Files that a run would check, but that check mode could not, as their packages are not installed yet.
  returned: success
  type: list
  elements: str
diff:
  description: Per changed path what differs, with secrets masked.
  returned: success
  type: list
  elements: dict
"""


class QuietModule(AnsibleModule):
    """Keeps its arguments out of the target's journal: `files` may hold secrets that nobody named among `secrets`."""

    def _log_invocation(self):
        self.log(f"config_files: {', '.join(entry['path'] for entry in self.params['files'])}")


def main():
    run(QuietModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
