# SPDX-License-Identifier: Apache-2.0
"""URLs, accounts and option values of the cloud, made of the model `cloud` (action cloud_model) and a password.

The logic, and the docstring of each filter, is in module_utils/cloud/urls.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import ansible.module_utils

MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if MODULE_UTILS not in ansible.module_utils.__path__:  # Ansible offers it to modules only
    ansible.module_utils.__path__.append(MODULE_UTILS)

from ansible.errors import AnsibleFilterError  # noqa: E402
from ansible.module_utils.cloud import urls  # noqa: E402  found only on the path that was just added

FILTERS = (
    "admin_auth",
    "auth_options",
    "authtoken_options",
    "cell_templates",
    "database_options",
    "database_url",
    "host_port",
    "messaging_account",
    "oslo_value",
    "rabbitmq_password",
    "transport_url",
)


def explained(function: Callable) -> Callable:
    """Return a filter whose ValueError is an error of the template, not a crash."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


class FilterModule:
    """Filters of the cloud model."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {name: explained(getattr(urls, name)) for name in FILTERS}
