# SPDX-License-Identifier: Apache-2.0
"""The check of options: discovery through real entry points in child processes, and the result for each kind of option.

The catalog of an installed Nova is checked on the machines of the lab; here sys.path has a small distribution.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from ansible.module_utils.config import children, installed_options, option_catalog, option_check, option_index
from ansible.module_utils.config.types import FileToCheck
from ansible.module_utils.message import OperatorError

PACKAGE = '''
import os, sys

class Old:
    def __init__(self, name, group=None):
        self.name, self.group = name, group

class Opt:
    """The attributes of oslo.config's Opt that a catalog is made from."""
    def __init__(self, name, type=None, old=(), removal=False, reason=None, secret=False):
        self.name, self.dest, self.type = name, name.replace("-", "_"), type
        self.deprecated_opts, self.secret = [Old(*o) for o in old], secret
        self.deprecated_for_removal, self.deprecated_reason = removal, reason

class Group:
    name = "Neutron"

def boolean(text):
    if text not in ("true", "false"):
        raise ValueError(f"Unexpected boolean value '{text}'")

def nova():
    print("noise on standard output")
    os.write(1, b"more noise")
    return [
        (None, [Opt("my_ip"), Opt("debug", boolean), Opt("dash-ed"), Opt("enabled_backends")]),
        (Group(), [Opt("region_name", old=[("os_region", None), (None, "DEFAULT")])]),
        ("api", [Opt("token", boolean, secret=True)]),
        ("glance", [Opt("api_servers", removal=True, reason="use the\\n  other")]),
        ("placement", [Opt("auth_type"), Opt("auth_section"), Opt("timeout")]),
        ("devices", [Opt("enabled_mdev_types")]),
        ("privsep", [Opt("helper_command"), Opt("user")]),
        ("backend_defaults", [Opt("volume_driver")]),
    ]

def more():
    return [("agent", [Opt("root_helper")])]
