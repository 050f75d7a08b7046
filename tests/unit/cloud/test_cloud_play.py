# SPDX-License-Identifier: Apache-2.0
"""The role cloud in real plays: Ansible itself reads an inventory in a directory; no host is contacted."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import project
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

ROLES = project.role_data("cloud", "vars")["cloud_specified_roles"]
NAMES = project.load(project.ROOT / "roles/cloud/vars/main/names.yml")
SECRETS = project.load(project.ROOT / "roles/cloud_secrets/vars/main.yml")["cloud_secrets_names"]
GROUPS = ["nova_controllers", "nova_computes", *project.PLATFORM]
SPECS = {
    name: option
    for role in ROLES
    for name, option in project.spec(role).items()
    if name not in {**NAMES["cloud_removed_variables"], **NAMES["cloud_renamed_variables"]}
}
LEVELS = ["all", "group", "host"]
MARK = "RESULT:"
# The roles whose variables a play needs; their tasks are left out.
PLAY_ROLES = ["cloud_secrets", "openstack_service", *[role for role in ROLES if role != "cloud"]]


class Play:
    """An inventory and a playbook in a directory."""

    def __init__(self, directory: Path, name: str = "") -> None:
        self.directory = directory / name if name else directory
        self.inventory = self.directory / "inventory"

    def write(self, path: str, content) -> None:
        """Write a file of the inventory, or of the playbook's directory (../)."""
        file = self.inventory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")

    def run(self, *arguments: str, show: str = "cloud", roles: list | None = None) -> tuple[int, str, dict]:
        """Run the role cloud; return the status, the output, and an expression on each host."""
        task = {"name": "Show", "ansible.builtin.debug": {"msg": f"{MARK}{{{{ ({show}) | to_json | b64encode }}}}."}}
        quiet = [{"role": role, "tags": ["quiet"]} for role in roles or ["cloud_secrets", "nova"]]
        play = {"name": "Play", "hosts": "all", "gather_facts": False, "roles": [*quiet, "cloud"], "tasks": [task]}
        playbook = self.directory / "play.yml"
        playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
        command = [
            str(project.ROOT / ".venv/bin/ansible-playbook"),
            "--skip-tags=quiet",
            "-i",
            str(self.inventory),
            str(playbook),
        ]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(project.ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        environment["ANSIBLE_LOCAL_TEMP"] = str(self.directory / "local")
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output = done.stdout.decode()
        shown = re.findall(rf"\[([^\]]+)\] => *\n *msg:[^A-Z]*{MARK}([^.]*)\.", output)
        return done.returncode, output, {host: json.loads(base64.b64decode(text)) for host, text in shown}


def good() -> dict:
    """Return what cloud.yml and secrets.yml of a good inventory say."""
    example = project.load(project.ROOT / "inventory/example/group_vars/all/cloud.yml")
    known = {name: value for name, value in example.items() if name in SPECS}
    return {**known, **{name: f"{name}-0123456789" for name in SECRETS}}


def hosts_of(groups: dict, hosts: dict) -> dict:
    """Return a hosts.yml."""
    children = {name: {"hosts": dict.fromkeys(members)} for name, members in groups.items()}
    return {"all": {"hosts": hosts, "children": children}}


def two_hosts() -> dict:
    """Return the hosts.yml of one controller with everything, and one compute."""
    groups = {**{name: ["controller1"] for name in GROUPS}, "nova_computes": ["compute1"]}
    own = {"provider_interface": "eth1"}
    hosts = {
        "controller1": {"management_address": "10.0.0.1", **own},
        "compute1": {"management_address": "10.0.0.2", **own},
    }
    return hosts_of(groups, hosts)


@pytest.fixture
def play(tmp_path) -> Play:
    """Return a play with a good inventory of two hosts."""
    made = Play(tmp_path)
    made.write("hosts.yml", two_hosts())
    made.write("group_vars/all/cloud.yml", good())
    return made


def refused(result: tuple[int, str, dict]) -> list[str]:
    """Return the sentences with which a run was refused."""
    status, output, _ = result
    assert status != 0, output
    assert "Traceback" not in output
    text = output.split("msg: |-", 1)[1].split("PLAY RECAP")[0]
    return [line.strip()[2:] for line in text.splitlines() if line.strip().startswith("- ")]


def test_a_good_inventory_gives_each_host_the_model_in_check_mode_too(play):
    status, output, models = play.run("--check")
    assert status == 0, output
    assert models["controller1"] == models["compute1"]
    cloud = models["controller1"]
    assert cloud["endpoints"]["compute"]["public"] == "http://10.0.0.1:8774/v2.1"
    assert cloud["groups"]["nova_computes"] == ["compute1"]
    assert cloud["release"]["name"] == "epoxy"
    assert ["nova_metadata_secret"] in cloud["secret_paths"]
    assert "0123456789" not in json.dumps(cloud)


def test_the_model_is_not_printed_because_overrides_may_hold_secrets(play):
    status, output, _ = play.run("-vv", show="1")
    assert status == 0
    assert "8774" not in output


# --- which level wins ---------------------------------------------------------------------------------------------


def value_of(name: str, option: dict, level: str):
    """Return a value of a variable that its spec accepts, another one at each level."""
    number = LEVELS.index(level)
    given = {
        "nova_release": ["zed", "epoxy", "zed"][number],
        "nova_controller_services": [["api"], ["conductor"], ["scheduler"]][number],
        "cloud_external": {"glance": {"url": f"http://{level}:9292"}},
    }
    if name in given:
        return given[name]
    if "choices" in option and option["type"] != "list":
        return option["choices"][number % len(option["choices"])]
    if option["type"] == "dict":
        inner = option.get("options") or {"DEFAULT": {"type": "str"}}
        return {key: value_of(f"{name}.{key}", sub, level) for key, sub in inner.items()}
    if option["type"] == "list":
        return [
            value_of(
                f"{name}.0",
                {"type": option["elements"], "choices": option["choices"]}
                if "choices" in option
                else {"type": option["elements"]},
                level,
            )
        ]
    text = f"{name}-{level}-0123456789"
    return {"str": text, "path": f"/{text}", "int": number + 20, "float": number + 0.5, "bool": number % 2 == 0}[
        option["type"]
    ]


@pytest.fixture(scope="module")
def winners(tmp_path_factory) -> dict:
    """Return {level: {variable: value}} of a host, each variable set at that level and at every weaker one."""
    names = [name for name in SPECS if name != "config_overrides"]
    shown = "{" + ", ".join(f"'{name}': {name}" for name in names) + "}"
    found = {}
    for last, level in enumerate(LEVELS):
        at = {each: {name: value_of(name, SPECS[name], each) for name in names} for each in LEVELS[: last + 1]}
        hosts = hosts_of({name: ["one"] for name in GROUPS if name != "glance"}, {"one": at.get("host", {})})
        hosts["all"]["children"]["nova_controllers"]["vars"] = at.get("group", {})
        play = Play(tmp_path_factory.mktemp(level))
        play.write("hosts.yml", hosts)
        play.write("group_vars/all/cloud.yml", at["all"])
        status, output, values = play.run(show=shown, roles=PLAY_ROLES)
        assert status == 0, output[-5000:]
        found[level] = values["one"]
    return found


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"config_overrides"}))
def test_the_most_specific_level_wins(name, winners):
    wanted = {level: value_of(name, SPECS[name], level) for level in LEVELS}
    assert {level: winners[level][name] for level in LEVELS} == wanted


