# SPDX-License-Identifier: Apache-2.0
"""The facts and the result of this machine as JSON, without Ansible: for namespaces, containers and bare kernels.

usage: alone.py [--library FOLDER] [--nofile N] [--users a,b] [--repeat N] [--slice MS] [--deadline S]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import types


def import_path(folder):
    """Make ansible.module_utils mean a folder, where Ansible itself is not there."""
    for name in ("ansible", "ansible.module_utils"):
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default=os.path.join(here, "..", "..", "module_utils"))
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
    for _ in range(options.repeat):
        found = facts.gather(users=options.users.split(","), slice_ms=options.slice, deadline=options.deadline)
        print(json.dumps({"facts": found, "result": evaluate.evaluate(found, {"users": options.users.split(",")})}))


if __name__ == "__main__":
    main()
