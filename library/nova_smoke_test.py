# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openstack.cloud_api import CloudError
from ansible.module_utils.smoke.smoke_test import Flow
from ansible.module_utils.smoke.steps import StepFailed, message

DOCUMENTATION = r"""
module: nova_smoke_test
short_description: Prove a Nova cloud with a living guest, step by step
description:
  - Boots the guest of M(guest_image) and proves what a cloud is for - the server becomes ACTIVE on its host, its banner
    is in the console log, its lease is the address that Neutron gave, its metadata are Nova's, it answers ping and TCP
    from the provider network while its security group keeps another port closed, and its screen comes through the
    console proxy (WebSocket, RFB 3.8).
  - Makes the images, flavor, network and security group that the guest needs, with O(name) as name and a mark, and
    removes everything it made, also when a step fails or the run is interrupted. What a killed run left is removed by
    the next one.
  - Python's standard library is enough on the host. In check mode it logs in, reads services and agents, and predicts.
options:
  name:
    description: Name of everything that is made; flows of different names do not touch each other.
    type: str
    default: nova-verify
  auth:
    description: An account that may do everything (it makes a flavor and a provider network, and chooses hosts).
    type: dict
    required: true
    suboptions:
      auth_url: {description: Address of Keystone., type: str, required: true}
      username: {description: Name of the user., type: str, required: true}
      password: {description: Password of the user., type: str, required: true}
      project_name: {description: Project that the guest belongs to., type: str, required: true}
      user_domain_name: {description: Domain of the user., type: str, default: Default}
      project_domain_name: {description: Domain of the project., type: str, default: Default}
  region: {description: Region whose services are used., type: str, default: RegionOne}
  interface: {description: Which endpoints are used., type: str, choices: [public, internal, admin], default: public}
  ca_file: {description: Certificates that the services' certificates are checked with., type: path}
  validate_certs: {description: Whether certificates are checked., type: bool, default: true}
  guest: {description: Folder that M(guest_image) wrote., type: path, required: true}
  flavor:
    description: Size of the guest. Its memory is the image's own need when not given.
    type: dict
    default: {}
    suboptions:
      ram: {description: Memory in MB., type: int}
      vcpus: {description: Virtual processors., type: int, default: 1}
      disk: {description: Disk in GB., type: int, default: 1}
  network:
    description:
      - The provider network of the guest. One of that name, or one on that physical network, is used as it is;
        otherwise a flat one is made.
    type: dict
    required: true
    suboptions:
      name: {description: Name of the network; O(name) when not given., type: str}
      physical_network: {description: Neutron's name of the physical network., type: str}
      cidr: {description: Addresses of the subnet., type: str}
      gateway: {description: Address of the gateway; none when not given., type: str}
      allocation_pool: {description: The addresses for guests as V(start) and V(end)., type: dict}
      shared: {description: Whether other projects may use the network that is made., type: bool, default: false}
  hosts:
    description: Boot one guest on each of these hosts, side by side. Without them the scheduler places one guest.
    type: list
    elements: str
    default: []
  probe_command:
    description:
      - What enters a place on the provider network from which the guest is pinged, such as C(ip netns exec NAME); a
        Python program is given to C(python3 -) there. An empty list means that this host itself reaches the network.
      - Without it the namespace C(qdhcp-NETWORK) or C(ovnmeta-NETWORK) of this host is used.
    type: list
    elements: str
  console_address:
    description:
      - Where to connect for the console (V(HOST:PORT)) when the console URL's own address is one that only browsers
        reach. The request still names the URL's host.
    type: str
  keep:
    description: Leave the guest living. A later run proves it again, and replaces it only when it is not healthy.
    type: bool
    default: false
  keep_failed:
    description: Leave everything as it is when a step fails, for a look. The next run replaces it.
    type: bool
    default: false
  timeout: {description: Longest wait of one step in seconds., type: int, default: 300}
author: nova-ansible
"""

EXAMPLES = r"""
- name: Prove the cloud and leave nothing behind
  nova_smoke_test:
    auth: "{{ verify_auth }}"
    guest: /var/lib/nova-ansible/guest
    network:
      physical_network: provider
      cidr: 203.0.113.0/24
      gateway: 203.0.113.1
      allocation_pool: {start: 203.0.113.100, end: 203.0.113.200}

- name: Prove two computes side by side
  nova_smoke_test:
    auth: "{{ verify_auth }}"
    guest: /var/lib/nova-ansible/guest
    network: {name: public}
    hosts: [compute1, compute2]
    probe_command: [ip, netns, exec, outside]
"""

