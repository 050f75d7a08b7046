# SPDX-License-Identifier: Apache-2.0
"""A compute runs other people's guests: it must not hold the keys of the databases."""

from __future__ import annotations

testinfra_hosts = ["ansible://nova_computes"]
# Its own service account and message queue; on a platform of others, Nova's account there has the name they gave it.
ALLOWED = {
    "nova_service_password",
    "nova_messaging_password",
    "neutron_service_password",
    "neutron_messaging_password",
    "platform_messaging_password",
}


def test_a_compute_holds_no_credentials_but_its_own(host, words, secrets_in):
    found = secrets_in(words(host, "/etc /root /run /var/lib/nova /var/lib/neutron"))
    assert "nova_service_password" in found, "the search finds what is there"
    assert set(found) <= ALLOWED


def test_a_compute_names_no_database(host):
    for path in ("/etc/nova", "/etc/neutron"):
        assert host.run(f"grep --recursive --extended-regexp '^connection *=|mysql|sqlite' {path}").stdout == ""
