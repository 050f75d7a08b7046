# SPDX-License-Identifier: Apache-2.0
"""Projects, roles, users, services and endpoints in Keystone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple, cast

from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message
from ansible.module_utils.openstack import identity_plan
from ansible.module_utils.openstack.identity_plan import FoundUser, Request, State, User, Wanted
from ansible.module_utils.openstack.session import Identity
from ansible.module_utils.plan.in_process import StageModule

PARALLEL = 8  # requests
LISTED = ("domains", "roles", "services", "endpoints")


class Login(NamedTuple):
    """How an administrator logged in.

    rotate: whether only the previous password was accepted, so that the new one must be set.
    """

    user_id: str
    rotate: bool


def log_in(session: Identity, auth: dict[str, Any]) -> Login:
    """Give the session a token of the administrator; raise HttpError."""
    place = (auth["user_domain_name"], auth["project_name"], auth["project_domain_name"])
    rotate = False
    try:
        token = session.authenticate(auth["username"], auth["password"], *place)
    except HttpError as error:
        if error.code != 401 or not auth["previous_password"]:
            raise
        token = session.authenticate(auth["username"], auth["previous_password"], *place)
        rotate = True
    session.token = token.id
    return Login(token.content["user"]["id"], rotate)


def try_user(session: Identity, user: User, project: str | None) -> FoundUser | None:
    """Return a user as a login with the wanted password shows it, or None when Keystone refuses; raise HttpError."""
    try:
        token = session.authenticate(user["name"], user["password"], user["domain"], project, user["project_domain"])
    except HttpError as error:
        if error.code not in (401, 403):
            raise
        return None
    roles = frozenset(role["name"] for role in token.content.get("roles", []))
    return FoundUser(token.content["user"]["id"], True, True, roles)


def look_up(session: Identity, user: User, state: State) -> FoundUser | None:
    """Return a user whose login failed, or None when it does not exist; raise HttpError."""
    domain = state.ids.get(("domain", user["domain"]))
    listed = session.get("users", name=user["name"], domain_id=domain)
    if not listed:
        return None
    found = FoundUser(listed[0]["id"], listed[0]["enabled"], False, frozenset())
    if found.enabled:
        found = found._replace(password=try_user(session, user, None) is not None)
    project = state.projects.get((user["project"] or "", user["project_domain"]))
    if project:
        query = {"user.id": found.id, "scope.project.id": project["id"]}
        names = {identifier: key[1] for key, identifier in state.ids.items() if key[0] == "role"}
        given = [names.get(entry["role"]["id"]) for entry in session.get("role_assignments", **query)]
        found = found._replace(roles=frozenset(name for name in given if name))
    return found


def read(
    session: Identity, wanted: Wanted, pool: ThreadPoolExecutor, logins: Sequence[Future[FoundUser | None]]
) -> State:
    """Return what Keystone has; logins: those of the users, in their order. Raise HttpError or Conflict."""
    lists = {name: pool.submit(session.get, name) for name in LISTED}
    names = {project["name"] for project in wanted["projects"]} | {user["project"] or "" for user in wanted["users"]}
    searches = [pool.submit(session.get, "projects", name=name) for name in sorted(filter(None, names))]
    state = State()
    domains: dict[str, str] = {domain["id"]: domain["name"] for domain in lists["domains"].result()}
    state.ids = {("domain", name): identifier for identifier, name in domains.items()}
    state.ids.update({("role", role["name"]): role["id"] for role in lists["roles"].result()})
    for project in (project for search in searches for project in search.result()):
        state.projects[project["name"], domains.get(project["domain_id"], "")] = project
    state.ids.update({("project", *key): project["id"] for key, project in state.projects.items()})
    state.services, state.endpoints = lists["services"].result(), lists["endpoints"].result()
    for entry in [*wanted["projects"], *wanted["users"]]:
        if ("domain", entry["domain"]) not in state.ids:
            raise identity_plan.Conflict(
                Message(f"domain '{entry['domain']}' of {entry['name']} does not exist; create it")
            )
    users = wanted["users"]
    found = pool.map(lambda user, login: login.result() or look_up(session, user, state), users, logins)
    for user, present in zip(users, found):
        if present:
            state.users[user["name"], user["domain"]] = present
            state.ids["user", user["name"], user["domain"]] = present.id
    return state


def apply(
    session: Identity, requests: Sequence[Request], ids: dict[tuple[str, ...], str], pool: ThreadPoolExecutor
) -> None:
    """Send the requests, those of one stage in parallel; raise HttpError."""

    def send(entry: Request) -> None:
        path, body = identity_plan.resolved(entry.path, ids), identity_plan.resolved(entry.body, ids)
        _headers, answer = session.call(entry.method, path, body)
        if entry.gives:
            ids[entry.gives] = next(iter(answer.values()))["id"]

    for _stage, entries in groupby(requests, key=lambda entry: entry.stage):
        list(pool.map(send, entries))


def reconcile(module: StageModule, session: Identity) -> list[Request]:
    """Return the requests that were sent, in check mode those that would be; raise HttpError or Conflict."""
    wanted, auth = cast(Wanted, module.params), module.params["auth"]
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        logins = [pool.submit(try_user, session, user, user["project"]) for user in wanted["users"]]
        login = log_in(session, auth)
        state = read(session, wanted, pool, logins)
        requests = identity_plan.plan(wanted, state)
        if not module.check_mode:
            apply(session, requests, state.ids, pool)
    if login.rotate:  # last: it revokes the session's token
        update = {"password": auth["password"]}
        shown = identity_plan.both_sides({}, update)
        text, path = f"user {auth['username']}: password", ["users", login.user_id]
        rotation = identity_plan.request(4, "updated", text, "PATCH", path, {"user": update}, shown=shown)
        requests.append(rotation)
        if not module.check_mode:
            session.call(rotation.method, path, rotation.body)
    return requests


def failure(error: HttpError, username: str) -> Message:
    """Return the message about a request to Keystone that failed."""
    if not error.code:
        return Message(f"Keystone does not answer: {error}. Start it, or correct auth_url.")
    advice = f" Check username, password and project_name of '{username}'." if error.code == 401 else ""
    return Message(f"Keystone refused a request: {error}.{advice}")


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    text, name, default = {"type": "str"}, {"type": "str", "required": True}, {"type": "str", "default": "Default"}
    secret = {"type": "str", "no_log": True}

    def many(**options: Any) -> dict[str, Any]:
        return {"type": "list", "elements": "dict", "default": [], "options": options}

    auth = {
        "auth_url": name,
        "username": name,
        "password": {**secret, "required": True},
        "previous_password": secret,
        "project_name": name,
        "user_domain_name": default,
        "project_domain_name": default,
        "ca_file": {"type": "path"},
        "verify": {"type": "bool", "default": True},
    }
    strings = {"type": "list", "elements": "str", "default": []}
    urls = {"type": "dict", "default": {}, "options": {interface: text for interface in identity_plan.INTERFACES}}
    password = {**secret, "required": True}
    return {
        "auth": {"type": "dict", "required": True, "options": auth},
        "region": {"type": "str", "default": "RegionOne"},
        "projects": many(name=name, domain=default, description=text),
        "roles": strings,
        "users": many(
            name=name, password=password, domain=default, project=text, project_domain=default, roles=strings
        ),
        "services": many(name=name, type=name, description=text, endpoints=urls),
    }


ARGUMENT_SPEC = argument_spec()


def run(module: StageModule) -> None:
    """Read, compare, write."""
    auth = module.params["auth"]
    try:
        session = Identity(auth["auth_url"], auth["ca_file"], auth["verify"])
        requests = reconcile(module, session)
    except HttpError as error:
        broken = not error.code or error.code >= 500  # a run may install or repair it
        if not (broken and module.check_mode):
            module.fail_json(msg=failure(error, auth["username"]))
        requests = identity_plan.plan(cast(Wanted, module.params), State(), predict=True)
    except identity_plan.Conflict as error:
        module.fail_json(msg=error.message)
    lists = {change: [entry.text for entry in requests if entry.change == change] for change in identity_plan.SHOWN}
    sides = [[f"{entry.text}: {entry.shown[side]}\n" for entry in requests] for side in (0, 1)]
    module.exit_json(
        changed=bool(requests),
        diff={"before": "".join(sides[0]), "after": "".join(sides[1])},
        **lists,
    )
