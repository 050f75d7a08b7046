# SPDX-License-Identifier: Apache-2.0
"""openstack_identity with a stand-in for Keystone that keeps users, roles and requests."""

from __future__ import annotations

import pytest
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.openstack.session import Token
from ansible.module_utils.stages import openstack_identity

ADMIN = {"auth_url": "http://10.0.0.1:5000", "username": "admin", "password": "new-s3cret", "project_name": "admin"}
NOVA = {"name": "nova", "password": "nova-s3cret", "project": "service", "roles": ["admin", "service"]}


class Keystone:
    """A Keystone with the users admin and nova, and the role admin of nova on the project service."""

    def __init__(self):
        self.passwords = {"admin": "new-s3cret", "nova": "nova-s3cret"}
        self.granted, self.requests, self.token = ["r-admin"], [], None
        self.collections = {
            "domains": [{"id": "default", "name": "Default"}],
            "roles": [{"id": "r-admin", "name": "admin"}, {"id": "r-service", "name": "service"}],
            "projects": [{"id": "p-service", "name": "service", "domain_id": "default", "enabled": True}],
            "services": [],
            "endpoints": [],
        }

    def authenticate(self, user, password, domain, project=None, project_domain=None):
        if self.passwords.get(user) != password:
            raise HttpError("POST /auth/tokens -> 401 no", 401)
        roles = [{"name": role[2:]} for role in self.granted] if project else []
        return Token(f"token-of-{user}", {"user": {"id": f"u-{user}"}, "roles": roles})

    def get(self, collection, **query):
        assert self.token == "token-of-admin"
        if collection == "users":
            return [{"id": "u-nova", "enabled": True}] if query["name"] in self.passwords else []
        if collection == "role_assignments":
            assert query == {"user.id": "u-nova", "scope.project.id": "p-service"}
            return [{"role": {"id": role}} for role in self.granted]
        return self.collections[collection]

    def call(self, method, path, body=None):
        self.requests.append((method, "/".join(path), body))
        return {}, {"object": {"id": f"new-{path[-1]}"}}


@pytest.fixture
def keystone(monkeypatch):
    """Return the stand-in."""
    made = Keystone()
    monkeypatch.setattr(openstack_identity, "Identity", lambda *_arguments: made)
    return made


def reconcile(run_module, check=False, **auth):
    arguments = {"auth": {**ADMIN, **auth}, "projects": [{"name": "service"}], "users": [NOVA]}
    result = run_module("openstack_identity", arguments, check=check)
    assert not result.get("failed") and "s3cret" not in str(result)
    return result


GRANT = ("PUT", "projects/p-service/users/u-nova/roles/r-service", None)


def test_only_what_is_missing_is_sent(run_module, keystone):
    result = reconcile(run_module)
    assert keystone.requests == [GRANT]
    assert (result["created"], result["updated"]) == (["role service of nova on service"], [])
    keystone.granted.append("r-service")
    assert not reconcile(run_module)["changed"]


def test_a_user_with_another_password_gets_the_wanted_one_and_keeps_its_roles(run_module, keystone):
    keystone.passwords["nova"] = "old"
    assert reconcile(run_module)["updated"] == ["user nova: password"]
    assert keystone.requests == [("PATCH", "users/u-nova", {"user": {"password": "nova-s3cret"}}), GRANT]


def test_a_missing_user_is_created_before_its_roles_are_granted(run_module, keystone):
    del keystone.passwords["nova"]
    assert reconcile(run_module)["created"] == ["user nova", *(f"role {r} of nova on service" for r in NOVA["roles"])]
    assert keystone.requests[0][:2] == ("POST", "users")
    paths = {path for _method, path, _body in keystone.requests[1:]}
    assert paths == {f"projects/p-service/users/new-users/roles/r-{role}" for role in ("admin", "service")}


@pytest.mark.parametrize("check", [True, False])
def test_a_previous_password_is_replaced_last(run_module, keystone, check):
    keystone.passwords["admin"] = "old-s3cret"
    result = reconcile(run_module, check=check, previous_password="old-s3cret")
    assert result["updated"] == ["user admin: password"]
    sent = [GRANT, ("PATCH", "users/u-admin", {"user": {"password": "new-s3cret"}})]
    assert keystone.requests == ([] if check else sent)


def test_a_domain_that_does_not_exist_is_named(run_module, keystone):
    arguments = {"auth": ADMIN, "projects": [{"name": "service", "domain": "elsewhere"}]}
    assert "domain 'elsewhere' of service does not exist" in run_module("openstack_identity", arguments)["msg"]
