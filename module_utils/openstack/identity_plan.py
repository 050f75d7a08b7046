# SPDX-License-Identifier: Apache-2.0
"""Compare what Keystone has with what it should have, and plan the requests in between. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from ansible.module_utils.message import Message, OperatorError

INTERFACES = ("public", "internal", "admin")
SHOWN = {"created": ("absent", "present"), "updated": ("differs", "as wanted"), "removed": ("present", "absent")}

if TYPE_CHECKING:  # Python 3.8 cannot evaluate it
    Entity = Mapping[str, Any]  # an object as Keystone's API gives it


class Project(TypedDict):
    """A wanted project; a description of None is not compared."""

    name: str
    domain: str
    description: str | None


class User(TypedDict):
    """A wanted user, with roles on a project."""

    name: str
    password: str
    domain: str
    project: str | None
    project_domain: str
    roles: list[str]


class Service(TypedDict):
    """A wanted service; endpoints are URLs by interface."""

    name: str
    type: str
    description: str | None
    endpoints: dict[str, str | None]


class Wanted(TypedDict):
    """What Keystone should have."""

    region: str
    projects: list[Project]
    roles: list[str]
    users: list[User]
    services: list[Service]


class FoundUser(NamedTuple):
    """A user that Keystone has.

    password: whether it has the wanted password.
    roles: names of its roles on the wanted project.
    """

    id: str
    enabled: bool
    password: bool
    roles: frozenset[str]


class State:
    """What Keystone has.

    ids: ids by kind and name: (domain, name), (role, name), (project, name, domain), (user, name, domain).
    projects, users: by name and domain. services, endpoints: as the API gives them.
    """

    def __init__(self) -> None:
        """Begin with a Keystone that has nothing."""
        self.ids: dict[tuple[str, ...], str] = {}
        self.projects: dict[tuple[str, str], Entity] = {}
        self.users: dict[tuple[str, str], FoundUser] = {}
        self.services: Sequence[Entity] = []
        self.endpoints: Sequence[Entity] = []


class Ref:
    """Stand in a request for an id: one that is known, or that an earlier request will give."""

    def __init__(self, *key: str) -> None:
        self.key = key

    def __repr__(self) -> str:
        return f"<id of {' '.join(self.key)}>"


class Conflict(OperatorError):
    """The wanted and the present objects contradict each other; an operator must decide."""


class Request(NamedTuple):
    """A request to Keystone.

    stage: requests of one stage can be sent in parallel, after those of the stages before.
    change: created, updated or removed. text: its object, for the operator.
    path, body: with a Ref in place of each id. gives: the key of the id that the answer has, or None.
    shown: the object before and after, without passwords.
    """

    stage: int
    change: str
    text: str
    method: str
    path: Sequence[str | Ref]
    body: Any
    gives: tuple[str, ...] | None
    shown: tuple[str, str]


def request(
    stage: int,
    change: str,
    text: str,
    method: str,
    path: Sequence[str | Ref],
    body: Any = None,
    gives: tuple[str, ...] | None = None,
    shown: tuple[str, str] | None = None,
) -> Request:
    """Return a request, shown by its change if not otherwise."""
    return Request(stage, change, text, method, path, body, gives, shown or SHOWN[change])


def resolved(value: Any, ids: Mapping[tuple[str, ...], str]) -> Any:
    """Return a value with every Ref replaced by its id."""
    if isinstance(value, Ref):
        return ids[value.key]
    if isinstance(value, dict):
        return {key: resolved(item, ids) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved(item, ids) for item in value]
    return value


def both_sides(found: Entity, update: Mapping[str, Any]) -> tuple[str, str]:
    """Return an update before and after, without passwords."""
    before, after = [], []
    for key, value in sorted(update.items()):
        secret = key == "password"
        before.append("another password" if secret else f"{key} {found.get(key)}")
        after.append("the wanted password" if secret else f"{key} {value}")
    return ", ".join(before), ", ".join(after)


def differences(found: Entity, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that differ from those of an object; None is not compared."""
    default = {"description": "", "enabled": True}
    return {
        key: value
        for key, value in attributes.items()
        if value is not None and (found.get(key) if found.get(key) is not None else default.get(key)) != value
    }


def plan(wanted: Wanted, state: State, predict: bool = False) -> list[Request]:
    """Return the requests that are needed, in the order of their stages; raise Conflict.

    predict: Keystone does not exist yet, so a role that is not planned either may still come with it.
    """
    requests = [
        *_projects(wanted["projects"], state),
        *_roles(wanted["roles"], state),
        *_users(wanted["users"], state),
        *_grants(wanted, state, predict),
        *_services(wanted["services"], wanted["region"], state),
    ]
    return sorted(requests, key=lambda entry: entry.stage)


def _updated(
    stage: int, text: str, collection: str, kind: str, found: Entity, attributes: Mapping[str, Any]
) -> Iterator[Request]:
    """Give the request that updates an object, if attributes of it differ."""
    update = differences(found, attributes)
    if update:
        text += f": {' and '.join(sorted(update))}"
        shown = both_sides(found, update)
        yield request(stage, "updated", text, "PATCH", [collection, found["id"]], {kind: update}, shown=shown)