# --- groups and names ---------------------------------------------------------------------------------------------


def test_a_group_that_is_left_out_is_an_empty_one(tmp_path):
    broker = {"address": "q", "port": 5672, "user": "u", "password": "p", "vhost": "/"}
    external = {
        "mariadb": {"address": "m", "port": 3306, "admin_user": "root", "admin_password": "p"},
        "rabbitmq": broker,
        "memcached": {"addresses": ["c:11211"]},
        "keystone": {"url": "http://k:5000", "admin_user": "admin", "admin_password": "p"},
        "placement": {"url": "http://p:8778"},
        "glance": {"url": "http://g:9292"},
        "neutron": {"url": "http://n:9696", "metadata_secret": "s", "messaging": broker},
    }
    own = {"nova_controllers": ["one"], "nova_computes": ["one"]}
    models = []
    for name, groups in (("out", own), ("empty", {**{group: [] for group in project.PLATFORM}, **own})):
        play = Play(tmp_path, name)
        play.write(
            "hosts.yml", hosts_of(groups, {"one": {"management_address": "10.0.0.1", "provider_interface": "e"}})
        )
        play.write("group_vars/all/cloud.yml", {**good(), "cloud_external": external})
        status, output, found = play.run()
        assert status == 0, output
        models.append(found["one"])
    assert models[0] == models[1]
    assert models[0]["external"] == list(project.PLATFORM)


