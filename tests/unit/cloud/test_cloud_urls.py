# SPDX-License-Identifier: Apache-2.0
"""URLs and option values of the filters: each reader gets the original password, whatever its characters."""

from __future__ import annotations

import re
import string
from urllib.parse import parse_qsl, quote, unquote, urlparse, urlsplit

import pytest
from ansible.module_utils.cloud import urls
from ansible.module_utils.cloud.model import GROUPS, cloud_model
from ansible.module_utils.database import sql_url

PASSWORDS = ["plain", "@:/#%+=$?", "a b", '"quoted"', "it's", "%41", "[x]{y}", "a,b;c", "é€", "\\$x$$", "!*()~"]
ADDRESSES = {
    "one": ["10.0.0.1"],
    "one of IPv6": ["fd00::1"],
    "three": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    "three of IPv6": ["fd00::1", "fd00::2", "fd00::3"],
}


def make(addresses: list[str], **more) -> dict:
    """Return the model of a cloud whose groups all have the same hosts."""
    hosts = [f"host{number}" for number, _ in enumerate(addresses)]
    groups = {name: hosts for name in GROUPS}
    options = {"release": {}, "region": "RegionOne", "groups": groups, "addresses": dict(zip(hosts, addresses))}
    return cloud_model(**{**options, **more})


class Oslo(string.Template):
    """Expand a text as oslo.config does."""

    idpattern = r"[_a-z][\._a-z0-9]*"


def read_by_oslo(line: str) -> str:
    """Return the value that oslo.config (iniparser, then ConfigOpts._substitute) reads after the equals sign."""
    value = line.rstrip().strip()
    if value and value[0] == value[-1] and value.startswith(('"', "'")):
        value = value[1:-1]
    return Oslo(value.replace(r"\$", "$$")).substitute({})


@pytest.mark.parametrize(
    "text", [*PASSWORDS, "", '"', "'", " a", "a\t", "'a'", '"a', "$", "$$", "\\$", "\\$$", "\\\\$"]
)
def test_oslo_config_reads_the_original_text(text):
    assert read_by_oslo(urls.oslo_value(text)) == text


def test_a_plain_text_is_written_unchanged():
    assert urls.oslo_value("s3cr3t%@") == "s3cr3t%@"
    assert urls.oslo_value("a$b") == "a$$b"


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("addresses", ADDRESSES.values(), ids=ADDRESSES)
def test_a_database_url_is_read_back(addresses, password):
    url = urls.database_url(make(addresses), "no@va", password, "nova_api")
    parts = urlparse(url)
    assert (unquote(parts.username), unquote(parts.password)) == ("no@va", password)
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == ("mysql+pymysql", addresses[0], 3306, "/nova_api")
    found = sql_url.parse(url)
    assert (found["user"], found["password"], found["host"]) == ("no@va", password, addresses[0])
    assert read_by_oslo(url) == url


def test_a_database_url_names_the_authority_with_tls():
    url = urls.database_url(make(["10.0.0.1"], tls={"ca_file": "/etc/ssl/own ca.pem"}), "nova", "x", "nova")
    assert url == "mysql+pymysql://nova:x@10.0.0.1:3306/nova?ssl_ca=/etc/ssl/own%20ca.pem"
    assert sql_url.parse(url)["ssl"] == {"ca": "/etc/ssl/own ca.pem"}


def parse_hosts(url: str) -> list[tuple]:
    """Return user, password, host and port of each RabbitMQ host, split as oslo.messaging splits them."""
    found = []
    for part in urlparse(url).netloc.split(","):
        one = urlparse(f"rabbit://{part}")
        found.append((unquote(one.username), unquote(one.password), one.hostname, one.port))
    return found


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("addresses", ADDRESSES.values(), ids=ADDRESSES)
def test_a_transport_url_has_the_account_at_each_host(addresses, password):
    url = urls.transport_url(make(addresses), "nova", password)
    assert parse_hosts(url) == [("nova", urls.rabbitmq_password(password), address, 5672) for address in addresses]
    assert urlparse(url).path == "/"
    assert read_by_oslo(url) == url


@pytest.mark.parametrize(("vhost", "path"), [("/", "/"), ("nova", "/nova"), ("/a/b", "/%2Fa%2Fb")])
def test_a_virtual_host_is_the_path_of_a_transport_url(vhost, path):
    cloud = make(["10.0.0.1"])
    cloud["messaging"]["nova"]["vhost"] = vhost
    assert urlparse(urls.transport_url(cloud, "nova", "x")).path == path


EXTERNAL = {
    "rabbitmq": {"address": "192.0.2.5", "port": 5673, "user": "guest", "password": "theirs@1", "vhost": "/"},
    "keystone": {"url": "http://192.0.2.5:5000/", "admin_user": "root", "admin_password": "theirs 2"},
    "neutron": {
        "url": "http://192.0.2.6:9696",
        "metadata_secret": "s",
        "messaging": {"address": "192.0.2.6", "port": 5672, "user": "net", "password": "theirs/3", "vhost": "net"},
    },
}


def make_external() -> dict:
    """Return the model of a cloud whose queue, identity service and network service are external."""
    groups = {name: ["a"] for name in GROUPS if name not in EXTERNAL}
    return cloud_model(release={}, region="R", groups=groups, addresses={"a": "10.0.0.1"}, external=EXTERNAL)


