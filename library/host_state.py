#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: host_state
short_description: Carry out or predict the plan of a host in one call
description:
  - Carries out the stages of a plan in their order, each with the code of the module of that stage, or predicts them
    with the same code.
  - With O(look), the host is read, every stage is predicted, and nothing is changed. A stage that cannot be predicted
    before an earlier one is done is pending, with a note. Problems of the host or its plan are listed in
    RV(problems); they are not a failure.
  - Without it, the stages are carried out. The first that fails ends the call, with its message and the results of the
    stages before it.
  - "Values that only the host knows are decided from its facts, anywhere in the plan. They have the form
    C({from_host: cpus, divide_by: 2, min: 1, max: 8})."
  - The action of this name runs on the control node. It sends a host only the data that the requested stages need, and
    sends nothing where they have nothing to do. It has more options. C(secret_paths) are the places of secrets among
    the variables, by default those of C(cloud). C(option_list), C(option_release) and C(extra_options) are the
    options of the release, with which a look compares the operator's options for packages that are not installed yet.
  - "The stages are: packages, files, base_units, databases, messaging_users, prepare, schema, identity_units,
    identity_endpoints, identity, api_units, api_endpoints, queues, agent_units, finish, cells."
options:
  plan:
    description:
      - The plan of the host. A stage with an empty key is left out. Each key has the form of the module of its stage.
      - C(packages) and C(debconf) are for M(apt_transaction), C(files) for M(config_files); C(base_units),
        C(identity_units), C(api_units), C(stopped_units) and C(agent_units) for M(systemd_units); C(databases) for
        M(service_databases); C(messaging_users) for M(rabbitmq_users); C(schema) for M(db_bootstrap);
        C(identity_endpoints) and C(api_endpoints) for M(http_ready); C(identity), with C(users) and C(services), for
        M(openstack_identity); C(queues) for M(queue_consumers); C(cells), with C(api_database_url) and
        C(cell_database_url), for M(nova_compute_hosts).
      - C(prepare) and C(finish) are lists of steps, each with C(name), C(module) (any of these modules, or
        M(ovs_host)) and C(args).
      - C(host) is the name of the host in the inventory, for messages.
    type: dict
    required: true
  stages: {description: Names of the stages to carry out; all when empty., type: list, elements: str, default: []}
  look: {description: Read the host and predict every stage., type: bool, default: false}
  host:
    description: Requirements on the host in a look, the options of M(host_check). The action adds C(now), C(packages)
      and C(ports) from the plan. Nothing is checked where this is empty.
    type: dict
    default: {}
  kvm:
    description: Policy for KVM, the options of M(kvm_verify), and C(repair), whether a run repairs what it can.
      Without it the host runs no instances.
    type: dict
  facts:
    description: RV(facts) of an earlier look, so that the host is not read again.
    type: dict
  auth: {description: "Login of an administrator at Keystone, in the form of M(openstack_identity).", type: dict}
  region: {description: Region of the endpoints., type: str, default: RegionOne}
  database_admin:
    description: Login of an external database server, with C(address), C(port), C(admin_user), C(admin_password).
      Without it, the server on this host is used.
    type: dict
    default: {}
  messaging_host: {description: Address where RabbitMQ listens on this host., type: str, default: localhost}
  computes: {description: Computes to map into their cell., type: list, elements: str, default: []}
  changed_paths:
    description: Paths that earlier calls of this run changed.
    type: list
    elements: str
    default: []
  secrets:
    description: Texts that are masked in all results.
    type: list
    elements: str
    default: []
attributes:
  check_mode: {support: full, description: "Predicts the stages, as O(look) does outside check mode too."}
  diff_mode: {support: full, description: "An entry for each changed file and stage; its header names the stage."}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Look at the host
  host_state:
    plan: "{{ plan }}"
    look: true
    host: {address: 192.0.2.11, suite: trixie, min_memory_mb: 4096}
  register: host_state

- name: Install and configure the services that OpenStack depends on
  host_state:
    plan: "{{ plan }}"
    stages: [packages, files, base_units]
    facts: "{{ host_state.facts }}"
  when: host_state.pending
"""

RETURN = r"""
changed:
  description: Whether a stage changed something, in check mode whether one would. A look outside check mode changes
    nothing.
  returned: always
  type: bool
pending:
  description: Whether there is something to do or to wait for; false after an acting call.
  returned: always
  type: bool
stages:
  description: For each stage in the plan C(changed), C(seconds), the results of its module, and C(note) where it
    could not be predicted or is not ready yet.
  returned: always
  type: dict
  sample: {files: {changed: true, changed_paths: [/etc/nova/nova.conf], seconds: 0.1}, api_units: {changed: false}}
acted: {description: Names of the stages that were carried out., returned: always, type: list, elements: str}
changed_paths:
  description: Paths that packages and files changed in this call, in a look those that they would change.
  returned: always
  type: list
  elements: str
problems:
  description: Problems of the host or its plan, each a sentence.
  returned: always
  type: list
  elements: str
facts:
  description: Facts that values of the plan are decided from, to be passed on as O(facts).
  returned: always
  type: dict