'''
BROKEN = """
def broken():
    raise ImportError("No module named 'libvirt'")
"""
DEAD = """
def dies():
    __import__("os")._exit(9)

def sleeps():
    __import__("time").sleep(60)
"""
POINTS = """[oslo.config.opts]
nova.conf = fakenova:nova
nova.more = fakenova:more
broken.opts = fakebroken:broken
"""
# Values, and options that will be removed, are known only where the packages are installed.
ONLY_INSTALLED = [{"DEFAULT": {"debug": ["perhaps"]}}, {"api": {"token": ["hush"]}}, {"glance": {"api_servers": ["x"]}}]
PLUGINS = {"password": ["username", "password"], "v3token": ["token"]}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    for name, text in (("fakenova", PACKAGE), ("fakebroken", BROKEN)):
        (tmp_path / f"{name}.py").write_text(text)
    information = tmp_path / "fakenova-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fakenova\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("fakenova", None)


@pytest.fixture(params=["installed", "listed"])
def check(installed, request):
    """Return a function that checks options against the small distribution, and against a list made from it."""
    point = installed_options.entry_points()["nova.conf"]
    catalog = option_catalog.flatten(point.load()())
    definition = sys.modules["fakenova"].Opt
    source = SimpleNamespace(
        label="the installed release",
        catalog=catalog,
        plugins=lambda: sorted(PLUGINS),
        plugin_options=lambda name: [definition(option) for option in PLUGINS[name]] if name in PLUGINS else None,
    )
    if request.param == "listed":
        index = {"namespaces": {"nova.conf": {"sections": option_catalog.places(catalog)}}, "auth_plugins": PLUGINS}
        source = option_index.ListedOptions(index, "the installed release", ["nova.conf"])
    source.declaring = lambda *place: ["dhcp.agent"] if place == ("agent", "helper") else []

    def run(options):
        if request.param == "listed" and options in ONLY_INSTALLED:
            pytest.skip("a list knows names only")
        errors, deprecated = option_check.check_options(options, source)
        return [error.message for error in errors], deprecated

    return run


@pytest.mark.parametrize(
    "options",
    [
        {"DEFAULT": {"my_ip": ["10.0.0.1"], "debug": ["true"], "dash_ed": ["x"], "dash-ed": ["x"]}},
        {"DEFAULT": {"debug": ["$other"]}},
        {"neutron": {"region_name": ["r"]}, "NEUTRON": {"region_name": ["r"]}},
        {"placement": {"auth_type": ["password"], "username": ["u"], "password": ["p"], "timeout": ["1"]}},
        {"placement": {"auth_section": ["login"]}, "login": {"auth_type": ["v3token"], "token": ["t"]}},
        {"devices": {"enabled_mdev_types": ["nvidia-35, nvidia-36"]}, "mdev_nvidia-36": {"device_addresses": ["x"]}},
        {"privsep_osbrick": {"helper_command": ["x"]}, "vif_plug_ovs_privileged": {"user": ["x"]}},
        {"DEFAULT": {"enabled_backends": ["lvm, fast:rbd"]}, "fast": {"volume_driver": ["x"]}},
    ],
)
def test_known_options_are_accepted_also_those_that_are_registered_at_run_time(check, options):
    assert check(options) == ([], [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"DEFAULT": {"my_ipp": ["x"]}}, ["[DEFAULT] my_ipp is unknown", "nearest name is my_ip"]),
        ({"neutrom": {"region_name": ["x"]}}, ["section [neutrom] is unknown", "nearest name is neutron"]),
        ({"hyperv": {"x": ["x"]}}, ["section [hyperv] is unknown", "remove it"]),
        ({"api": {"region_name": ["x"]}}, ["[api] region_name is unknown", "it exists in [neutron]"]),
        ({"agent": {"helper": ["x"]}}, ["section [agent]", "namespace dhcp.agent, which `validate` does not name"]),
        ({"default": {"my_ip": ["x"]}}, ["section [default] is unknown"]),
        ({"DEFAULT": {"debug": ["perhaps"]}}, ["[DEFAULT] debug = perhaps is refused", "Unexpected boolean"]),
        ({"placement": {"username": ["x"]}}, ["[placement] username", "only with `auth_type`"]),
        ({"placement": {"auth_type": ["passwords"]}}, ["auth_type = passwords", "choose one of password, v3token"]),
        ({"placement": {"auth_type": ["v3token"], "username": ["x"]}}, ["[placement] username is unknown"]),
        ({"placement": {"auth_type": ["v3token"], "auth_section": ["login"]}, "login": {"x": ["t"]}}, ["[login]"]),
        ({"devices": {"enabled_mdev_types": ["a"]}, "mdev_b": {"mdev_class": ["x"]}}, ["section [mdev_b]"]),
        ({"DEFAULT": {"enabled_backends": ["lvm"]}, "rbd": {"volume_driver": ["x"]}}, ["section [rbd]"]),
    ],
)
def test_an_unknown_or_impossible_option_is_an_error_with_advice(check, options, words):
    errors, _deprecated = check(options)
    assert len(errors) == 1 and all(word in errors[0] for word in words), errors


def test_a_refused_value_of_a_secret_option_is_not_shown(check):
    assert check({"api": {"token": ["hush"]}}) == (
        ["[api] token has a value that the installed release refuses"],
        [],
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"neutron": {"os_region": ["r"]}}, "[neutron] os_region is an old name of [neutron] region_name"),
        ({"DEFAULT": {"region_name": ["r"]}}, "[DEFAULT] region_name is an old name of [neutron] region_name"),
        ({"glance": {"api_servers": ["x"]}}, "[glance] api_servers will be removed: use the other"),
    ],
)
def test_a_deprecated_option_is_accepted_and_reported(check, options, text):
    assert check(options) == ([], [text])


@pytest.fixture
def keystoneauth(installed, tmp_path):
    """Install two plugins of keystoneauth, one of them with options."""
    package = tmp_path / "keystoneauth1"
    package.mkdir()
    (package / "__init__.py").write_text("class exceptions:\n    NoMatchingPlugin = KeyError\n")
    (package / "loading.py").write_text(
        "from fakenova import Opt\n"
        "get_available_plugin_names = lambda: {'password', 'none'}\n"
        "get_auth_plugin_conf_options = lambda name: [Opt('user-name', old=[('user', None)])] * (name == 'password')\n"
    )


def test_all_installed_options_are_listed(keystoneauth):
    listed = installed_options.list_options([["nova.conf"], ["nova.*"]])
    assert listed.auth_plugins == {"none": [], "password": ["user", "user-name"]}
    assert sorted(listed.namespaces) == ["nova.conf", "nova.more"]
    assert listed.namespaces["nova.more"] == {"agent": {"root_helper": ""}}
    sections = listed.namespaces["nova.conf"]
    assert sections["neutron"] == {"region_name": "", "os_region": "[neutron] region_name"}
    assert sections["DEFAULT"]["region_name"] == "[neutron] region_name"
    assert "dash-ed" in sections["DEFAULT"] and "dash_ed" not in sections["DEFAULT"]
    assert "fakenova" not in sys.modules, "nothing is imported here"


DPKG_QUERY = """#!/bin/sh
case "$*" in
  "--search {directory}") echo "python3-nova: $2" ;;
  "--show --showformat=\\${{Version}} python3-nova") printf 3:31.0.0-5 ;;
  *) echo "no path found matching pattern $2" >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize("owned", [True, False])
def test_the_exported_list_names_the_packages(keystoneauth, run_module, tmp_path, monkeypatch, owned):
    program = tmp_path / "bin/dpkg-query"
    program.parent.mkdir()
    program.write_text(DPKG_QUERY.format(directory=tmp_path / "fakenova-1.0.dist-info" if owned else "/other"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    result = run_module("option_export", {"namespaces": [["nova.more"]]})
    if owned:
        sections = {"agent": {"root_helper": ""}}
        assert result["options"] == {
            "packages": {"python3-nova": "3:31.0.0-5"},
            "namespaces": {"nova.more": {"package": "python3-nova", "sections": sections}},
            "auth_plugins": {"none": [], "password": ["user", "user-name"]},
        }
    else:
        assert result["failed"] and "dpkg-query --search" in result["msg"] and "no path found" in result["msg"]


def test_a_list_is_complete_or_an_error(installed):
    with pytest.raises(OperatorError) as error:
        installed_options.list_options([["nova.conf", "no.such"], ["broken.opts"]])
    errors = str(error.value)
    assert "no installed package declares the namespace no.such" in errors
    assert "the options of broken.opts cannot be listed" in errors and "No module named 'libvirt'" in errors
    assert "the options of the plugins of keystoneauth cannot be listed" in errors


def test_files_are_checked_in_child_processes_without_side_effects(installed, capfd):
    files = [
        FileToCheck("/good", {"DEFAULT": {"my_ip": ["x"]}}, ["nova.conf"]),
        FileToCheck("/bad", {"DEFAULT": {"my_iq": ["x"]}}, ["nova.conf"]),
        FileToCheck("/unnamed", {"agent": {"root_helper": ["x"]}}, ["nova.conf"]),
        FileToCheck("/pattern", {"agent": {"root_helper": ["x"]}}, ["nova.*"]),
        FileToCheck("/later", {}, ["nova.conf", "no.such"]),
        FileToCheck("/broken", {}, ["broken.opts"]),
        FileToCheck("/none", {}, ["glance.*"]),
    ]
    report = installed_options.check_files(files)
    assert report.missing == {"/later": ["no.such"], "/none": ["glance.*"]}
    assert report.deprecated == []
    assert len(report.errors) == 3
    assert report.errors[0].startswith("/bad: [DEFAULT] my_iq is unknown")
    assert "the nearest name is my_ip" in report.errors[0]
    assert "namespace nova.more, which `validate` does not name, declares it" in report.errors[1]
    assert "/broken cannot be checked: namespace broken.opts" in report.errors[2]
    assert "No module named 'libvirt'" in report.errors[2]
    assert "fakenova" not in sys.modules, "nothing is imported here"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        ("dies.opts", "/one cannot be checked: the process died without a result"),
        ("sleeps.opts", "/one cannot be checked: no result after 0.5 s"),
    ],
)
def test_a_child_process_that_dies_or_hangs_is_an_error(tmp_path, monkeypatch, namespace, words):
    information = tmp_path / "fakedead-1.0.dist-info"
    information.mkdir()
    (tmp_path / "fakedead.py").write_text(DEAD)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fakedead\nVersion: 1.0\n")
    points = "[oslo.config.opts]\ndies.opts = fakedead:dies\nsleeps.opts = fakedead:sleeps\n"
    (information / "entry_points.txt").write_text(points)
    monkeypatch.setattr(children, "TIMEOUT", 0.5 if "sleeps" in namespace else 60)
    monkeypatch.syspath_prepend(str(tmp_path))
    report = installed_options.check_files([FileToCheck("/one", {}, [namespace])])
    assert len(report.errors) == 1 and words in report.errors[0]


def one_layer(options):
    return [{"name": "test", "source": "here", "options": options}]


def test_a_wrong_option_in_one_file_keeps_every_file_from_being_written(installed, run_module, tmp_path):
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    files = [
        {"path": str(good), "layers": one_layer({"DEFAULT": {"a": 1}})},
        {"path": str(bad), "layers": one_layer({"DEFAULT": {"my_iq": 1}}), "validate": ["nova.conf"]},
    ]
    result = run_module("config_files", {"files": files})
    assert result["failed"] and f"{bad}: [DEFAULT] my_iq" in result["msg"]
    assert not good.exists() and not bad.exists()
    files[1]["layers"] = one_layer({"DEFAULT": {"my_ip": 1}, "neutron": {"os_region": "r"}})
    result = run_module("config_files", {"files": files})
    assert result["validated"] == [str(bad)] and "old name" in result["deprecated"][0]
    assert run_module("config_files", {"files": files})["validated"] == [], "unchanged files cost nothing"
    assert run_module("config_files", {"files": files, "validate_unchanged": True})["validated"] == [str(bad)]


def test_a_namespace_that_is_not_installed_is_an_error_in_a_run(installed, run_module, tmp_path):
    files = [{"path": str(tmp_path / "a"), "layers": one_layer({"DEFAULT": {"a": 1}}), "validate": ["neutron.ml2"]}]
    result = run_module("config_files", {"files": files})
    assert result["failed"] and "namespace neutron.ml2" in result["msg"] and "install the package" in result["msg"]
    assert not (tmp_path / "a").exists()