def _projects(wanted: Iterable[Project], state: State) -> Iterator[Request]:
    """Give the requests for projects."""
    for project in wanted:
        name, domain = project["name"], project["domain"]
        found = state.projects.get((name, domain))
        text = f"project {name}"
        if found is None:
            body = {"name": name, "domain_id": Ref("domain", domain), "description": project["description"] or ""}
            yield request(0, "created", text, "POST", ["projects"], {"project": body}, ("project", name, domain))
        else:
            attributes = {"description": project["description"], "enabled": True}
            yield from _updated(0, text, "projects", "project", found, attributes)


def _roles(wanted: Iterable[str], state: State) -> Iterator[Request]:
    """Give the requests for roles."""
    for name in wanted:
        if ("role", name) not in state.ids:
            yield request(0, "created", f"role {name}", "POST", ["roles"], {"role": {"name": name}}, ("role", name))


def _users(wanted: Iterable[User], state: State) -> Iterator[Request]:
    """Give the requests for users and their passwords."""
    for user in wanted:
        name, domain = user["name"], user["domain"]
        found = state.users.get((name, domain))
        text = f"user {name}"
        if found is None:
            body = {"name": name, "domain_id": Ref("domain", domain), "password": user["password"]}
            yield request(1, "created", text, "POST", ["users"], {"user": body}, ("user", name, domain))
            continue
        attributes = {"password": None if found.password else user["password"], "enabled": True}
        present = {"id": found.id, "enabled": found.enabled}
        yield from _updated(1, text, "users", "user", present, attributes)


def _grants(wanted: Wanted, state: State, predict: bool) -> Iterator[Request]:
    """Give the requests for roles of users on projects; raise Conflict."""
    known = {*wanted["roles"], *(key[1] for key in state.ids if key[0] == "role")}
    for user in wanted["users"]:
        name, project = user["name"], user["project"]
        if not user["roles"]:
            continue
        if not project:
            raise Conflict(Message(f"user {name} has roles, but no project to have them on; name its project"))
        found = state.users.get((name, user["domain"]))
        for role in user["roles"]:
            if found and role in found.roles:
                continue
            if role not in known and not predict:
                raise Conflict(Message(f"role '{role}' of user {name} does not exist; add it to 'roles'"))
            path: list[str | Ref] = ["projects", Ref("project", project, user["project_domain"])]
            path += ["users", Ref("user", name, user["domain"]), "roles", Ref("role", role)]
            yield request(2, "created", f"role {role} of {name} on {project}", "PUT", path)


def _services(wanted: Iterable[Service], region: str, state: State) -> Iterator[Request]:
    """Give the requests for services and their endpoints; raise Conflict."""
    for service in wanted:
        kind, name = service["type"], service["name"]
        found = _present_service(service, state.services)
        text = f"service {name}"
        if found is None:
            body = {"type": kind, "name": name, "description": service["description"] or ""}
            yield request(2, "created", text, "POST", ["services"], {"service": body}, ("service", kind))
        else:
            attributes = {"name": name, "description": service["description"], "enabled": True}
            yield from _updated(2, text, "services", "service", found, attributes)
        for interface in INTERFACES:
            url = service["endpoints"].get(interface)
            if url:
                yield from _endpoint(service, found, interface, url, region, state.endpoints)


def _present_service(service: Service, present: Iterable[Entity]) -> Entity | None:
    """Return the service of the wanted type; of several, the one that has its name too. Raise Conflict."""
    kind = service["type"]
    found = [entry for entry in present if entry["type"] == kind]
    if len(found) > 1:
        found = [entry for entry in found if entry.get("name") == service["name"]] or found
    if len(found) > 1:
        ids = ", ".join(entry["id"] for entry in found)
        raise Conflict(
            Message(
                f"{len(found)} services have the type '{kind}': {ids}; delete all but one (openstack service delete ID)"
            )
        )
    return found[0] if found else None


def _endpoint(
    service: Service, found: Entity | None, interface: str, url: str, region: str, present: Iterable[Entity]
) -> Iterator[Request]:
    """Give the requests for an endpoint; of several for one service, interface and region, one stays."""
    text = f"{interface} endpoint of {service['name']}"
    same = [
        entry
        for entry in present
        if found
        and entry["service_id"] == found["id"]
        and entry["interface"] == interface
        # a field may be missing in an answer of an older release
        and entry.get("region_id", entry.get("region")) == region
    ]
    same.sort(key=lambda entry: entry["url"] != url)
    if not same:
        service_id = found["id"] if found else Ref("service", service["type"])
        body = {"service_id": service_id, "interface": interface, "url": url, "region": region}
        yield request(3, "created", text, "POST", ["endpoints"], {"endpoint": body})
        return
    yield from _updated(3, text, "endpoints", "endpoint", same[0], {"url": url, "enabled": True})
    for duplicate in same[1:]:
        path = ["endpoints", duplicate["id"]]
        yield request(3, "removed", f"duplicate of {text}: {duplicate['url']}", "DELETE", path)
