# SPDX-License-Identifier: Apache-2.0
"""Projects, roles, users, services and endpoints in Keystone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from ansible.module_utils.host.http import HttpError
from ansible.module_utils.openstack import identity_plan
from ansible.module_utils.openstack.session import Identity

SIDE_BY_SIDE = 8


def log_in(session, auth):
    """A token of the administrator; True when only the previous password was good for it."""
    place = (auth["user_domain_name"], auth["project_name"], auth["project_domain_name"])
    try:
        session.token, _good_for = session.authenticate(auth["username"], auth["password"], *place)
        return False
    except HttpError as error:
        if error.code != 401 or not auth["previous_password"]:
            raise
    session.token, good_for = session.authenticate(auth["username"], auth["previous_password"], *place)
    auth["user_id"] = good_for["user"]["id"]
    return True


def try_user(session, user):
    """What a login as the user tells, or None when it fails."""
    try:
        _token, good_for = session.authenticate(
            user["name"], user["password"], user["domain"], user["project"], user["project_domain"]
        )
    except HttpError as error:
        if error.code not in (401, 403):
            raise
        return None
    roles = {role["name"] for role in good_for.get("roles", [])}
    return {"id": good_for["user"]["id"], "enabled": True, "password": True, "roles": roles}


def look_up(session, user, state):
    """The state of a user whose login failed; None when there is none."""
    domain = state["ids"].get(("domain", user["domain"]))
    found = session.get("users", name=user["name"], domain_id=domain)
    if not found:
        return None
    entry = {"id": found[0]["id"], "enabled": found[0]["enabled"], "password": False, "roles": set()}
    if entry["enabled"]:
        entry["password"] = try_user(session, {**user, "project": None}) is not None
    project = state["projects"].get((user["project"], user["project_domain"]))
    if project:
        query = {"user.id": entry["id"], "scope.project.id": project["id"]}
        names = {identifier: key[1] for key, identifier in state["ids"].items() if key[0] == "role"}
        entry["roles"] = {names.get(given["role"]["id"]) for given in session.get("role_assignments", **query)}
    return entry


def read(session, params, pool, logins):
    """The state, as identity_plan has it; logins are futures of try_user()."""
    lists = {name: pool.submit(session.get, name) for name in ("domains", "roles", "services", "endpoints")}
    names = {project["name"] for project in params["projects"]} | {user["project"] for user in params["users"]}
    found = [pool.submit(session.get, "projects", name=name) for name in sorted(filter(None, names))]
    state = identity_plan.empty()
    domains = {domain["id"]: domain["name"] for domain in lists["domains"].result()}
    state["ids"] = {("domain", name): identifier for identifier, name in domains.items()}
    state["ids"].update({("role", role["name"]): role["id"] for role in lists["roles"].result()})
    for project in (project for future in found for project in future.result()):
        state["projects"][project["name"], domains.get(project["domain_id"])] = project
    state["ids"].update({("project", *key): project["id"] for key, project in state["projects"].items()})
    state["services"], state["endpoints"] = lists["services"].result(), lists["endpoints"].result()
    for entry in [*params["projects"], *params["users"]]:
        if ("domain", entry["domain"]) not in state["ids"]:
            raise identity_plan.Conflict(f"domain '{entry['domain']}' of {entry['name']} does not exist; create it")
    entries = pool.map(lambda pair: pair[1].result() or look_up(session, pair[0], state), zip(params["users"], logins))
    for user, entry in zip(params["users"], entries):
        if entry:
            state["users"][user["name"], user["domain"]] = entry
            state["ids"]["user", user["name"], user["domain"]] = entry["id"]
    return state


def apply(session, requests, ids, pool):
    """Send the requests, those of one stage side by side."""

    def send(entry):
        path, body = (identity_plan.resolved(entry[part], ids) for part in ("path", "body"))
        _headers, answer = session.call(entry["method"], path, body)
        if entry["gives"]:
            ids[entry["gives"]] = next(iter(answer.values()))["id"]

    for _stage, entries in groupby(requests, key=lambda entry: entry["stage"]):
        list(pool.map(send, entries))


def reconcile(module, session):
    """The requests that were sent, in check mode those that would be."""
    params, auth = module.params, module.params["auth"]
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        logins = [pool.submit(try_user, session, user) for user in params["users"]]
        rotation = log_in(session, auth)
        state = read(session, params, pool, logins)
        requests = identity_plan.plan(params, state)
        if not module.check_mode:
            apply(session, requests, state["ids"], pool)
        if rotation:  # last: it ends the session's token
            path, body = ["users", auth["user_id"]], {"user": {"password": auth["password"]}}
            text = f"user {auth['username']}: password"
            shows = identity_plan.shown({}, body["user"])
            requests.append(identity_plan.request(4, "updated", text, "PATCH", path, body, shows=shows))
            if not module.check_mode:
                session.call("PATCH", path, body)
    return requests


def complaint(error, username: str) -> str:
    """Return what is wrong with the identity service and what to do."""
    if not error.code:
        return f"The identity service does not answer: {error}. Start keystone, or correct auth_url."
    advice = f" Check username, password and project_name of '{username}'." if error.code == 401 else ""
    return f"The identity service refused: {error}.{advice}"


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    text, name, default = {"type": "str"}, {"type": "str", "required": True}, {"type": "str", "default": "Default"}
    secret = {"type": "str", "no_log": True}

    def many(**options):
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


def run(module) -> None:
    """Read, compare, write."""
    auth = module.params["auth"]
    try:
        session = Identity(auth["auth_url"], auth["ca_file"], auth["verify"])
        requests = reconcile(module, session)
    except HttpError as error:
        broken = not error.code or error.code >= 500  # a run may bring what it lacks
        if not (broken and module.check_mode):
            module.fail_json(msg=complaint(error, auth["username"]))
        requests = identity_plan.plan(module.params, identity_plan.empty(), predict=True)
    except identity_plan.Conflict as error:
        module.fail_json(msg=f"{error}.")
    lists = {kind: [entry["text"] for entry in requests if entry["change"] == kind] for kind in identity_plan.SHOWS}
    sides = [[f"{entry['text']}: {entry['shows'][side]}\n" for entry in requests] for side in (0, 1)]
    module.exit_json(
        changed=bool(requests),
        diff={"before": "".join(sides[0]), "after": "".join(sides[1])},
        **lists,
    )
