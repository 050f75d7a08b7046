# SPDX-License-Identifier: Apache-2.0
"""Make URLs, accounts and option values from the model `cloud` (action cloud_model) and a password.

The code, and the documentation of each filter, is in module_utils/cloud/urls.py.
"""

from __future__ import annotations

import functools
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "search_path.py"))

from ansible.errors import AnsibleFilterError
from ansible.module_utils.cloud import urls
from ansible.module_utils.message import Message

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


def as_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as a filter: its ValueError becomes an error of the template."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise AnsibleFilterError(Message(str(error))) from error

    return call


class FilterModule:
    """The filters of the cloud model."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {name: as_filter(getattr(urls, name)) for name in FILTERS}
