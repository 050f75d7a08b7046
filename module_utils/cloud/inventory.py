# SPDX-License-Identifier: Apache-2.0
"""Find all problems of an inventory. Pure functions; no message has a secret in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.cloud.model import PLATFORM
from ansible.module_utils.cloud.overrides import override_problems
from ansible.module_utils.cloud.specs import is_secret, option_errors
from ansible.module_utils.message import Message

if TYPE_CHECKING:
    # (variable, id of its value) -> (the value, its problems)
    Checked = dict[tuple[str, int], tuple[Any, list[Message]]]

NEEDED = ("nova_controllers", "nova_computes", *PLATFORM)
SINGLE = ("nova_controllers", *PLATFORM)  # until high availability exists
CLOUD_WIDE = ("nova_release", "cloud_region", "cloud_external")
SHOWN_HOSTS = 5


@dataclass(frozen=True)
class Catalogs:
    """The variables, releases, services and secrets that there are."""

    specs: dict[str, dict[str, Any]]  # variable -> its option of an argument spec
    releases: list[str]
    services: list[str]  # services of Nova
    services_gone: dict[str, dict[str, str]]  # name -> {removed_after, replaced_by}
    secrets: list[str]  # names of the secrets that every cloud has
    secret_min_length: int  # characters
    renamed: dict[str, str]  # old name -> new name; a dotted name is that of a key in a dict
    removed: dict[str, str]  # name -> what to set instead


@dataclass(frozen=True)
class Inventory:
    """The groups, variables and overrides of an inventory."""

    groups: dict[str, list[str]]  # group -> hosts
    variables: dict[str, dict[str, Any]]  # host -> {variable: value}, rendered; those in a spec, renamed or removed
    errors: dict[str, dict[str, str]] = field(default_factory=dict)  # host -> {variable: error of its template}
    wiring: dict[str, set[str]] = field(default_factory=dict)  # path of a wiring.yml -> the variables in it
    layers: list[dict[str, Any]] = field(default_factory=list)  # [{name, source, files}] of config_overrides

    @property
    def hosts(self) -> list[str]:
        """Return the hosts whose variables are known."""
        return list(self.variables)

    @property
    def cloud(self) -> dict[str, Any]:
        """Return the variables of the whole cloud: those of its first controller, else of its first host."""
        known = [host for host in self.groups.get("nova_controllers") or [] if host in self.variables]
        return self.variables[(known or self.hosts)[0]] if self.variables else {}

    @property
    def external(self) -> dict[str, Any]:
        """Return cloud_external, {} where it is not a dict."""
        given = self.cloud.get("cloud_external")
        return given if isinstance(given, dict) else {}

    def failed(self, name: str) -> bool:
        """Return whether a variable could not be rendered on some host, so that its value is unknown."""
        return any(name in errors for errors in self.errors.values())


def inventory_problems(inventory: Inventory, catalogs: Catalogs) -> list[Message]:
    """Return every problem of an inventory."""
    return [
        *wiring_problems(inventory),
        *per_host(inventory, catalogs),
        *cloud_wide_problems(inventory, catalogs),
        *group_problems(inventory),
        *secret_problems(inventory, catalogs),
        *address_problems(inventory),
        *external_messaging_problems(inventory),
        *override_problems(inventory.layers),
    ]


def wiring_problems(inventory: Inventory) -> list[Message]:
    """Return a problem for each wiring.yml that earlier versions linked into the inventory."""
    return [
        Message(
            f"{path} belongs to an earlier version and still defines {len(names)} variables, {names[0]} among them; "
            "remove it from the inventory: the roles compute their values"
        )
        for path, names in sorted((path, sorted(names)) for path, names in inventory.wiring.items())
    ]


def per_host(inventory: Inventory, catalogs: Catalogs) -> list[Message]:
    """Return the problems of the variables of each host; one of several hosts names them all."""
    found: dict[Message, list[str]] = {}
    checked: Checked = {}
    for host in inventory.hosts:
        for problem in host_problems(inventory, catalogs, host, checked):
            found.setdefault(problem, []).append(host)
    return [
        problem if len(hosts) == len(inventory.hosts) else Message(f"{names_of(hosts)}: {problem}")
        for problem, hosts in found.items()
    ]


def names_of(hosts: list[str]) -> str:
    """Return the names of hosts, the first few of many."""
    more = len(hosts) - SHOWN_HOSTS
    return ", ".join(hosts[:SHOWN_HOSTS]) + (f" and {more} more" if more > 0 else "")


def host_problems(inventory: Inventory, catalogs: Catalogs, host: str, checked: Checked) -> list[Message]:
    """Return the problems of the variables of one host. checked: the problems of values that were checked before."""
    variables, errors = inventory.variables[host], inventory.errors.get(host, {})
    return [
        *name_problems(variables, catalogs),
        *(Message(f"{name} cannot be rendered: {error}") for name, error in errors.items()),
        *missing_problems({*variables, *errors}, catalogs.specs),
        *interface_problems(inventory, host),
        *release_problems(variables, catalogs),
        *service_problems(variables, catalogs),
        *type_problems(variables, catalogs, checked),
    ]


def name_problems(variables: dict[str, Any], catalogs: Catalogs) -> list[Message]:
    """Return a problem for each variable that has a new name or is no longer read."""
    return [
        *(Message(f"{old} is now {new}") for old, new in catalogs.renamed.items() if is_set(variables, old)),
        *(Message(f"{name} is no longer read: {text}") for name, text in catalogs.removed.items() if name in variables),
    ]


def is_set(variables: dict[str, Any], name: str) -> bool:
    """Return whether a variable is set; a dotted name is that of a key in a dict."""
    value: object = variables
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def missing_problems(names: set[str], specs: dict[str, dict[str, Any]]) -> list[Message]:
    """Return a problem for each required variable that is not set."""
    required = (name for name, option in specs.items() if option.get("required") and name not in names)
    return [Message(f"{name} is not set: {describe(specs[name])}") for name in required]


def describe(option: dict[str, Any]) -> str:
    """Return the description of an option as one line without a full stop."""
    description = option.get("description") or ""
    text = " ".join(description) if isinstance(description, list) else description
    return " ".join(text.split()).rstrip(".")


def interface_problems(inventory: Inventory, host: str) -> list[Message]:
    """Return a problem where an agent of Neutron runs and the interface on the provider network is not set."""
    groups, neutron = inventory.groups, inventory.external.get("neutron")
    served = groups.get("neutron") or (isinstance(neutron, dict) and neutron.get("messaging"))
    agents = [*(groups.get("neutron") or []), *(groups.get("nova_computes") or [] if served else [])]
    known = {**inventory.variables[host], **inventory.errors.get(host, {})}
    if host not in agents or known.get("provider_interface"):
        return []
    return [
        Message(
            "provider_interface is not set: an agent of Neutron runs here; name the interface on the provider network"
        )
    ]


def release_problems(variables: dict[str, Any], catalogs: Catalogs) -> list[Message]:
    """Return a problem for an unknown release."""
    release = variables.get("nova_release")
    if "nova_release" not in variables or release in catalogs.releases:
        return []
    return [Message(f"nova_release is {release}; choose one of {', '.join(catalogs.releases)}")]


def service_problems(variables: dict[str, Any], catalogs: Catalogs) -> list[Message]:
    """Return a problem for services that Nova does not have, and for each that it no longer has."""
    given = variables.get("nova_controller_services")
    names = [str(name) for name in given] if isinstance(given, list) else []
    unknown = [name for name in names if name not in catalogs.services and name not in catalogs.services_gone]
    gone = [name for name in names if name in catalogs.services_gone]
    release = variables.get("nova_release")
    return [
        *(
            Message(f"nova_controller_services has {', '.join(unknown)}; choose from {', '.join(catalogs.services)}")
            for _ in unknown[:1]
        ),
        *(
            Message(
                f"{name} is not part of {release}: the last release with it was "
                f"{catalogs.services_gone[name]['removed_after']}. Instead: "
                f"{catalogs.services_gone[name]['replaced_by']}. Remove it from nova_controller_services"
            )
            for name in gone
        ),
    ]


def type_problems(variables: dict[str, Any], catalogs: Catalogs, checked: Checked) -> list[Message]:
    """Return the problems of the values of variables. A value of several hosts (the same object) is checked once."""
    problems: list[Message] = []
    for name, value in variables.items():
        if name in catalogs.specs:
            key = (name, id(value))
            if key not in checked:  # the value is kept too: without it, a later value could get the same id
                known = without_renamed(name, value, catalogs.renamed)
                checked[key] = (value, option_errors(name, catalogs.specs[name], known))
            problems += checked[key][1]
    return problems


def without_renamed(name: str, value: object, renamed: Iterable[str]) -> object:
    """Return a value without the keys that have a new name: name_problems lists them."""
    inner = [old for old in renamed if old.startswith(f"{name}.")]
    if not inner or not isinstance(value, dict):
        return value
    return {
        key: without_renamed(f"{name}.{key}", item, inner)
        for key, item in value.items()
        if f"{name}.{key}" not in inner
    }


def cloud_wide_problems(inventory: Inventory, catalogs: Catalogs) -> list[Message]:
    """Return a problem for each variable of the whole cloud that is not the same on every host."""
    problems = []
    for name in (*CLOUD_WIDE, *catalogs.secrets):
        have = [
            (host, inventory.variables[host][name]) for host in inventory.hosts if name in inventory.variables[host]
        ]
        other = next(((host, value) for host, value in have if value != have[0][1]), None)
        if other:
            secret = name in catalogs.secrets or is_secret(catalogs.specs.get(name, {}))
            values = [host if secret else f"{value} on {host}" for host, value in (have[0], other)]
            difference = " and ".join(values) + (" differ" if secret else "")
            problems.append(
                Message(f"{name} is not the same on every host: {difference}; set it once, for the group all")
            )
    return problems


def group_problems(inventory: Inventory) -> list[Message]:
    """Return a problem for each group that has too few hosts or too many."""
    problems = []
    for name in NEEDED:
        hosts = inventory.groups.get(name) or []
        external = name in PLATFORM and bool(inventory.external.get(name))
        if not hosts and not external and name in PLATFORM and inventory.failed("cloud_external"):
            continue
        if not hosts and not external:
            or_external = f", or set cloud_external.{name} for your own" if name in PLATFORM else ""
            problems.append(Message(f"{name} has no host; name its hosts in the inventory{or_external}"))
        elif hosts and external:
            problems.append(
                Message(
                    f"{name} has hosts ({names_of(hosts)}), but cloud_external.{name} is set too; empty the group, or "
                    "remove it from cloud_external"
                )
            )
        elif len(hosts) > 1 and name in SINGLE:
            problems.append(
                Message(
                    f"{name} has {len(hosts)} hosts ({names_of(hosts)}); keep one: several would need high "
                    "availability, which is not supported yet"
                )
            )
    return problems


def secret_problems(inventory: Inventory, catalogs: Catalogs) -> list[Message]:
    """Return a problem for secrets that are missing, too short or the same."""
    run = "run ansible-playbook playbooks/secrets.yml with this inventory"
    known = inventory.cloud
    values = {name: str(known[name]) for name in catalogs.secrets if known.get(name) not in (None, "")}
    missing = [name for name in catalogs.secrets if name not in values and not inventory.failed(name)]
    short = [name for name, value in values.items() if len(value) < catalogs.secret_min_length]
    same: dict[str, list[str]] = {}
    for name, value in values.items():
        same.setdefault(value, []).append(name)
    problems = []
    if missing:
        problems.append(
            Message(f"Missing secrets: {', '.join(missing)}; {run}, which writes the missing ones and changes no other")
        )
    if short:
        problems.append(
            Message(
                f"{', '.join(short)}: shorter than {catalogs.secret_min_length} characters; delete it from secrets.yml "
                f"and {run}"
            )
        )
    return problems + [
        Message(f"Secrets with the same value: {' and '.join(names)}; delete all but one from secrets.yml and {run}")
        for names in same.values()
        if len(names) > 1
    ]


def address_problems(inventory: Inventory) -> list[Message]:
    """Return a problem for each address that several hosts have."""
    users: dict[str, list[str]] = {}
    for host, variables in inventory.variables.items():
        if variables.get("management_address") is not None:
            users.setdefault(str(variables["management_address"]), []).append(host)
    return [
        Message(f"{' and '.join(hosts)} have the same management_address {address}; give each host its own")
        for address, hosts in users.items()
        if len(hosts) > 1
    ]


def external_messaging_problems(inventory: Inventory) -> list[Message]:
    """Return a problem for each external account on RabbitMQ with which oslo.messaging cannot log in."""
    external = inventory.cloud.get("cloud_external") or {}
    found = []
    for name, account in (
        ("rabbitmq", external.get("rabbitmq")),
        ("neutron.messaging", (external.get("neutron") or {}).get("messaging")),
    ):
        if isinstance(account, dict) and "/" in str(account.get("password", "")):
            found.append(
                Message(
                    f"cloud_external.{name}.password has a slash, with which oslo.messaging cannot log in; give the "
                    "account on RabbitMQ another password"
                )
            )
    return found
