# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an inventory, all of it at once. Pure functions; no sentence holds a secret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible.module_utils.cloud.model import PLATFORM
from ansible.module_utils.cloud.specs import is_secret, option_errors

NEEDED = ("nova_controllers", "nova_computes", *PLATFORM)
SINGLE = ("nova_controllers", *PLATFORM)  # until high availability exists
CLOUD_WIDE = ("nova_release", "cloud_region", "cloud_external")
SHOWN_HOSTS = 5


@dataclass(frozen=True)
class Catalogs:
    """What an inventory is compared with."""

    specs: dict  # variable -> its option of an argument spec
    releases: list  # names of the releases
    services: list  # names of Nova's services
    services_gone: dict  # name -> {removed_after, replaced_by}
    secrets: list  # names of the secrets that every cloud has
    secret_min_length: int
    renamed: dict  # old name -> new name
    removed: dict  # name -> what to set instead


@dataclass(frozen=True)
class Inventory:
    """What an inventory says."""

    groups: dict  # group -> hosts
    variables: dict  # host -> {variable: value}, rendered; a host's variables that are in a spec, renamed or removed
    errors: dict = field(default_factory=dict)  # host -> {variable: why it could not be rendered}
    wiring: dict = field(default_factory=dict)  # path of a wiring.yml -> the names that it defines
    layers: list = field(default_factory=list)  # [{name, source, files}] of config_overrides

    @property
    def hosts(self) -> list:
        """Return the hosts whose variables are known."""
        return list(self.variables)

    @property
    def cloud(self) -> dict:
        """Return the variables of the whole cloud: those of its first controller, else of its first host."""
        known = [host for host in self.groups.get("nova_controllers") or [] if host in self.variables]
        return self.variables[(known or self.hosts)[0]] if self.variables else {}

    @property
    def external(self) -> dict:
        """Return cloud_external, {} where it is not what it should be."""
        given = self.cloud.get("cloud_external")
        return given if isinstance(given, dict) else {}

    def failed(self, name: str) -> bool:
        """Return whether a variable could not be rendered on a host: then what it says is not known."""
        return any(name in errors for errors in self.errors.values())


def inventory_problems(inventory: Inventory, catalogs: Catalogs) -> list:
    """Return a sentence for each thing that is wrong with an inventory."""
    return [
        *wiring_problems(inventory),
        *per_host(inventory, catalogs),
        *cloud_wide_problems(inventory, catalogs),
        *group_problems(inventory),
        *secret_problems(inventory, catalogs),
        *address_problems(inventory),
        *external_messaging_problems(inventory),
        *override_problems(inventory),
    ]


def wiring_problems(inventory: Inventory) -> list:
    """Return a sentence for each wiring.yml that earlier versions linked into the inventory."""
    return [
        f"{path} belongs to an earlier version and still defines {len(names)} variables, {names[0]} among them; remove "
        "it from the inventory: the roles compute what it held"
        for path, names in sorted((path, sorted(names)) for path, names in inventory.wiring.items())
    ]


def per_host(inventory: Inventory, catalogs: Catalogs) -> list:
    """Return what is wrong with the variables of each host; a sentence that holds for several names them all."""
    found: dict = {}
    checked: dict = {}
    for host in inventory.hosts:
        for sentence in host_problems(inventory, catalogs, host, checked):
            found.setdefault(sentence, []).append(host)
    return [
        sentence if len(hosts) == len(inventory.hosts) else f"{listed(hosts)}: {sentence}"
        for sentence, hosts in found.items()
    ]


def listed(hosts: list) -> str:
    """Return the names of hosts, the first few of many."""
    more = len(hosts) - SHOWN_HOSTS
    return ", ".join(hosts[:SHOWN_HOSTS]) + (f" and {more} more" if more > 0 else "")


def host_problems(inventory: Inventory, catalogs: Catalogs, host: str, checked: dict) -> list:
    """Return what is wrong with the variables of one host. checked: what was found of values seen before."""
    variables, errors = inventory.variables[host], inventory.errors.get(host, {})
    return [
        *name_problems(variables, catalogs),
        *(f"{name} cannot be rendered: {error}" for name, error in errors.items()),
        *missing_problems({*variables, *errors}, catalogs.specs),
        *interface_problems(inventory, host),
        *release_problems(variables, catalogs),
        *service_problems(variables, catalogs),
        *type_problems(variables, catalogs, checked),
    ]


