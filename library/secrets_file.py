#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the secrets a cloud does not have yet, once."""

from __future__ import annotations

import json
import os
import re
import secrets
import string

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: secrets_file
short_description: Generate the secrets that are missing, never touch one that is there
description:
  - Appends a random value for every missing name, of letters and digits unless O(special) says more. When the file is
    encrypted with ansible-vault, the new ones go into a file beside it, so that nothing has to be decrypted.
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
    description: Number of characters of a new secret, at least 16.
    type: int
    default: 32
  special:
    description:
      - Characters that every new secret has besides letters and digits, each of them at least once; printable ASCII
        without spaces, no more than half of O(length).
    type: str
    default: ""
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
MIN_LENGTH = 16
HEADER = "---\n# Secrets of this cloud: keep them out of git; ansible-vault encrypt this file to store it safely.\n"


def names_in(text: str) -> set:
    """Top-level names of a YAML file of plain `name: value` lines."""
    return set(re.findall(r"^([A-Za-z_]\w*):", text, re.M))


def refusal(length: int, special: str) -> str:
    """Return what is wrong with the wanted form of secrets, or an empty text."""
    odd = sorted(set(special) - set(string.punctuation))
    if length < MIN_LENGTH:
        return f"length is {length}; a secret has at least {MIN_LENGTH} characters."
    if odd:
        return (
            f"special has {', '.join(map(repr, odd))}; give printable ASCII characters, no letters, digits or spaces."
        )
    if len(set(special)) > length // 2:
        return f"special has {len(set(special))} characters, more than half of length {length}; make secrets longer."
    return ""


def new_secret(length: int, special: str) -> str:
    """Return a random secret that has every special character, the other places filled from all characters."""
    must = sorted(set(special))
    generator = secrets.SystemRandom()
    rest = [generator.choice(ALPHABET) for _ in range(length // 2 - len(must))]
    rest += [generator.choice([*ALPHABET, *must]) for _ in range(length - len(must) - len(rest))]
    result = [*must, *rest]
    generator.shuffle(result)
    return "".join(result)


def line(name: str, value: str) -> str:
    """Return a secret as a line of YAML, quoted where it is not of letters and digits only."""
    return f"{name}: {value}\n" if value.isalnum() else f"{name}: {json.dumps(value)}\n"


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
            "special": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    wrong = refusal(module.params["length"], module.params["special"])
    if wrong:
        module.fail_json(msg=wrong)
    path = target(module.params["path"], read(module.params["path"]))
    text = read(path) or HEADER
    missing = [n for n in module.params["names"] if n not in names_in(text) | set(module.params["known"])]
    if missing and not module.check_mode:
        text += "".join(line(n, new_secret(module.params["length"], module.params["special"])) for n in missing)
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        temporary = f"{path}.new"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(text)
        if os.path.exists(path):  # it keeps its owner and mode, which atomic_move would widen for a new file
            module.atomic_move(temporary, path)
        else:
            os.replace(temporary, path)
    module.exit_json(changed=bool(missing), path=path, added=missing)


if __name__ == "__main__":
    main()