def test_the_password_of_an_external_account_wins():
    cloud = make_external()
    assert urls.transport_url(cloud, "nova", "ours", EXTERNAL) == "rabbit://guest:theirs%401@192.0.2.5:5673/"
    assert urls.transport_url(cloud, "neutron", "ours", EXTERNAL) == "rabbit://net:theirs%2F3@192.0.2.6:5672/net"
    assert urls.messaging_account(cloud, "neutron", "ours", EXTERNAL) == EXTERNAL["neutron"]["messaging"]
    assert urls.admin_auth(cloud, "ours", EXTERNAL) == {
        "auth_url": "http://192.0.2.5:5000/v3",
        "username": "root",
        "password": "theirs 2",
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }


def test_an_external_account_of_a_deployed_service_is_not_read():
    cloud = make(["10.0.0.1"], external=EXTERNAL)
    assert urls.transport_url(cloud, "nova", "ours", EXTERNAL) == "rabbit://nova:ours@10.0.0.1:5672/"
    assert urls.admin_auth(cloud, "ours", EXTERNAL)["password"] == "ours"


def test_a_missing_external_password_is_reported():
    with pytest.raises(ValueError, match=r"cloud_external\.neutron\.messaging\.password is missing"):
        urls.transport_url(make_external(), "neutron", "ours", {})


def test_a_service_without_a_queue_is_reported():
    cloud = make_external()
    cloud["messaging"]["neutron"] = None
    with pytest.raises(ValueError, match="neutron has no message queue"):
        urls.messaging_account(cloud, "neutron", "ours", EXTERNAL)


def test_a_service_logs_in_with_the_options_of_keystoneauth():
    cloud = make(["fd00::1"], tls={"ca_file": "/etc/ssl/ca.pem"})
    assert urls.auth_options(cloud, "nova", "a$b") == {
        "auth_type": "password",
        "auth_url": "https://[fd00::1]:5000",
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "username": "nova",
        "password": "a$$b",
        "region_name": "RegionOne",
        "cafile": "/etc/ssl/ca.pem",
    }
    token = urls.authtoken_options(cloud, "nova", "a$b")
    assert {key: token[key] for key in token if key not in urls.auth_options(cloud, "nova", "a$b")} == {
        "www_authenticate_uri": "https://[fd00::1]:5000",
        "memcached_servers": "inet6:[fd00::1]:11211",
        "service_token_roles": "service",
        "service_token_roles_required": True,
    }


def filled_by_nova(template: str, url: str) -> str:
    """Return a cell template as nova/objects/cell_mapping.py fills it, with its extra colon at the port of IPv6."""
    parts = urlparse(url)
    known = {name: getattr(parts, name) for name in ("username", "password", "hostname", "port", "scheme", "query")}
    known["path"] = parts.path.lstrip("/")
    if "," in parts.netloc:
        for number, netloc in enumerate(parts.netloc.split(","), 1):
            user, place = netloc.split("@")
            name, password = user.split(":")
            host, port = re.fullmatch(r"\[(.*)\](.*)", place).groups() if place[0] == "[" else place.split(":")
            each = {"username": name, "password": password, "hostname": host, "port": port}
            known.update({f"{key}{number}": value for key, value in each.items()})
    return template.format(**known)


@pytest.mark.parametrize("tls", [None, {"ca_file": "/etc/ssl/ca.pem"}], ids=["plain", "TLS"])
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("addresses", ADDRESSES.values(), ids=ADDRESSES)
def test_nova_fills_the_cell_templates_with_the_urls_of_its_own_file(addresses, password, tls):
    cloud = make(addresses, tls=tls)
    templates = urls.cell_templates(cloud)
    transport = urls.transport_url(cloud, "nova", password)
    assert filled_by_nova(templates["transport"], transport) == transport
    own = urls.database_url(cloud, "nova", password, "nova")
    assert filled_by_nova(templates["database"], own) == own
    assert filled_by_nova(templates["cell0"], own) == urls.database_url(cloud, "nova", password, "nova_cell0")


def test_the_cell_templates_of_the_simplest_cloud_did_not_change():
    assert urls.cell_templates(make(["10.0.0.1"])) == {
        "cell0": "{scheme}://{username}:{password}@{hostname}:{port}/nova_cell0",
        "database": "{scheme}://{username}:{password}@{hostname}:{port}/nova",
        "transport": "{scheme}://{username}:{password}@{hostname}:{port}/{path}",
    }


def test_an_ipv6_address_gets_brackets_once():
    assert urls.host_port("fd00::1", 80) == urls.host_port("[fd00::1]", "80") == "[fd00::1]:80"
    assert urls.host_port("controller.example", 80) == "controller.example:80"


@pytest.mark.parametrize("password", ["plain", "with/slash", "a/b@c:d%e/"])
def test_a_password_of_rabbitmq_survives_the_url_of_oslo_messaging(password):
    """oslo.messaging unquotes the password of its URL, and quotes it again for kombu, but not a slash."""
    account = urls.rabbitmq_password(password)
    cloud = {"messaging": {"nova": {"hosts": [{"host": "fd00::1", "port": 5672}], "vhost": "/", "user": "nova",
                                    "external": False, "account": []}}}  # fmt: skip
    given = unquote(urlsplit(urls.transport_url(cloud, "nova", password)).password)
    assert given == account
    for_kombu = urlsplit(f"amqp://nova:{quote(given)}@[fd00::1]:5672/")
    assert (unquote(for_kombu.password), for_kombu.port) == (account, 5672)


def test_the_database_url_of_keystone_has_no_percent_sign():
    cloud = {"database": {"host": "fd00::1", "port": 3306, "external": False}, "ca_file": None}
    options = urls.database_options(cloud, "keystone", "a%b@c/d", "keystone")
    assert "%" not in options["connection"]
    assert dict(parse_qsl(options["connection_parameters"])) == {"password": "a%b@c/d"}
