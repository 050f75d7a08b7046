# SPDX-License-Identifier: Apache-2.0
"""Where an option comes from: value, layer, source and overridden values, by host, without secrets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import project
import pytest
import yaml
from ansible.module_utils.config.explain import explain

SECRET = "Zw3rgenaufstand"


def layer(name, options):
    return {"name": name, "source": f"{name}.yml:7", "options": options}


def plan(address, *more):
    """Return a plan with files of many kinds, and more layers of nova.conf."""
    base = {
        "DEFAULT": {"debug": False, "transport_url": f"rabbit://nova:{SECRET}@10.0.0.1"},
        "vnc": {"server_listen": "0.0.0.0", "gone": 1},
        "conductor": {"workers": {"from_host": "cpus", "divide_by": 2, "min": 1}},
        "keystone_authtoken": {"password": "unnamed4711x", "note": f"x {SECRET}"},
        "pci": {"alias": ["a", "b"]},
    }
    return {
        "host": "ignored",
        "files": [
            {"path": "/etc/nova/nova.conf", "layers": [layer("nova", base), layer("address", address), *more]},
            {"path": "/etc/nova", "state": "directory"},
            {"path": "/etc/memcached.conf", "format": "flags", "layers": [layer("memcached", {"-m": 64})]},
            {"path": "/etc/nova/policy.yaml", "format": "yaml", "layers": [], "optional": True},
            {
                "path": "/etc/openstack/clouds.yaml",
                "format": "yaml",
                "layers": [layer("client", {"clouds": {"default": {"auth": {"password": "unnamed4711x"}}}})],
            },
            {"path": "/etc/nova/api-paste.ini", "source": "/usr/share/api-paste.ini"},
            {"path": "/root/openrc", "text": SECRET},
            {"path": "/etc/link", "state": "link", "target": "/etc/x"},
        ],
    }


PLANS = {
    "controller1": plan({"vnc": {"server_listen": "10.0.0.11"}}),
    "controller2": plan({"vnc": {"server_listen": "10.0.0.11"}}),
    "compute1": plan(
        {"vnc": {"server_listen": "10.0.0.21"}},
        layer("group nova_computes", {"vnc": {"gone": None, "server_listen": None}, "pci": {"alias": ["c"]}}),
        layer("host compute1", {"vnc": {"server_listen": "10.0.0.99"}, "conductor": {"workers": 3}}),
    ),
    "memcached1": {"files": []},
}


def test_a_value_has_its_layer_its_source_and_what_it_overrides_and_equal_hosts_share_an_answer():
    assert explain(PLANS, "vnc.server_listen") == [
        "controller1, controller2: /etc/nova/nova.conf",
        "  vnc.server_listen = 10.0.0.11",
        "    from address (address.yml:7)",
        "    instead of 0.0.0.0 from nova (nova.yml:7)",
        "compute1: /etc/nova/nova.conf",
        "  vnc.server_listen = 10.0.0.99",
        "    from host compute1 (host compute1.yml:7)",
        "    instead of its removal by group nova_computes (group nova_computes.yml:7)",
        "    instead of 10.0.0.21 from address (address.yml:7)",
        "    instead of 0.0.0.0 from nova (nova.yml:7)",
    ]


def test_a_removal_a_list_and_a_value_that_the_host_decides_are_explained():
    assert explain({"h": PLANS["compute1"]}, "vnc.gone")[1:] == [
        "  vnc.gone: removed by group nova_computes (group nova_computes.yml:7)",
        "    instead of 1 from nova (nova.yml:7)",
    ]
    assert explain({"h": PLANS["compute1"]}, "pci.alias")[1:] == [
        "  pci.alias = c",
        "    from group nova_computes (group nova_computes.yml:7)",
        "    instead of [a, b] from nova (nova.yml:7)",
    ]
    answer = explain({"h": PLANS["compute1"], "c": PLANS["controller1"]}, "conductor.workers")
    assert "    instead of decided on the host: cpus / 2, at least 1 from nova (nova.yml:7)" in answer
    assert "  conductor.workers = decided on the host: cpus / 2, at least 1" in answer


def test_options_without_sections_are_explained_and_a_file_alone_explains_all_its_options():
    assert explain(PLANS, "-m") == [
        "controller1, controller2, compute1: /etc/memcached.conf",
        "  -m = 64",
        "    from memcached (memcached.yml:7)",
    ]
    answer = explain(PLANS, file="/etc/nova/nova.conf")
    assert [line for line in answer if not line.startswith(" ")] == [
        "controller1, controller2: /etc/nova/nova.conf",
        "compute1: /etc/nova/nova.conf",
    ]
    assert "  DEFAULT.debug = false" in answer and "  pci.alias = [a, b]" in answer
    assert explain(PLANS, "-m", "/etc/memcached.conf") == explain(PLANS, "-m")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("/etc/nova", "a directory"),
        ("/etc/nova/policy.yaml", "no layer has an option for it; the file is not made until one has"),
        ("/etc/nova/api-paste.ini", "copied on the host from /usr/share/api-paste.ini"),
        ("/root/openrc", "a whole text, without options"),
        ("/etc/link", "a link to /etc/x"),
    ],
)
def test_a_file_without_options_is_described(file, words):
    assert explain(PLANS, file=file) == [f"controller1, controller2, compute1: {file}", f"  {words}"]


def test_no_secret_is_shown():
    for file in ("/etc/nova/nova.conf", "/etc/openstack/clouds.yaml", "/root/openrc"):
        answer = "\n".join(explain(PLANS, file=file, secrets=[SECRET]))
        assert SECRET not in answer and "unnamed4711x" not in answer
    answer = explain({"h": PLANS["controller1"]}, file="/etc/nova/nova.conf", secrets=[SECRET])
    assert "  keystone_authtoken.password = ***" in answer and "  keystone_authtoken.note = x ***" in answer
    assert explain(PLANS, "clouds")[1] == '  clouds = {"default": {"auth": {"password": "***"}}}'


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({}, ["option=vnc.server_listen", "file=/etc/nova/nova.conf"]),
        (
            {"option": "vnc.server_listn"},
            ["vnc.server_listn", "similar names: vnc.server_listen", "[vnc] is in /etc/nova"],
        ),
        ({"option": "server_listen"}, ["similar names: vnc.server_listen"]),
        ({"option": "VNC.zzz", "file": "/etc/memcached.conf"}, ["VNC.zzz in /etc/memcached.conf", "section.option"]),
        ({"option": "note"}, ["similar names: keystone_authtoken.note"]),
        ({"option": "default.debug"}, ["similar names: DEFAULT.debug"]),
        ({"option": "zzz"}, ["sections are DEFAULT, conductor"]),
        ({"file": "/etc/nova.conf"}, ["/etc/nova.conf", "did you mean", "/etc/nova/nova.conf"]),
        ({"file": "qq"}, ["there are /etc/link, /etc/memcached.conf"]),
        ({"option": "vnc.x", "file": "/qq"}, ["no host has the file /qq"]),
    ],
)
def test_a_question_without_an_answer_names_what_there_is_instead(question, words):
    with pytest.raises(ValueError) as error:
        explain(PLANS, **question)
    assert all(word in str(error.value) for word in words), error.value


@pytest.fixture
def playbook(tmp_path):
    """Return a function that runs playbooks/explain.yml with arguments, for the hosts of the example.

    Their addresses are reserved for documentation: no host has them.
    """
    inventory = shutil.copytree(project.ROOT / "inventory/example", tmp_path / "inventory")
    secrets = {name: f"{SECRET}-{number}" for number, name in enumerate(project.secret_names())}
    (inventory / "group_vars/all/secrets.yml").write_text(yaml.safe_dump(secrets))
    for kind, name, value in (("group", "nova_computes", "127.0.0.2"), ("host", "compute1", "127.0.0.3")):
        directory = inventory / f"{kind}_vars"
        directory.mkdir(exist_ok=True)
        overrides = {"config_overrides": {"/etc/nova/nova.conf": {"vnc": {"server_listen": value}}}}
        (directory / f"{name}.yml").write_text(yaml.safe_dump(overrides))

    def run(*arguments):
        command = [sys.executable, "-m", "ansible", "playbook", "playbooks/explain.yml", "-i", inventory]
        return subprocess.run([*command, *arguments], cwd=project.ROOT, capture_output=True, text=True, timeout=120)

    return run


def test_the_playbook_answers_without_a_connection_to_any_host(playbook, tmp_path):
    done = playbook("-vvv", "-e", "option=vnc.server_listen")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    begin = lines.index("compute1: /etc/nova/nova.conf")
    assert lines[begin + 1 : begin + 5] == [
        "  vnc.server_listen = 127.0.0.3",
        f"    from host compute1 ({tmp_path}/inventory/host_vars/compute1.yml:1)",
        f"    instead of 127.0.0.2 from group nova_computes ({tmp_path}/inventory/group_vars/nova_computes.yml:1)",
        "    instead of 192.0.2.21 from nova: compute_vnc (roles/nova/vars/main/config.yml)",
    ]
    assert "unreachable=0" in done.stdout and "ESTABLISH" not in done.stdout


def test_the_playbook_shows_no_secret(playbook):
    done = playbook("-vvv", "-e", "file=/etc/nova/nova.conf")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  keystone_authtoken.password = ***" in done.stdout.splitlines()
    assert SECRET not in done.stdout + done.stderr


def test_the_playbook_without_a_question_shows_how_to_ask(playbook):
    done = playbook()
    assert done.returncode == 2 and "option=vnc.server_listen" in done.stdout + done.stderr


def test_a_file_leaves_out_options_that_no_layer_ever_sets():
    base = {"name": "base", "source": "a.yml", "options": {"A": {"never": None, "set": 1, "gone": 1}}}
    mine = {"name": "mine", "source": "b.yml", "options": {"A": {"gone": None}}}
    plans = {"one": {"files": [{"path": "/etc/x", "layers": [base, mine]}]}}
    text = "\n".join(explain(plans, file="/etc/x"))
    assert "never" not in text
    assert "A.gone: removed by mine" in text
    assert "A.never: removed by base" in "\n".join(explain(plans, option="A.never"))


def test_the_playbook_names_options_that_a_file_cannot_have(playbook):
    wrong = {"config_overrides": {"/etc/nova/api-paste.ini": {"a": {"b": 1}}}}
    done = playbook("-e", json.dumps(wrong), "-e", "option=DEFAULT.debug")
    assert done.returncode == 2
    assert (
        "/etc/nova/api-paste.ini: layer" in done.stdout and "correct config_overrides of extra variables" in done.stdout
    )
