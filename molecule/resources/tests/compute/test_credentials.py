# SPDX-License-Identifier: Apache-2.0
"""A compute runs the instances of users: it must not have the credentials of the databases."""

from __future__ import annotations

testinfra_hosts = ["ansible://nova_computes"]
# Its service account and message queue; on an external platform, the account has another name.
ALLOWED = {
    "nova_service_password",
    "nova_messaging_password",
    "neutron_service_password",
    "neutron_messaging_password",
    "platform_messaging_password",
}


def test_a_compute_holds_no_credentials_but_its_own(host, words, secrets_in):
    found = secrets_in(words(host, "/etc /root /run /var/lib/nova /var/lib/neutron"))
    assert "nova_service_password" in found, "the search finds the secrets that are there"
    assert set(found) <= ALLOWED


def test_a_compute_names_no_database(host):
    for path in ("/etc/nova", "/etc/neutron"):
        assert host.run(f"grep --recursive --extended-regexp '^connection *=|mysql|sqlite' {path}").stdout == ""
