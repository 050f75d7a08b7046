#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_file
short_description: Generate missing secrets
description:
  - Appends a random value of letters, digits and the characters of O(special) for every missing name; a secret that is
    there is never changed.
  - When the file is encrypted with ansible-vault, new secrets go into a numbered file next to it, so that nothing has
    to be decrypted.
options:
  path:
    description: The file, YAML; created with mode 0600.
    type: path
    required: true
  names:
    description: Names of the secrets that the cloud needs.
    type: list
    elements: str
    required: true
  known:
    description: Names that the inventory already defines, in whatever file.
    type: list
    elements: str
    default: []
  length:
    description: Number of characters of a new secret, at least 16.
    type: int
    default: 32
  special:
    description:
      - Characters that every new secret has in addition to letters and digits, each of them at least once; printable
        ASCII without spaces, no more than half of O(length).
    type: str
    default: ""
attributes:
  check_mode: {support: full, description: Returns the names that a run would add.}
  diff_mode: {support: none, description: Secrets are never shown.}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Write the missing secrets
  secrets_file:
    path: inventory/mine/group_vars/all/secrets.yml
    names: [nova_service_password]
"""

RETURN = r"""
path:
  description: The file that the new secrets were written to.
  returned: success
  type: str
added:
  description: Names of the new secrets; their values are never returned.
  returned: success
  type: list
  elements: str
"""

import json
import os
import re
import secrets
import string

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import atomic_file
from ansible.module_utils.message import Message

ALPHABET = string.ascii_letters + string.digits
MIN_LENGTH = 16
VAULT = "$ANSIBLE_VAULT"
HEADER = "---\n# Secrets of this cloud: keep them out of git; ansible-vault encrypt this file to store it safely.\n"


def names_in(text: str) -> set[str]:
    """Return the top-level names of a YAML file with lines of `name: value`."""
    return set(re.findall(r"^([A-Za-z_]\w*):", text, re.M))


def problem(length: int, special: str) -> Message | None:
    """Return why secrets of this form cannot be generated, or None."""
    odd = sorted(set(special) - set(string.punctuation))
    if length < MIN_LENGTH:
        return Message(f"length is {length}; a secret has at least {MIN_LENGTH} characters.")
    if odd:
        return Message(
            f"special has {', '.join(map(repr, odd))}; give printable ASCII characters, no letters, digits or spaces."
        )
    if len(set(special)) > length // 2:
        return Message(
            f"special has {len(set(special))} characters, more than half of length {length}; make secrets longer."
        )
    return None


def new_secret(length: int, special: str) -> str:
    """Return a random secret that has every special character, and at least as many letters and digits."""
    required = sorted(set(special))
    generator = secrets.SystemRandom()
    rest = [generator.choice(ALPHABET) for _ in range(length // 2 - len(required))]
    rest += [generator.choice([*ALPHABET, *required]) for _ in range(length - len(required) - len(rest))]
    result = [*required, *rest]
    generator.shuffle(result)
    return "".join(result)


def line(name: str, value: str) -> str:
    """Return a secret as a line of YAML, quoted unless it has only letters and digits."""
    return f"{name}: {value}\n" if value.isalnum() else f"{name}: {json.dumps(value)}\n"


def target(path: str, text: str) -> str:
    """Return the path to write to: the given one, or a numbered one next to it when that file is encrypted."""
    if not text.startswith(VAULT):
        return path
    stem, extension = os.path.splitext(path)
    number = 2
    while read(f"{stem}_{number}{extension}").startswith(VAULT):
        number += 1
    return f"{stem}_{number}{extension}"


def read(path: str) -> str:
    """Return the content of a file, an empty text when there is none."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def write(path: str, text: str) -> None:
    """Write a file for its owner only; a file that exists keeps its owner and mode."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    if os.path.exists(path):
        found = os.stat(path)
        atomic_file.write(path, text, mode=found.st_mode & 0o7777, uid=found.st_uid, gid=found.st_gid)
    else:
        atomic_file.write(path, text, mode=0o600)


def main() -> None:
    """Add the secrets that are missing."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "known": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "length": {"type": "int", "default": 32},
            "special": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    wrong = problem(params["length"], params["special"])
    if wrong:
        module.fail_json(msg=wrong)
    path = target(params["path"], read(params["path"]))
    text = read(path) or HEADER
    missing = [name for name in params["names"] if name not in names_in(text) | set(params["known"])]
    if missing and not module.check_mode:
        write(path, text + "".join(line(name, new_secret(params["length"], params["special"])) for name in missing))
    module.exit_json(changed=bool(missing), path=path, added=missing)


if __name__ == "__main__":
    main()
