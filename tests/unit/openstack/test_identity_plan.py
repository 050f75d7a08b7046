# SPDX-License-Identifier: Apache-2.0
"""The requests to Keystone for each difference."""

from __future__ import annotations

import pytest
from ansible.module_utils.openstack import identity_plan
from ansible.module_utils.openstack.identity_plan import FoundUser

URL = "http://10.0.0.1:8774/v2.1"
WANTED = {
    "region": "RegionOne",
    "projects": [{"name": "service", "domain": "Default", "description": None}],
    "roles": ["service"],
    "users": [
        {
            "name": "nova",
            "password": "new",
            "domain": "Default",
            "project": "service",
            "project_domain": "Default",
            "roles": ["admin", "service"],
        }
    ],
    "services": [{"name": "nova", "type": "compute", "description": "Compute", "endpoints": {"public": URL}}],
}
ENDPOINT = {"id": "e1", "service_id": "s1", "interface": "public", "region_id": "RegionOne", "url": URL}
SERVICE = {"id": "s1", "type": "compute", "name": "nova", "description": "Compute", "enabled": True}


def complete(**changes):
    """Return the state of a Keystone that has all of WANTED, but for the changes."""
    state = identity_plan.State()
    state.ids = {
        ("domain", "Default"): "default",
        ("role", "admin"): "r1",
        ("role", "service"): "r2",
        ("project", "service", "Default"): "p1",
        ("user", "nova", "Default"): "u1",
    }
    state.projects = {("service", "Default"): {"id": "p1", "description": "anything", "enabled": True}}
    state.users = {("nova", "Default"): FoundUser("u1", True, True, frozenset({"admin", "service", "member"}))}
    state.services, state.endpoints = [SERVICE], [ENDPOINT]
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def with_user(**changes):
    """Return the complete state, but for changes of the user."""
    state = complete()
    state.users["nova", "Default"] = state.users["nova", "Default"]._replace(**changes)
    return state


def planned(state, wanted=WANTED):
    """Return change, method, resolved path and resolved body of each request."""
    ids = {**state.ids, ("service", "compute"): "NEW", ("project", "service", "Default"): "p1"}
    ids[("user", "nova", "Default")] = "u1"
    return [
        (
            entry.change,
            entry.method,
            "/".join(identity_plan.resolved(entry.path, ids)),
            identity_plan.resolved(entry.body, ids),
        )
        for entry in identity_plan.plan(wanted, state)
    ]


def test_a_complete_cloud_needs_no_request():
    assert planned(complete()) == []


def test_an_empty_cloud_is_built_in_the_order_of_dependencies():
    requests = identity_plan.plan(WANTED, identity_plan.State(), predict=True)
    assert [entry.text for entry in requests] == [
        "project service",
        "role service",
        "user nova",
        "role admin of nova on service",
        "role service of nova on service",
        "service nova",
        "public endpoint of nova",
    ]
    assert [entry.stage for entry in requests] == sorted(entry.stage for entry in requests)


@pytest.mark.parametrize(
    ("found", "body"),
    [
        ({"password": False}, {"password": "new"}),
        ({"enabled": False, "password": False}, {"password": "new", "enabled": True}),
    ],
)
def test_a_user_gets_only_what_differs(found, body):
    assert planned(with_user(**found)) == [("updated", "PATCH", "users/u1", {"user": body})]


def test_only_the_missing_role_is_given():
    assert planned(with_user(roles=frozenset({"admin"}))) == [("created", "PUT", "projects/p1/users/u1/roles/r2", None)]


def test_an_endpoint_that_moved_is_changed_in_place():
    state = complete(endpoints=[{**ENDPOINT, "url": "http://10.0.0.9:8774/v2.1"}])
    assert planned(state) == [("updated", "PATCH", "endpoints/e1", {"endpoint": {"url": URL}})]


def test_an_update_shows_both_sides_but_no_password():
    found = {"url": "http://old", "enabled": True}
    update = {"url": URL, "password": "s3cret"}
    assert identity_plan.both_sides(found, update) == (
        "another password, url http://old",
        f"the wanted password, url {URL}",
    )


def test_of_two_endpoints_the_right_one_stays():
    state = complete(endpoints=[{**ENDPOINT, "id": "e0", "url": "http://old"}, ENDPOINT])
    assert planned(state) == [("removed", "DELETE", "endpoints/e0", None)]


def test_an_endpoint_of_another_region_is_left_alone():
    state = complete(endpoints=[ENDPOINT, {**ENDPOINT, "id": "e0", "region_id": "RegionTwo", "url": "http://other"}])
    assert planned(state) == []


def test_a_service_without_endpoints_gets_them():
    body = {"service_id": "s1", "interface": "public", "url": URL, "region": "RegionOne"}
    assert planned(complete(endpoints=[])) == [("created", "POST", "endpoints", {"endpoint": body})]


def test_a_service_of_the_type_with_another_name_is_renamed_instead_of_doubled():
    state = complete(services=[{**SERVICE, "name": "compute"}])
    assert planned(state) == [("updated", "PATCH", "services/s1", {"service": {"name": "nova"}})]


def test_two_services_of_one_type_and_name_are_a_conflict_that_names_both():
    with pytest.raises(identity_plan.Conflict, match="s1, s2"):
        planned(complete(services=[SERVICE, {**SERVICE, "id": "s2"}]))


def test_a_role_that_does_not_exist_is_a_conflict():
    state = with_user(roles=frozenset())
    wanted = {**WANTED, "users": [{**WANTED["users"][0], "roles": ["operator"]}]}
    with pytest.raises(identity_plan.Conflict, match="'operator' of user nova"):
        planned(state, wanted)


def test_a_description_that_is_not_wanted_is_left_alone():
    state = complete()
    wanted = {**WANTED, "projects": [{**WANTED["projects"][0], "description": "Service users"}]}
    assert planned(state) == []
    assert planned(state, wanted) == [
        ("updated", "PATCH", "projects/p1", {"project": {"description": "Service users"}})
    ]