RETURN = r"""
changed: {description: "Whether something is there, or gone, that was not before.", type: bool, returned: always}
steps:
  description: The proofs in their order with their time and what was seen.
  type: list
  elements: dict
  returned: always
  sample: [{name: lease, seconds: 3.1, detail: "10.0.0.7", ok: true}]
summary:
  description: The services, the steps and the guests that stay, as lines to read. A failure has them in its message.
  type: list
  elements: str
  returned: success
services: {description: Nova's services as its API lists them., type: list, elements: dict, returned: success}
agents: {description: Neutron's agents as its API lists them., type: list, elements: dict, returned: success}
servers:
  description: Each guest - id, name, status, host, address, first lines of its console, URL of its screen.
  type: list
  elements: dict
  returned: success
server: {description: The first of RV(servers)., type: dict, returned: success}
made: {description: What this run made., type: list, elements: str, returned: always}
removed: {description: What this run removed., type: list, elements: str, returned: always}
"""

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


class Interrupted(Exception):
    """The run was asked to end."""


def interrupt(number, _frame):
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def exclusive(module):
    """Only one run of a name at a time on a host; the lock ends with the process."""
    name, folder = module.params["name"], "/run/lock" if os.path.isdir("/run/lock") else tempfile.gettempdir()
    lock = open(os.path.join(folder, f"nova_smoke_test-{name}.lock"), "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        module.fail_json(
            msg=f"Another run of the flow '{name}' is at work on this host; wait for it, or give another name."
        )
    return lock


def read_image(module):
    """What guest_image wrote; None in check mode, when it is not there yet."""
    try:
        with open(os.path.join(module.params["guest"], "guest.json"), encoding="utf-8") as stamp:
            return json.load(stamp)
    except (OSError, ValueError) as error:
        if not module.check_mode:
            module.fail_json(msg=f"{module.params['guest']} holds no guest ({error}); let guest_image build it first.")
        return None


def check(module, flow):
    """Read and predict. A cloud that is not there yet is no failure here; one that is ill is."""
    try:
        flow.observe()
        predicted = flow.predict()
    except (StepFailed, CloudError) as error:
        if isinstance(error, StepFailed) or error.code:
            module.fail_json(msg=message(flow.steps.failed(), error), **flow.result(brief=True))
        predicted = [f"a guest would be made, once the cloud answers ({error})"] if module.params["keep"] else []
    module.exit_json(
        changed=bool(predicted), diff={"before": "", "after": "\n".join([*predicted, ""])}, **flow.result()
    )


def prove(flow):
    """Run the flow, then remove what must not stay; (why it failed or None, what could not be removed)."""
    failure = None
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        flow.run()
    except (StepFailed, CloudError, Interrupted, OSError) as error:
        failure = error
    for number in SIGNALS:  # the removal has its own limits
        signal.signal(number, signal.SIG_IGN)
    failed = flow.steps.failed()
    keep = flow.asked["keep_failed"] or not flow.made if failure else flow.asked["keep"]
    problems = flow.remove() if flow.touching and not keep else []
    flow.stays = keep
    return message(failed, failure) if failure else None, problems


def main():
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    name = module.params["name"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
        module.fail_json(msg=f"name is '{name}'; use at most 41 small letters, digits and hyphens.")
    flow = Flow(module.params, read_image(module))
    if module.check_mode:
        check(module, flow)
    lock = exclusive(module)
    failure, problems = prove(flow)
    lock.close()
    if failure or problems:
        text = [failure or "The cloud is proved.", *(f"  Not removed: {problem}" for problem in problems)]
        module.fail_json(msg="\n".join([*text, "", *flow.summary()]), **flow.result(brief=True))
    kept = module.params["keep"]
    before, after = (flow.removed, flow.made) if kept else (flow.leftovers, [])
    module.exit_json(
        changed=bool(before or after),
        diff={"before": "".join(f"{line}\n" for line in before), "after": "".join(f"{line}\n" for line in after)},
        **flow.result(),
    )


if __name__ == "__main__":
    main()