def test_a_variable_of_an_earlier_version_is_refused_with_its_new_name(play):
    play.write(
        "host_vars/compute1.yml", {"nova_config": {"DEFAULT": {"debug": True}}, "cloud_broker": {"address": "q"}}
    )
    assert refused(play.run()) == [
        'compute1: nova_config is now config_overrides["/etc/nova/nova.conf"]',
        "compute1: cloud_broker is no longer read: set cloud_external.rabbitmq, or name a host of the group rabbitmq",
    ]


def test_a_wiring_that_is_still_linked_is_refused_in_one_sentence(play):
    old = {
        "cloud_broker": "{{ cloud_external.rabbitmq }}",
        "nova_hypervisor_virt_type": "{{ kvm_preflight_result.recommended_virt_type }}",
        "deploy_region": "{{ cloud_region }}",
    }
    play.write("../wiring.yml", old)
    link = play.inventory / "group_vars/all/wiring.yml"
    link.symlink_to(play.directory / "wiring.yml")
    assert refused(play.run()) == [
        f"{link} belongs to an earlier version and still defines 3 variables, cloud_broker among them; remove it from "
        "the inventory: the roles compute their values"
    ]


def test_a_variable_that_cannot_be_rendered_is_one_sentence_of_all(play):
    play.write("group_vars/nova_computes.yml", {"nova_api_workers": "{{ nobody_knows }}", "nova_datapath": "x"})
    play.write("host_vars/compute1.yml", {"neutron_rpc_workers": "many"})
    assert refused(play.run()) == [
        "compute1: nova_api_workers cannot be rendered: 'nobody_knows' is undefined",
        "compute1: neutron_rpc_workers is many; it must be of type int",
    ]


def test_a_variable_may_be_a_template_of_anything_that_a_task_sees(play):
    host = {
        "management_address": "{{ addresses[inventory_hostname] }}",
        "nova_api_workers": "{{ neutron_rpc_workers }}",
    }
    play.write("group_vars/all/more.yml", {**host, "addresses": {"controller1": "10.0.0.7", "compute1": "10.0.0.8"}})
    hosts = two_hosts()
    for own in hosts["all"]["hosts"].values():
        del own["management_address"]
    play.write("hosts.yml", hosts)
    status, output, models = play.run(roles=PLAY_ROLES)
    assert status == 0, output
    assert models["compute1"]["api_address"] == "10.0.0.7"


def test_a_value_of_a_vault_is_read(play):
    vault = VaultLib([("default", VaultSecret(b"opensesame"))])
    secret = vault.encrypt("long-enough-for-a-secret").decode()
    text = "!vault |\n" + "".join(f"          {line}\n" for line in secret.splitlines())
    override = f"config_overrides:\n  /etc/x:\n    A:\n      b: {text}"
    play.write("group_vars/all/vault.yml", f"nova_service_password: {text}{override}")
    (play.directory / "password").write_text("opensesame")
    status, output, models = play.run("--vault-password-file", str(play.directory / "password"))
    assert status == 0, output
    own = models["compute1"]["overrides"]["hosts"]["compute1"]
    assert [layer["files"] for layer in own] == [{"/etc/x": {"A": {"b": "long-enough-for-a-secret"}}}]
    play.write("group_vars/all/more.yml", {"nova_database_password": "long-enough-for-a-secret"})
    assert refused(play.run("--vault-password-file", str(play.directory / "password"))) == [
        "Secrets with the same value: nova_database_password and nova_service_password; delete all but one from "
        "secrets.yml and run ansible-playbook playbooks/secrets.yml with this inventory"
    ]


# --- the levels of config_overrides -------------------------------------------------------------------------------


def option(value, name: str = "debug") -> dict:
    """Return overrides of one option of nova.conf."""
    return {"config_overrides": {"/etc/nova/nova.conf": {"DEFAULT": {name: value}}}}


def layers(cloud: dict, host: str) -> list[tuple]:
    """Return (name, source, value of the one option) of each layer of a host, the weakest first."""
    overrides = cloud["overrides"]
    found = [*overrides["all"]]
    for group in overrides["order"][host]:
        found += overrides["groups"][group]
    found += overrides["hosts"].get(host, [])
    return [(each["name"], each["source"], *each["files"]["/etc/nova/nova.conf"]["DEFAULT"].values()) for each in found]