kvm: {description: Result of M(kvm_verify); null without O(kvm)., returned: always, type: dict}
versions: {description: Versions of the packages in C(versions) of O(host)., returned: always, type: dict}
diff: {description: The differences., returned: in diff mode, type: list, elements: dict}
failed_stage: {description: The stage that failed., returned: failure, type: str}
"""

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.config.masking import forms
from ansible.module_utils.message import Message
from ansible.module_utils.plan.host_state import Host, read_host, read_kvm
from ansible.module_utils.plan.stage_table import Context, StageError, select_stages


class QuietModule(AnsibleModule):
    """Keep the arguments, and with them the secrets of the plan, out of the journal and the results."""

    def _log_invocation(self) -> None:
        self.log(f"host_state: {shown(self.params)}")

    def exit_json(self, **kwargs: Any) -> NoReturn:
        """Return a result with arguments that have no secret in them."""
        super().exit_json(**{"invocation": {"module_args": shown(self.params)}, **kwargs})

    def fail_json(self, msg: Message, **kwargs: Any) -> NoReturn:
        """Fail with arguments that have no secret in them."""
        super().fail_json(msg, **{"invocation": {"module_args": shown(self.params)}, **kwargs})


def shown(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without their contents."""
    plan = params.get("plan")
    keys = sorted(key for key, content in plan.items() if content) if isinstance(plan, dict) else []
    return {"plan": keys, "stages": params.get("stages"), "look": params.get("look")}


def is_checked(host: Mapping[str, Any]) -> bool:
    """Return whether there are requirements on the host, and not only packages whose versions are wanted."""
    return bool(set(host) - {"versions"})


def read(module: AnsibleModule) -> dict[str, Any]:
    """Return facts, problems, versions and the evaluation of KVM; nothing is read where facts are given."""
    params = module.params
    name = params["plan"].get("host") or "this host"
    if params["facts"] is not None and not params["look"]:
        return {"facts": params["facts"], "problems": [], "versions": {}, "kvm": None, "pending": False}
    known = read_host(module, params["host"])
    if not is_checked(params["host"]):
        known["problems"] = []
    known.update(kvm=None, pending=False)
    if params["kvm"] is not None and os.geteuid() == 0:
        found = read_kvm(module, params["kvm"], name)
        known["facts"]["kvm"] = found["facts"]
        known["problems"] = known["problems"] + found["problems"]
        known.update(kvm=found["kvm"], pending=found["pending"])
    return known


def add_secrets(module: AnsibleModule) -> None:
    """Let the module mask every secret among its arguments."""
    params = module.params
    for secret in filter(None, params["secrets"]):
        module.no_log_values.update(forms(secret))
    for login in (params["auth"] or {}, params["database_admin"]):
        module.no_log_values.update(str(text) for key, text in login.items() if "password" in key and text)


def run(module: AnsibleModule) -> None:
    """Read the host, predict or carry out its stages, and report once."""
    params = module.params
    add_secrets(module)
    try:
        stages = select_stages(params["plan"], params["stages"], params["computes"])
    except StageError as error:
        module.fail_json(error.message)
    known = read(module)
    context = Context(
        auth=params["auth"] or {},
        region=params["region"],
        database_admin=params["database_admin"],
        messaging_host=params["messaging_host"],
        computes=tuple(params["computes"]),
        secrets=tuple(params["secrets"]),
    )
    host = Host(module, params["plan"], known["facts"], context, params["changed_paths"])
    failure = None
    if not params["look"] and not module.check_mode:
        failure = host.act(stages)
    elif os.geteuid() == 0 or not is_checked(params["host"]):
        host.look(stages)  # without root, host_check has reported that, and each stage would report it again
    report(module, host, known, failure)


def report(module: AnsibleModule, host: Host, known: dict[str, Any], failure: dict[str, Any] | None) -> None:
    """End the module."""
    predicted = module.params["look"] or module.check_mode
    problems = [*known["problems"], *host.problems]
    result = {
        "changed": host.changed and (module.check_mode or not module.params["look"]),
        "pending": predicted and (host.pending or known["pending"]),
        "stages": host.stages,
        "acted": [] if predicted else list(host.stages),
        "changed_paths": host.own_paths,
        "problems": problems,
        "facts": known["facts"],
        "kvm": known["kvm"],
        "versions": known["versions"],
    }
    if module._diff and host.diff:
        result["diff"] = host.diff
    for entry in () if predicted else host.stages.values():
        if entry.get("note"):
            module.warn(entry["note"])
    if failure:
        details = {"exception": failure["traceback"]} if "traceback" in failure else {}
        module.fail_json(msg=failure["msg"], failed_stage=failure["stage"], **result, **details)
    if problems and not module.params["look"]:
        module.fail_json(msg=Message("\n".join(problems)), **result)
    module.exit_json(**result)


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "plan": {"type": "dict", "required": True},
            "stages": {"type": "list", "elements": "str", "default": []},
            "look": {"type": "bool", "default": False},
            "host": {"type": "dict", "default": {}},
            "kvm": {"type": "dict"},
            "facts": {"type": "dict"},
            "auth": {"type": "dict"},
            "region": {"type": "str", "default": "RegionOne"},
            "database_admin": {"type": "dict", "default": {}},
            "messaging_host": {"type": "str", "default": "localhost"},
            "computes": {"type": "list", "elements": "str", "default": []},
            "changed_paths": {"type": "list", "elements": "str", "default": []},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
