#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the secrets a cloud does not have yet, once."""

from __future__ import annotations

import os
import re
import secrets
import string

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: secrets_file
short_description: Generate the secrets that are missing, never touch one that is there
description:
  - Appends a random alphanumeric value for every missing name. When the file is encrypted with ansible-vault, the new
    ones go into a file beside it, so that nothing has to be decrypted.
options:
  path:
    description: The file, YAML; created with mode 0600.
    type: path
    required: true
  names:
    description: Names of the secrets a cloud needs.
    type: list
    elements: str
    required: true
  known:
    description: Names that the inventory already defines, wherever.
    type: list
    elements: str
    default: []
  length:
    description: Characters of a new secret, letters and digits.
    type: int
    default: 32
author: [nova-ansible]
"""

EXAMPLES = """
- name: Write the missing secrets
  secrets_file:
    path: inventory/mine/group_vars/all/secrets.yml
    names: [nova_service_password]
"""

RETURN = """
path:
  description: The file the new secrets were written to.
  returned: always
  type: str
added:
  description: Names of the new secrets; their values are never returned.
  returned: always
  type: list
  elements: str
"""

ALPHABET = string.ascii_letters + string.digits
HEADER = "---\n# Secrets of this cloud: keep them out of git; ansible-vault encrypt this file to store it safely.\n"


def names_in(text: str) -> set:
    """Top-level names of a YAML file of plain `name: value` lines."""
    return set(re.findall(r"^([A-Za-z_]\w*):", text, re.M))


def target(path: str, text: str) -> str:
    """The file to write to: the given one, or a neighbour when that one is encrypted."""
    if not text.startswith("$ANSIBLE_VAULT"):
        return path
    stem, extension = os.path.splitext(path)
    number = 2
    while os.path.exists(f"{stem}_{number}{extension}"):
        with open(f"{stem}_{number}{extension}", encoding="utf-8") as stream:
            if not stream.read(14).startswith("$ANSIBLE_VAULT"):
                break
        number += 1
    return f"{stem}_{number}{extension}"


def read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "known": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "length": {"type": "int", "default": 32},
        },
        supports_check_mode=True,
    )
    path = target(module.params["path"], read(module.params["path"]))
    text = read(path) or HEADER
    missing = [n for n in module.params["names"] if n not in names_in(text) | set(module.params["known"])]
    if missing and not module.check_mode:
        text += "".join(
            f"{n}: {''.join(secrets.choice(ALPHABET) for _ in range(module.params['length']))}\n" for n in missing
        )
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        temporary = f"{path}.new"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(text)
        module.atomic_move(temporary, path)
    module.exit_json(changed=bool(missing), path=path, added=missing)


if __name__ == "__main__":
    main()