def name_problems(variables: dict, catalogs: Catalogs) -> list:
    """Return a sentence for each variable that has a new name or is no longer read."""
    return [
        *(f"{old} is now {new}" for old, new in catalogs.renamed.items() if is_set(variables, old)),
        *(f"{name} is no longer read: {text}" for name, text in catalogs.removed.items() if name in variables),
    ]


def is_set(variables: dict, name: str) -> bool:
    """Return whether a variable is set; a dotted name is that of a key in a dict."""
    value: object = variables
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def missing_problems(names: set, specs: dict) -> list:
    """Return a sentence for each required variable that is not set."""
    required = (name for name, option in specs.items() if option.get("required") and name not in names)
    return [f"{name} is not set: {describe(specs[name])}" for name in required]


def describe(option: dict) -> str:
    """Return the description of an option as one line without a full stop."""
    description = option.get("description") or ""
    text = " ".join(description) if isinstance(description, list) else description
    return " ".join(text.split()).rstrip(".")


def interface_problems(inventory: Inventory, host: str) -> list:
    """Return a sentence where an agent of Neutron runs and the interface on the provider network is not named."""
    groups, neutron = inventory.groups, inventory.external.get("neutron")
    served = groups.get("neutron") or (isinstance(neutron, dict) and neutron.get("messaging"))
    agents = [*(groups.get("neutron") or []), *(groups.get("nova_computes") or [] if served else [])]
    known = {**inventory.variables[host], **inventory.errors.get(host, {})}
    if host not in agents or known.get("provider_interface"):
        return []
    return ["provider_interface is not set: an agent of Neutron runs here; name the interface on the provider network"]


def release_problems(variables: dict, catalogs: Catalogs) -> list:
    """Return a sentence for a release that there is not."""
    release = variables.get("nova_release")
    if "nova_release" not in variables or release in catalogs.releases:
        return []
    return [f"nova_release is {release}; choose one of {', '.join(catalogs.releases)}"]


def service_problems(variables: dict, catalogs: Catalogs) -> list:
    """Return a sentence for services that Nova does not have, and for each that it no longer has."""
    given = variables.get("nova_controller_services")
    names = [str(name) for name in given] if isinstance(given, list) else []
    unknown = [name for name in names if name not in catalogs.services and name not in catalogs.services_gone]
    gone = [name for name in names if name in catalogs.services_gone]
    release = variables.get("nova_release")
    return [
        *(
            f"nova_controller_services names {', '.join(unknown)}; the catalog has {', '.join(catalogs.services)}"
            for _ in unknown[:1]
        ),
        *(
            f"{name} is not part of {release}: the last release with it was "
            f"{catalogs.services_gone[name]['removed_after']}. Instead: {catalogs.services_gone[name]['replaced_by']}. "
            "Take it out of nova_controller_services"
            for name in gone
        ),
    ]


def type_problems(variables: dict, catalogs: Catalogs, checked: dict) -> list:
    """Return what is wrong with the values of variables. A value of several hosts (the same object) is checked once."""
    problems = []
    for name, value in variables.items():
        if name in catalogs.specs:
            key = (name, id(value))
            if key not in checked:  # the value is kept along, or its id could be that of a later one
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


def cloud_wide_problems(inventory: Inventory, catalogs: Catalogs) -> list:
    """Return a sentence for each variable of the whole cloud that is not the same on every host."""
    problems = []
    for name in (*CLOUD_WIDE, *catalogs.secrets):
        have = [
            (host, inventory.variables[host][name]) for host in inventory.hosts if name in inventory.variables[host]
        ]
        other = next(((host, value) for host, value in have if value != have[0][1]), None)
        if other:
            secret = name in catalogs.secrets or is_secret(catalogs.specs.get(name, {}))
            places = [host if secret else f"{value} on {host}" for host, value in (have[0], other)]
            problems.append(
                f"{name} is not the same on every host: {' and '.join(places)} {'differ' if secret else ''}".rstrip()
                + "; set it once, for the group all"
            )
    return problems


