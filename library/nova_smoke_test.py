#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: nova_smoke_test
short_description: Verify a Nova cloud with a running test instance, step by step
description:
  - Boots the image of M(guest_image) and verifies what a cloud is for - the instance becomes ACTIVE on its host, its
    banner is in the console log, its lease is the address that Neutron assigned, its metadata are Nova's, it answers
    ping and TCP from the provider network while its security group keeps another port closed, and its screen is shown
    by the console proxy (WebSocket, RFB 3.8).
  - Makes the images, flavor, network and security group that the instance needs, with O(name) as their name and a
    mark, and removes everything it made, also when a step fails or the run is interrupted. What a killed run left is
    removed by the next one.
  - The host needs only Python's standard library. In check mode, the module logs in, reads services and agents, and
    predicts.
options:
  name:
    description: Name of everything that is made. Smoke tests of different names do not affect each other.
    type: str
    default: nova-verify
  auth:
    description: >-
      An account with administrator rights; the module makes a flavor and a provider network, and chooses hosts.
    type: dict
    required: true
    suboptions:
      auth_url: {description: URL of Keystone., type: str, required: true}
      username: {description: Name of the user., type: str, required: true}
      password: {description: Password of the user., type: str, required: true}
      project_name: {description: Project of the instance., type: str, required: true}
      user_domain_name: {description: Domain of the user., type: str, default: Default}
      project_domain_name: {description: Domain of the project., type: str, default: Default}
  region: {description: Region of the services., type: str, default: RegionOne}
  interface:
    description: Interface of the endpoints.
    type: str
    choices: [public, internal, admin]
    default: public
  ca_file: {description: File of the certificates that sign those of the services., type: path}
  validate_certs: {description: Whether to check the certificates of the services., type: bool, default: true}
  guest: {description: Directory that M(guest_image) wrote., type: path, required: true}
  flavor:
    description: Size of the instance. The default of its memory is what the image needs.
    type: dict
    default: {}
    suboptions:
      ram: {description: Memory in MB., type: int}
      vcpus: {description: Virtual processors., type: int, default: 1}
      disk: {description: Disk in GB., type: int, default: 1}
  network:
    description:
      - The provider network of the instance. A network of that name, or the flat one on that physical network, is used
        as it is; otherwise a flat one is made.
    type: dict
    required: true
    suboptions:
      name: {description: Name of the network; by default O(name)., type: str}
      physical_network: {description: Neutron's name of the physical network., type: str}
      cidr: {description: Addresses of the subnet., type: str}
      gateway: {description: Address of the gateway; by default there is none., type: str}
      allocation_pool: {description: The addresses for instances as V(start) and V(end)., type: dict}
      shared: {description: Whether other projects may use a network that is made., type: bool, default: false}
  hosts:
    description: >-
      Boot one instance on each of these hosts, in parallel. Without hosts, the scheduler places one instance.
    type: list
    elements: str
    default: []
  probe_command:
    description:
      - A command that enters a place on the provider network from which the instance is pinged, such as
        C(ip netns exec NAME). A Python program is sent to C(python3 -) there. An empty list means that this host itself
        reaches the network.
      - Without it, the namespace C(qdhcp-NETWORK) or C(ovnmeta-NETWORK) of this host is used.
    type: list
    elements: str
  console_address:
    description:
      - Where to connect for the console, as V(HOST:PORT), when the address in its URL is reachable for browsers only.
        The request still names the host of the URL.
    type: str
  keep:
    description: >-
      Leave the instance running. A later run verifies it again, and replaces it only when it does not work.
    type: bool
    default: false
  keep_failed:
    description: Leave everything as it is when a step fails, for a look. The next run replaces it.
    type: bool
    default: false
  timeout: {description: Longest wait of a step in seconds., type: int, default: 300}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Verify the cloud and leave nothing behind
  nova_smoke_test:
    auth: "{{ verify_auth }}"
    guest: /var/lib/nova-ansible/guest
    network:
      physical_network: provider
      cidr: 203.0.113.0/24
      gateway: 203.0.113.1
      allocation_pool: {start: 203.0.113.100, end: 203.0.113.200}

- name: Verify two computes in parallel
  nova_smoke_test:
    auth: "{{ verify_auth }}"
    guest: /var/lib/nova-ansible/guest
    network: {name: public}
    hosts: [compute1, compute2]
    probe_command: [ip, netns, exec, outside]
"""

RETURN = r"""
changed: {description: Whether something exists that did not before, or the reverse., type: bool, returned: always}
steps:
  description: The steps in their order, their durations in seconds, and what was seen.
  type: list
  elements: dict
  returned: always
  sample: [{name: lease, seconds: 3.1, detail: "10.0.0.7", ok: true}]
summary:
  description: The services, the steps and the instances that stay, as lines to read. The message of a failure has them.
  type: list
  elements: str
  returned: success
services: {description: Nova's services as its API lists them., type: list, elements: dict, returned: success}
agents: {description: Neutron's agents as its API lists them., type: list, elements: dict, returned: success}
servers:
  description: Each instance - id, name, status, host, address, first lines of its console log, URL of its screen.
  type: list
  elements: dict
  returned: success
server: {description: The first of RV(servers)., type: dict, returned: success}
made: {description: What this run made., type: list, elements: str, returned: always}
removed: {description: What this run removed., type: list, elements: str, returned: always}
"""

import os
import re
import signal
import tempfile
from types import FrameType
from typing import NoReturn, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.guest import image
from ansible.module_utils.host import lock
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.smoke.smoke_test import Options, SmokeTest
from ansible.module_utils.smoke.steps import StepFailed, failure_message

AUTH = {
    **{key: {"type": "str", "required": True} for key in ("auth_url", "username", "project_name")},
    "password": {"type": "str", "required": True, "no_log": True},
    "user_domain_name": {"type": "str", "default": "Default"},
    "project_domain_name": {"type": "str", "default": "Default"},
}
SPEC = {
    "name": {"type": "str", "default": "nova-verify"},
    "auth": {"type": "dict", "required": True, "options": AUTH},
    "region": {"type": "str", "default": "RegionOne"},
    "interface": {"type": "str", "choices": ["public", "internal", "admin"], "default": "public"},
    "ca_file": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "guest": {"type": "path", "required": True},
    "flavor": {
        "type": "dict",
        "default": {},
        "options": {
            "ram": {"type": "int"},
            "vcpus": {"type": "int", "default": 1},
            "disk": {"type": "int", "default": 1},
        },
    },
    "network": {
        "type": "dict",
        "required": True,
        "options": {
            **{key: {"type": "str"} for key in ("name", "physical_network", "cidr", "gateway")},
            "allocation_pool": {"type": "dict"},
            "shared": {"type": "bool", "default": False},
        },
    },
    "hosts": {"type": "list", "elements": "str", "default": []},
    "probe_command": {"type": "list", "elements": "str"},
    "console_address": {"type": "str"},
    "keep": {"type": "bool", "default": False},
    "keep_failed": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 300},
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(OperatorError):
    """A signal ends the run."""


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Raise Interrupted; a handler of signals."""
    raise Interrupted(Message(f"interrupted by {signal.Signals(number).name}"))


def lock_path(name: str) -> str:
    """Return the path of the lock that allows one run of a name at a time on this host."""
    directory = "/run/lock" if os.path.isdir("/run/lock") else tempfile.gettempdir()
    return os.path.join(directory, f"nova_smoke_test-{name}.lock")


def read_image(module: AnsibleModule) -> image.Image | None:
    """Return the image that guest_image wrote, or None in check mode when it is not there yet."""
    directory = module.params["guest"]
    try:
        return image.read_stamp(directory)
    except (OSError, ValueError) as error:
        if not module.check_mode:
            module.fail_json(msg=Message(f"{directory} has no test image ({error}); build it with guest_image first"))
        return None


def check(module: AnsibleModule, test: SmokeTest) -> NoReturn:
    """Read and predict; a cloud that does not exist yet is no failure, a cloud that does not work is one."""
    try:
        test.observe()
        predicted = test.predict()
    except (StepFailed, HttpError) as error:
        if isinstance(error, StepFailed) or error.code:
            module.fail_json(msg=failure_message(test.steps.failed(), error), **test.result(brief=True))
        predicted = [f"an instance would be made, once the cloud answers ({error})"] if module.params["keep"] else []
    after = "".join(f"{line}\n" for line in predicted)
    module.exit_json(changed=bool(predicted), diff={"before": "", "after": after}, **test.result())


def verify(test: SmokeTest, built: image.Image) -> tuple[Message | None, list[Message]]:
    """Run the smoke test, then remove what must not stay.

    Return the failure or None, and the problems of what could not be removed.
    """
    failure: Exception | None = None
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        test.run(built)
    except (OperatorError, OSError) as error:
        failure = error
    for number in SIGNALS:  # the removal has its own limits
        signal.signal(number, signal.SIG_IGN)
    failed = test.steps.failed()
    test.stays = test.options["keep_failed"] or not test.made if failure else test.options["keep"]
    problems = test.remove() if test.changing and not test.stays else []
    return failure_message(failed, failure) if failure else None, problems


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    name = module.params["name"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
        module.fail_json(msg=Message(f"name is '{name}'; use at most 41 lowercase letters, digits and hyphens"))
    built = read_image(module)
    test = SmokeTest(cast(Options, module.params))
    if module.check_mode or not built:
        check(module, test)
    try:
        with lock.locked(lock_path(name)):
            failure, problems = verify(test, built)
    except lock.Busy:
        module.fail_json(
            msg=Message(
                f"another run of the smoke test '{name}' is active on this host; wait for it, or use another name"
            )
        )
    if failure or problems:
        first = failure or Message("All checks passed, but something cannot be removed.")
        text = [first, *(f"  {problem}" for problem in problems), "", *test.summary()]
        module.fail_json(msg=Message("\n".join(text)), **test.result(brief=True))
    before, after = (test.removed, test.made) if module.params["keep"] else (test.leftovers, [])
    diff = {"before": "".join(f"{line}\n" for line in before), "after": "".join(f"{line}\n" for line in after)}
    module.exit_json(changed=bool(before or after), diff=diff, **test.result())


if __name__ == "__main__":
    main()
