# SPDX-License-Identifier: Apache-2.0
"""What is asked of Keystone for each difference."""

from __future__ import annotations

import pytest
from ansible.module_utils.openstack import identity_plan

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
    """The state of a cloud where WANTED is there, but for the changes."""
    state = {
        "ids": {
            ("domain", "Default"): "default",
            ("role", "admin"): "r1",
            ("role", "service"): "r2",
            ("project", "service", "Default"): "p1",
            ("user", "nova", "Default"): "u1",
        },
        "projects": {("service", "Default"): {"id": "p1", "description": "anything", "enabled": True}},
        "users": {
            ("nova", "Default"): {
                "id": "u1",
                "enabled": True,
                "password": True,
                "roles": {"admin", "service", "member"},
            }
        },
        "services": [SERVICE],
        "endpoints": [ENDPOINT],
    }
    return {**state, **changes}


def asked(state, wanted=WANTED):
    """(change, method, resolved path, resolved body) of each request."""
    ids = {**state["ids"], ("service", "compute"): "NEW", ("project", "service", "Default"): "p1"}
    ids[("user", "nova", "Default")] = "u1"
    return [
        (
            entry["change"],
            entry["method"],
            "/".join(identity_plan.resolved(entry["path"], ids)),
            identity_plan.resolved(entry["body"], ids),
        )
        for entry in identity_plan.plan(wanted, state)
    ]


def test_a_complete_cloud_is_asked_nothing():
    assert asked(complete()) == []


def test_an_empty_cloud_is_built_from_the_bottom():
    requests = identity_plan.plan(WANTED, identity_plan.empty(), predict=True)
    assert [entry["text"] for entry in requests] == [
        "project service",
        "role service",
        "user nova",
        "role admin of nova on service",
        "role service of nova on service",
        "service nova",
        "public endpoint of nova",
    ]
    assert [entry["stage"] for entry in requests] == sorted(entry["stage"] for entry in requests)


@pytest.mark.parametrize(
    ("found", "body"),
    [
        ({"password": False}, {"password": "new"}),
        ({"enabled": False, "password": False}, {"password": "new", "enabled": True}),
    ],
)
def test_a_user_gets_only_what_differs(found, body):
    state = complete()
    state["users"][("nova", "Default")].update(found)
    assert asked(state) == [("updated", "PATCH", "users/u1", {"user": body})]


def test_only_the_missing_role_is_given():
    state = complete()
    state["users"][("nova", "Default")]["roles"] = {"admin"}
    assert asked(state) == [("created", "PUT", "projects/p1/users/u1/roles/r2", None)]


def test_an_endpoint_that_moved_is_changed_in_place():
    state = complete(endpoints=[{**ENDPOINT, "url": "http://10.0.0.9:8774/v2.1"}])
    assert asked(state) == [("updated", "PATCH", "endpoints/e1", {"endpoint": {"url": URL}})]


def test_an_update_shows_both_sides_but_no_password():
    found = {"url": "http://old", "enabled": True}
    update = {"url": URL, "password": "s3cret"}
    assert identity_plan.shown(found, update) == (
        "another password, url http://old",
        f"the wanted password, url {URL}",
    )


def test_of_two_endpoints_the_right_one_stays():
    state = complete(endpoints=[{**ENDPOINT, "id": "e0", "url": "http://old"}, ENDPOINT])
    assert asked(state) == [("removed", "DELETE", "endpoints/e0", None)]


def test_an_endpoint_of_another_region_is_none_of_ours():
    state = complete(endpoints=[ENDPOINT, {**ENDPOINT, "id": "e0", "region_id": "RegionTwo", "url": "http://other"}])
    assert asked(state) == []


def test_a_service_without_endpoints_gets_them():
    body = {"service_id": "s1", "interface": "public", "url": URL, "region": "RegionOne"}
    assert asked(complete(endpoints=[])) == [("created", "POST", "endpoints", {"endpoint": body})]


def test_a_service_of_the_type_with_another_name_is_renamed_instead_of_doubled():
    state = complete(services=[{**SERVICE, "name": "compute"}])
    assert asked(state) == [("updated", "PATCH", "services/s1", {"service": {"name": "nova"}})]


def test_two_services_of_one_type_and_name_are_a_conflict_that_names_both():
    with pytest.raises(identity_plan.Conflict, match="s1, s2"):
        asked(complete(services=[SERVICE, {**SERVICE, "id": "s2"}]))


def test_a_role_that_nobody_creates_is_a_conflict():
    state = complete()
    state["users"][("nova", "Default")]["roles"] = set()
    wanted = {**WANTED, "users": [{**WANTED["users"][0], "roles": ["operator"]}]}
    with pytest.raises(identity_plan.Conflict, match="'operator' of user nova"):
        asked(state, wanted)


def test_a_description_that_is_not_asked_for_is_left_alone():
    state = complete()
    wanted = {**WANTED, "projects": [{**WANTED["projects"][0], "description": "Service users"}]}
    assert asked(state) == []
    assert asked(state, wanted) == [("updated", "PATCH", "projects/p1", {"project": {"description": "Service users"}})]
