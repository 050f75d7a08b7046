# SPDX-License-Identifier: Apache-2.0
"""Print the facts and the result of this machine as JSON, without Ansible: in namespaces, containers, bare kernels.

usage: alone.py [--library DIRECTORY] [--nofile N] [--users a,b] [--repeat N] [--slice MS] [--deadline S]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))


def import_path(directory: str) -> None:
    """Make ansible.module_utils a directory, where Ansible is not installed."""
    for name in ("ansible", "ansible.module_utils"):
        package = types.ModuleType(name)
        package.__path__ = [directory]
        sys.modules[name] = package


def main() -> None:
    """Print one line of JSON for each repetition."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default=os.path.join(HERE, "..", "..", "module_utils"))
    parser.add_argument("--nofile", type=int)
    parser.add_argument("--users", default="nobody")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--slice", type=int, default=25)
    parser.add_argument("--deadline", type=float, default=2.0)
    options = parser.parse_args()
    import_path(options.library)
    from ansible.module_utils.kvm import evaluate, facts, guest  # noqa: F401  (loaded before files run out)

    if options.nofile:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.nofile, options.nofile))
    users = options.users.split(",")
    for _ in range(options.repeat):
        found = facts.gather(users=users, slice_ms=options.slice, deadline=options.deadline)
        print(json.dumps({"facts": found, "result": evaluate.evaluate(found, {"users": users})}))


if __name__ == "__main__":
    main()
