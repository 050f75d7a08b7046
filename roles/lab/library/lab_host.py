#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_host
short_description: Prepare this computer for labs
description:
  - Installs Debian packages whose commands are missing. None of their daemons starts, now or at the next boot.
  - An existing C(policy-rc.d) is not changed.
  - Raises kernel limits that all machines share, until the next boot of the computer.
options:
  packages:
    description: Map of package to one of its paths; the package is installed when that path is missing.
    type: dict
    required: true
  daemons:
    description: Services of those packages that must not start by themselves.
    type: list
    elements: str
    default: []
  limits:
    description: Map of a path below /proc/sys to its minimum value.
    type: dict
    default: {}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - nova-ansible contributors
"""

EXAMPLES = r"""
- name: Prepare this computer for labs
  lab_host:
    packages: {socat: /usr/bin/socat, apt-cacher-ng: /usr/sbin/apt-cacher-ng}
    daemons: [apt-cacher-ng]
    limits: {fs/inotify/max_user_instances: 4096}
"""

RETURN = r"""
missing:
  description: Packages that were missing.
  type: list
  elements: str
  returned: success
raised:
  description: Limits that were too low, each with its former value.
  type: dict
  returned: success
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_process import LabError, run
from ansible.module_utils.message import Message

SETTINGS = "/proc/sys"
POLICY = "/usr/sbin/policy-rc.d"
APT = ["apt-get", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def install(packages: list, daemons: list) -> None:
    """Install packages while a policy-rc.d forbids every service to start.

    The policy is mounted over an existing one in a mount namespace of apt and its children.
    """
    update = run([*APT, "update"], check=False, environment=QUIET)
    own = not os.path.exists(POLICY)
    descriptor, policy = tempfile.mkstemp(prefix="lab-policy-")
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write("#!/bin/sh\n# nova-ansible lab: no service starts while its package is installed\nexit 101\n")
        os.chmod(policy, 0o755)
        if own:
            run(["install", "-m", "0755", policy, POLICY])
        script = 'mount --bind "$0" "$1" && shift && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, policy, POLICY, *APT, "install", *packages]
        done = run(command, check=False, environment=QUIET)
    finally:
        os.unlink(policy)
        if own and os.path.exists(POLICY):
            os.unlink(POLICY)
    if done.code != 0:
        marks = ("E:", "Err:", "W: Failed")
        errors = [line for line in (update.err + done.err).splitlines() if line.startswith(marks)]
        text = Message(
            f"apt-get could not install {' '.join(packages)}: {' '.join(errors[-4:]) or done.err[-500:]} "
            "Check this computer's apt sources (apt-get update) and network, or install the packages yourself."
        )
        raise LabError(text)
    for daemon in daemons:
        run(["update-rc.d", daemon, "disable"], check=False)


def low_limits(limits: dict) -> dict:
    """Return the limits that are too low, with their values; a limit that the kernel does not have is left out."""
    found = {}
    for name, least in limits.items():
        try:
            with open(os.path.join(SETTINGS, name), encoding="ascii") as stream:
                value = int(stream.read())
        except OSError:
            continue
        if value < int(least):
            found[name] = value
    return found


def raise_limit(name: str, value: int) -> None:
    """Raise a limit of the running kernel."""
    with open(os.path.join(SETTINGS, name), "w", encoding="ascii") as stream:
        stream.write(str(value))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "dict", "required": True},
            "daemons": {"type": "list", "elements": "str", "default": []},
            "limits": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    packages = module.params["packages"]
    missing = sorted(name for name, path in packages.items() if not os.path.exists(path))
    if missing and not os.path.exists("/usr/bin/apt-get"):
        module.fail_json(
            msg=Message(f"This computer has no apt-get; install the packages yourself: {', '.join(missing)}.")
        )
    if missing and not module.check_mode:
        try:
            install(missing, [daemon for daemon in module.params["daemons"] if daemon in missing])
        except LabError as error:
            module.fail_json(msg=error.message)
    raised = low_limits(module.params["limits"])
    for name, value in list(raised.items()):
        try:
            if not module.check_mode:
                raise_limit(name, module.params["limits"][name])
        except OSError as error:
            del raised[name]
            text = Message(
                f"{SETTINGS}/{name} is {value} and cannot be raised ({error.strerror}); many machines will not boot."
            )
            module.warn(text)
    module.exit_json(
        changed=bool(missing or raised),
        missing=missing,
        raised=raised,
        diff={
            "before": "".join(f"{name} = {value}\n" for name, value in raised.items()),
            "after": "".join(f"package {name}\n" for name in missing)
            + "".join(f"{name} = {module.params['limits'][name]}\n" for name in raised),
        },
    )


if __name__ == "__main__":
    main()
