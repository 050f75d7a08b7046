# SPDX-License-Identifier: Apache-2.0
"""What the list of a release says against the configuration files of a host.

option_errors gives a sentence for each option that the release does not have, option_packages the packages that the
list was made from. A filter costs a run nothing but its own time, a module call on the control node ten times that.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import ansible.module_utils

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.module_utils import option_lists  # noqa: E402  found only on the path that was just added


@functools.cache
def read(path: str) -> dict:
    """Return a list; an empty one where a release has none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"packages": {}, "namespaces": {}, "auth_plugins": {}}


def option_packages(path) -> list:
    return sorted(read(str(path))["packages"])


def option_errors(files, path, release, installed, variables, besides) -> list:
    return option_lists.check_host(files, read(str(path)), release, installed, variables, besides)


class FilterModule:
    def filters(self) -> dict:
        return {"option_errors": option_errors, "option_packages": option_packages}
