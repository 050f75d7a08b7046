#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lab's inventory without the machine of the platform: the groups of the platform are empty.

The hosts have inventory names that are not their host names.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

NAMES = {"controller1": "cloud-a", "compute1": "hv1.example"}
LAB = Path(__file__).resolve().parents[3] / "inventory/lab/lab.py"


def main() -> None:
    """Print the inventory."""
    known = json.loads(subprocess.run([str(LAB)], stdout=subprocess.PIPE, check=True).stdout)
    platform = set(known["mariadb"]["hosts"])
    for group in known.values():
        group["hosts"] = [host for host in group.get("hosts", []) if host not in platform]
        group["hosts"] = [NAMES.get(host, host) for host in group["hosts"]]
    hosts = known["_meta"]["hostvars"]
    known["_meta"]["hostvars"] = {NAMES.get(host, host): hosts[host] for host in hosts if host not in platform}
    print(json.dumps(known))


if __name__ == "__main__":
    main()