def group_problems(inventory: Inventory) -> list:
    """Return a sentence for each group that has too few hosts or too many."""
    problems = []
    for name in NEEDED:
        hosts = inventory.groups.get(name) or []
        external = name in PLATFORM and bool(inventory.external.get(name))
        if not hosts and not external and name in PLATFORM and inventory.failed("cloud_external"):
            continue
        if not hosts and not external:
            or_external = f", or say where yours is: cloud_external.{name}" if name in PLATFORM else ""
            problems.append(f"{name} has no host; name its hosts in the inventory{or_external}")
        elif hosts and external:
            problems.append(
                f"{name} has hosts ({listed(hosts)}), but cloud_external.{name} says that yours is used; empty the "
                "group, or take it out of cloud_external"
            )
        elif len(hosts) > 1 and name in SINGLE:
            problems.append(
                f"{name} has {len(hosts)} hosts ({listed(hosts)}); name one: several need high availability, which is "
                "not there yet"
            )
    return problems


def secret_problems(inventory: Inventory, catalogs: Catalogs) -> list:
    """Return sentences for secrets that are missing, too short or the same."""
    run = "run ansible-playbook playbooks/secrets.yml with this inventory"
    known = inventory.cloud
    values = {name: str(known[name]) for name in catalogs.secrets if known.get(name) not in (None, "")}
    missing = [name for name in catalogs.secrets if name not in values and not inventory.failed(name)]
    short = [name for name, value in values.items() if len(value) < catalogs.secret_min_length]
    same: dict = {}
    for name, value in values.items():
        same.setdefault(value, []).append(name)
    problems = []
    if missing:
        problems.append(
            f"Missing secrets: {', '.join(missing)}. R{run[1:]}; it writes those that are missing and touches no other"
        )
    if short:
        problems.append(
            f"{', '.join(short)}: shorter than {catalogs.secret_min_length} characters; delete it from secrets.yml and "
            f"{run}"
        )
    return problems + [
        f"Secrets with the same value: {' and '.join(names)}; delete all but one from secrets.yml and {run}"
        for names in same.values()
        if len(names) > 1
    ]


def address_problems(inventory: Inventory) -> list:
    """Return a sentence for each address that several hosts have."""
    users: dict = {}
    for host, variables in inventory.variables.items():
        if variables.get("management_address") is not None:
            users.setdefault(str(variables["management_address"]), []).append(host)
    return [
        f"{' and '.join(hosts)} have the same management_address {address}; give each host its own"
        for address, hosts in users.items()
        if len(hosts) > 1
    ]


def external_messaging_problems(inventory: Inventory) -> list:
    """Return a sentence for each external account on a message queue with which oslo.messaging cannot log in."""
    external = inventory.cloud.get("cloud_external") or {}
    found = []
    for name, account in (
        ("rabbitmq", external.get("rabbitmq")),
        ("neutron.messaging", (external.get("neutron") or {}).get("messaging")),
    ):
        if isinstance(account, dict) and "/" in str(account.get("password", "")):
            found.append(
                f"cloud_external.{name}.password has a slash, with which oslo.messaging cannot log in; give the "
                "account on RabbitMQ another password"
            )
    return found


def override_problems(inventory: Inventory) -> list:
    """Return a sentence for each part of config_overrides that has not the shape {path: {section: {option: value}}}."""
    problems = [
        f"config_overrides of {layer['name']} ({layer['source']}): {problem}"
        for layer in inventory.layers
        for problem in shape_problems(layer["files"])
    ]
    return list(dict.fromkeys(problems))


def shape_problems(files) -> list:
    """Return what is wrong with the shape of one layer."""
    if not isinstance(files, dict):
        return ["it must map the absolute path of a file to its options"]
    problems = []
    for path, options in files.items():
        if not str(path).startswith("/"):
            problems.append(f"{path} is no absolute path of a file, such as /etc/nova/nova.conf")
        if options is not None and not isinstance(options, dict):
            problems.append(f"{path} must hold {{section: {{option: value}}}}, or {{option: value}} in a flat file")
        elif options and not str(path).endswith((".yaml", ".yml", ".json")):
            problems += [
                f"{path}: [{section}] {option} holds a {nested(value)}; give a plain value, or a list of plain "
                "values to repeat the option"
                for section, inner in options.items()
                if isinstance(inner, dict)
                for option, value in inner.items()
                if not is_plain(value)
            ]
    return problems


def nested(value) -> str:
    """Return what kind of value holds others; Ansible has classes of its own."""
    return "dict" if isinstance(value, dict) else "list"


def is_plain(value) -> bool:
    """Return whether an option can have a value: a plain one, or a list of plain ones."""
    values = value if isinstance(value, list) else [value]
    return not any(isinstance(item, (dict, list)) for item in values)
