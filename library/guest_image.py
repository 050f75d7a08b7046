#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: guest_image
short_description: Build a small test image from Debian packages
description:
  - Builds a kernel, an initramfs and a disk of a few MB that boot under Nova in a few seconds, also without KVM.
  - The guest writes a report (lines that begin with C(GUEST-)) to its console - its lease, its metadata, its disk -
    and answers on TCP ports 22 and 2222. It has no account, no password and no key; nobody can log in.
  - The packages (a kernel and the static busybox) are downloaded with apt or taken from a directory; they are read,
    not installed.
  - The same packages give the same bytes. An image that is already present is kept; see O(refresh).
options:
  path:
    description: Directory of the image; it is created if missing.
    type: path
    required: true
  packages:
    description:
      - Directory with the two C(.deb) files (C(linux-image-VERSION) and C(busybox-static)), for a host without a
        package mirror.
      - Without it, they are downloaded from the apt sources of the host.
    type: path
  architecture:
    description: Architecture of the guest, as C(uname -m) prints it. By default that of the host.
    type: str
    choices: [x86_64, aarch64, ppc64le, riscv64, s390x]
  kernel_package:
    description:
      - Package that depends on the newest kernel (such as C(linux-image-cloud-amd64)), or a kernel package itself.
      - The default is Debian's cloud kernel, for architectures that have one.
    type: str
  name:
    description: Name of the guest in its banner.
    type: str
    default: nova-guest
  refresh:
    description: Build again when apt offers a newer kernel or busybox than the image was built from.
    type: bool
    default: false
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Build the test image
  guest_image:
    path: /var/lib/nova-ansible/guest

- name: Build the test image on a host without a package mirror
  guest_image:
    path: /var/lib/nova-ansible/guest
    packages: /srv/packages/guest
"""

RETURN = r"""
changed: {description: Whether the image was built., type: bool, returned: always}
reason: {description: Why the image was built; V(current) when it was kept., type: str, returned: success}
path: {description: Directory of the image., type: str, returned: success}
image:
  description:
    - Contents of C(guest.json) in the directory - recipe (with kernel command line and smallest memory in MB), packages
      and their versions, kernel release, modules, and name, size in bytes and SHA-256 of each file.
  type: dict
  returned: when there is one
seconds: {description: Duration of the build in seconds., type: float, returned: when built}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.guest import guest_files, image
from ansible.module_utils.message import Message, OperatorError

SPEC = {
    "path": {"type": "path", "required": True},
    "packages": {"type": "path"},
    "architecture": {"type": "str", "choices": list(guest_files.ARCHITECTURES)},
    "kernel_package": {"type": "str"},
    "name": {"type": "str", "default": "nova-guest"},
    "refresh": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        result = image.ensure(image.request_of(module.params), module.check_mode)
    except (OperatorError, OSError, ValueError) as error:
        module.fail_json(msg=Message(f"The test image cannot be built: {error}"))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