@pytest.fixture
def layered(play) -> Play:
    """Return a play whose inventory has overrides at every level."""
    hosts = two_hosts()
    hosts["all"]["vars"] = option("all in hosts.yml")
    hosts["all"]["children"]["racks"] = {"children": {"rack1": {"hosts": {"compute1": None}}}, "vars": option("racks")}
    hosts["all"]["hosts"]["compute1"].update(option("host in hosts.yml"))
    play.write("hosts.yml", hosts)
    play.write("group_vars/all/overrides.yml", option("all"))
    play.write("group_vars/all/zz.yml", option("all, second file"))
    play.write("group_vars/nova_computes.yml", option("nova_computes"))
    play.write("group_vars/rack1.yml", "---\n" + yaml.safe_dump({**{"x": 1}, **option("rack1")}, sort_keys=False))
    play.write("host_vars/compute1.yml", option("host"))
    play.write("../group_vars/all.yml", option("all of the playbook"))
    return play


def test_every_level_is_a_layer_with_its_source_the_most_specific_last(layered):
    status, output, models = layered.run("--extra-vars", json.dumps(option("run")))
    assert status == 0, output
    cloud = models["compute1"]
    base = "inventory/group_vars"
    of_all = [
        ("cloud (group all)", "all in hosts.yml"),
        ("cloud (group all)", "all"),
        ("cloud (group all)", "all, second file"),
        ("cloud (group all)", "all of the playbook"),
    ]
    assert [(name, value) for name, _, value in layers(cloud, "controller1")] == [*of_all, ("extra variables", "run")]
    found = layers(cloud, "compute1")
    assert [(name, value) for name, _, value in found] == [
        *of_all,
        ("group nova_computes", "nova_computes"),
        ("group racks", "racks"),
        ("group rack1", "rack1"),
        ("host compute1", "host in hosts.yml"),
        ("host compute1", "host"),
        ("extra variables", "run"),
    ]
    sources = [source for _, source, _ in found]
    assert re.fullmatch(r"inventory/hosts\.yml:\d+", sources[0])
    assert sources[1:5] == [
        f"{base}/all/overrides.yml:1",
        f"{base}/all/zz.yml:1",
        "group_vars/all.yml:1",
        f"{base}/nova_computes.yml:1",
    ]
    assert sources[6] == f"{base}/rack1.yml:3"
    assert sources[8] == "inventory/host_vars/compute1.yml:1"
    assert sources[9] == "--extra-vars"
    assert cloud["overrides"]["groups"].keys() == {"nova_computes", "racks", "rack1"}


def test_a_layer_with_a_template_is_rendered_for_each_host_and_keeps_its_place(layered):
    layered.write("group_vars/racks.yml", option("{{ inventory_hostname }} at {{ management_address }}"))
    status, output, models = layered.run()
    assert status == 0, output
    cloud = models["compute1"]
    assert [value for _, _, value in layers(cloud, "compute1")][5:8] == ["racks", "compute1 at 10.0.0.2", "rack1"]
    assert cloud["overrides"]["order"]["compute1"] == ["nova_computes"]
    layered.write("group_vars/all/template.yml", option("{{ management_address }}"))
    cloud = layered.run()[2]["compute1"]
    assert cloud["overrides"]["all"] == []
    assert [layers(cloud, host)[2][2] for host in ("controller1", "compute1")] == ["10.0.0.1", "10.0.0.2"]


def test_the_group_that_wins_is_the_one_that_wins_in_ansible(play):
    hosts = two_hosts()
    hosts["all"]["children"]["aaa"] = {"hosts": {"compute1": None}, "vars": {"ansible_group_priority": 10}}
    hosts["all"]["children"]["zzz"] = {"hosts": {"compute1": None}}
    play.write("hosts.yml", hosts)
    for group in ("aaa", "zzz"):
        play.write(f"group_vars/{group}.yml", {**option(group), "who": group})
    _, output, found = play.run("--limit", "compute1", show="[who, cloud]")
    who, cloud = found["compute1"]
    assert (who, cloud["overrides"]["order"]["compute1"]) == ("aaa", ["zzz", "aaa"]), output


def test_bad_overrides_are_named_with_file_and_line(layered):
    layered.write("group_vars/rack1.yml", {"config_overrides": {"nova.conf": "text"}})
    layered.write("host_vars/compute1.yml", option("{{ nobody_knows }}"))
    place = "config_overrides of group rack1 (inventory/group_vars/rack1.yml:1)"
    assert refused(layered.run()) == [
        "compute1: config_overrides cannot be rendered: 'nobody_knows' is undefined (host compute1, "
        "inventory/host_vars/compute1.yml:1)",
        f"{place}: nova.conf is not the absolute path of a file, such as /etc/nova/nova.conf",
        f"{place}: nova.conf must hold {{section: {{option: value}}}}, or {{option: value}} in a flat file",
    ]
