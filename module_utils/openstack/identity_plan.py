# SPDX-License-Identifier: Apache-2.0
"""What the identity service has, what it should have, and the requests between the two. No I/O."""

from __future__ import annotations

INTERFACES = ("public", "internal", "admin")
SHOWS = {"created": ("absent", "present"), "updated": ("differs", "as wanted"), "removed": ("present", "absent")}


class Ref:
    """Stands in a request for an id that is known, or that an earlier request will give."""

    def __init__(self, *key):
        self.key = key

    def __repr__(self):
        return f"<id of {' '.join(map(str, self.key))}>"


class Conflict(Exception):
    """The wanted and the existing objects cannot be brought together without a person."""


def resolved(value, ids):
    """The value with every Ref replaced by its id."""
    if isinstance(value, Ref):
        return ids[value.key]
    if isinstance(value, dict):
        return {key: resolved(item, ids) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved(item, ids) for item in value]
    return value


def request(stage, change, text, method, path, body=None, gives=None, shows=None):
    """One request: its stage (equal ones go side by side), what it changes, which id it gives, (before, after)."""
    return {
        "stage": stage,
        "change": change,
        "text": text,
        "method": method,
        "path": path,
        "body": body,
        "gives": gives,
        "shows": shows or SHOWS[change],
    }


def shown(found, update):
    """(before, after) of an update for a person, without passwords."""
    before, after = [], []
    for key, value in sorted(update.items()):
        secret = key == "password"
        before.append("another password" if secret else f"{key} {found.get(key)}")
        after.append("the wanted password" if secret else f"{key} {value}")
    return ", ".join(before), ", ".join(after)


def empty():
    """The state of a cloud whose identity service is not there yet."""
    return {"ids": {}, "projects": {}, "users": {}, "services": [], "endpoints": []}


def plan(params, state, predict=False):
    """Every request that is needed, in order of their stages.

    state: ids {(kind, name, ...): id}; projects {(name, domain): project}; services, endpoints: lists as the API gives
    them; users {(name, domain): {id, enabled, password (bool), roles (set of names on the project)}}.
    predict: the state of a cloud that does not exist is being planned, so nothing can be told to be unknown.
    """
    requests = [
        *projects(params["projects"], state),
        *roles(params["roles"], state),
        *users(params["users"], state),
        *grants(params, state, predict),
        *services(params["services"], params["region"], state),
    ]
    return sorted(requests, key=lambda entry: entry["stage"])


def projects(wanted, state):
    """Requests for projects."""
    for project in wanted:
        key = (project["name"], project["domain"])
        found = state["projects"].get(key)
        text = f"project {project['name']}"
        if found is None:
            body = {"name": project["name"], "domain_id": Ref("domain", project["domain"])}
            body["description"] = project["description"] or ""
            yield request(0, "created", text, "POST", ["projects"], {"project": body}, ("project", *key))
            continue
        update = differing(found, {"description": project["description"], "enabled": True})
        if update:
            path = ["projects", found["id"]]
            yield request(0, "updated", text, "PATCH", path, {"project": update}, shows=shown(found, update))


def roles(wanted, state):
    """Requests for roles."""
    for name in wanted:
        if ("role", name) not in state["ids"]:
            yield request(0, "created", f"role {name}", "POST", ["roles"], {"role": {"name": name}}, ("role", name))


def users(wanted, state):
    """Requests for users and their passwords."""
    for user in wanted:
        key = (user["name"], user["domain"])
        found = state["users"].get(key)
        if found is None:
            body = {"name": user["name"], "domain_id": Ref("domain", user["domain"]), "password": user["password"]}
            text = f"user {user['name']}"
            yield request(1, "created", text, "POST", ["users"], {"user": body}, ("user", *key))
            continue
        update = {} if found["password"] else {"password": user["password"]}
        if not found["enabled"]:
            update["enabled"] = True
        if update:
            text = f"user {user['name']}: {' and '.join(sorted(update))}"
            path = ["users", found["id"]]
            yield request(1, "updated", text, "PATCH", path, {"user": update}, shows=shown(found, update))


def grants(params, state, predict):
    """Requests for roles of users on projects."""
    known = set(params["roles"]) | {key[1] for key in state["ids"] if key[0] == "role"}
    for user in params["users"]:
        if user["roles"] and not user["project"]:
            raise Conflict(f"user {user['name']} has roles, but no project to have them on; name its project")
        key = (user["name"], user["domain"])
        has = state["users"].get(key, {}).get("roles", set())
        for role in user["roles"]:
            if role in has:
                continue
            if role not in known and not predict:
                raise Conflict(f"role '{role}' of user {user['name']} does not exist; add it to 'roles'")
            project = Ref("project", user["project"], user["project_domain"])
            path = ["projects", project, "users", Ref("user", *key), "roles", Ref("role", role)]
            yield request(2, "created", f"role {role} of {user['name']} on {user['project']}", "PUT", path)


def services(wanted, region, state):
    """Requests for services and their endpoints."""
    for service in wanted:
        kind = service["type"]
        found = existing_service(service, state["services"])
        if found is None:
            body = {"type": kind, "name": service["name"], "description": service["description"] or ""}
            text = f"service {service['name']}"
            yield request(2, "created", text, "POST", ["services"], {"service": body}, ("service", kind))
        else:
            attributes = {"name": service["name"], "description": service["description"], "enabled": True}
            update = differing(found, attributes)
            if update:
                text = f"service {service['name']}: {' and '.join(sorted(update))}"
                path = ["services", found["id"]]
                yield request(2, "updated", text, "PATCH", path, {"service": update}, shows=shown(found, update))
        for interface in INTERFACES:
            url = service["endpoints"].get(interface)
            if url:
                yield from endpoint(service, found, interface, url, region, state["endpoints"])


def existing_service(service, present):
    """The service of the wanted type; of several, the one that has its name too."""
    found = [entry for entry in present if entry["type"] == service["type"]]
    if len(found) > 1:
        found = [entry for entry in found if entry.get("name") == service["name"]] or found
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} services have the type '{service['type']}': {', '.join(entry['id'] for entry in found)}; "
            "delete all but one (openstack service delete ID)"
        )
    return found[0] if found else None


def endpoint(service, found, interface, url, region, present):
    """Requests for one endpoint; exact duplicates of it are removed."""
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
    update = differing(same[0], {"url": url, "enabled": True})
    if update:
        path = ["endpoints", same[0]["id"]]
        yield request(3, "updated", text, "PATCH", path, {"endpoint": update}, shows=shown(same[0], update))
    for duplicate in same[1:]:
        yield request(
            3, "removed", f"duplicate of {text}: {duplicate['url']}", "DELETE", ["endpoints", duplicate["id"]]
        )


def differing(found, attributes):
    """The wanted attributes that differ; None = not asked for."""
    default = {"description": "", "enabled": True}
    return {
        key: value
        for key, value in attributes.items()
        if value is not None and (found.get(key) if found.get(key) is not None else default.get(key)) != value
    }
