# SPDX-License-Identifier: Apache-2.0
"""The catalogue (releases, services, hypervisors, mechanisms) and the plans that come out of it."""

from __future__ import annotations

import functools
import json
import re

import project
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

NOVA = project.role_data("nova", "vars")
RELEASES = NOVA["nova_releases"]
SERVICES = NOVA["nova_service_catalog"]
ALIVE = {name: row for name, row in SERVICES.items() if "last_release" not in row}
GONE = {name: row for name, row in SERVICES.items() if "last_release" in row}
# An operator's Neutron whose agents run on our computes.
OWN_AGENTS = project.EXTERNAL | {"neutron": project.EXTERNAL["neutron"] | {"broker": project.THEIR_BROKER}}
SHAPES = {
    "split-controller": ("controller1", project.SPLIT, {}),
    "split-compute": ("compute1", project.SPLIT, {}),
    "all-in-one": ("controller1", project.ALL_IN_ONE, {}),
    "own-platform-controller": ("controller1", project.OWN_PLATFORM, {"cloud_external": project.EXTERNAL}),
    "own-platform-compute": ("compute1", project.OWN_PLATFORM, {"cloud_external": project.EXTERNAL}),
    "own-platform-agent": ("compute1", project.OWN_PLATFORM, {"cloud_external": OWN_AGENTS}),
}


@functools.cache
def plan_of(shape, release, **given):
    host, inventory, overrides = SHAPES[shape]
    machine = {"cpus": 4, "memory_mb": 8000, "suite": RELEASES[release]["suite"], "ovs_datapath": "netdev"}
    facts = {"machine": {**machine, "hostname": f"{host}-of-its-own"}}
    return project.Plan(host, inventory, nova_release=release, ansible_facts=facts, **{**overrides, **given})


@pytest.fixture(params=list(RELEASES))
def release(request):
    return request.param


@pytest.fixture(params=list(SHAPES))
def plan(request, release):
    """The plan of each kind of host, for each release."""
    return plan_of(request.param, release)


# --- the maps agree -----------------------------------------------------------------------------------------------


def test_every_release_has_the_same_fields():
    fields = {name: sorted(row) for name, row in RELEASES.items()}
    assert len({tuple(f) for f in fields.values()}) == 1, fields
    for row in RELEASES.values():
        assert set(row["applications"]) == {"api", "metadata"}


def test_releases_stand_in_their_order_with_the_version_of_their_place():
    series = NOVA["nova_release_series"]
    assert len(series) == len(set(series))
    assert list(RELEASES) == sorted(RELEASES, key=series.index)
    # Liberty, the fourth, was Nova 12; each release since then is one more.
    for name, row in RELEASES.items():
        assert row["version"] == 12 + series.index(name) - series.index("liberty"), name


def test_every_release_belongs_to_a_suite_of_its_own():
    suites = [row["suite"] for row in RELEASES.values()]
    assert len(suites) == len(set(suites))


def release_maps():
    return [
        (role, name, value)
        for role in project.role_names()
        for name, value in project.role_data(role, "vars").items()
        if re.fullmatch(r"[a-z_]+_releases", name)
    ]


def test_every_map_over_releases_has_the_same_releases():
    maps = release_maps()
    assert {"keystone", "placement", "neutron", "nova"} <= {role for role, _, _ in maps}
    for _, name, value in maps:
        assert list(value) == list(RELEASES), name
        assert len({tuple(sorted(row)) for row in value.values()}) == 1, f"{name}: rows with different fields"


def test_every_map_over_suites_has_the_suites_of_the_releases():
    suites = [row["suite"] for row in RELEASES.values()]
    for role in project.role_names():
        for name, value in project.role_data(role, "vars").items():
            if name.endswith("_suites"):
                assert list(value) == suites, name


def test_choices_of_the_specs_are_the_keys_of_the_maps():
    neutron = project.role_data("neutron", "vars")
    hypervisors = project.role_data("nova_hypervisor", "vars")["nova_hypervisor_types"]
    assert project.spec("preflight")["nova_release"]["choices"] == list(RELEASES)
    assert project.spec("nova")["nova_services"]["choices"] == list(ALIVE)
    assert project.spec("neutron")["neutron_services"]["choices"] == list(neutron["neutron_service_catalog"])
    assert project.spec("neutron")["neutron_mechanism"]["choices"] == list(neutron["neutron_mechanisms"])
    assert project.spec("nova_hypervisor")["nova_hypervisor_type"]["choices"] == list(hypervisors)
    clouds = [role for role in project.role_names() if f"{role}_cloud" in project.spec(role)]
    assert len(clouds) == 6
    for role in clouds:
        assert project.spec(role)[f"{role}_cloud"]["options"]["release"]["choices"] == list(RELEASES), role


def test_every_role_describes_the_cloud_in_the_same_words():
    blocks = {role: project.spec(role).get(f"{role}_cloud") for role in project.role_names()}
    assert len({json.dumps(block, sort_keys=True) for block in blocks.values() if block}) == 1


# --- the rows of services -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ALIVE))
def test_a_service_row_has_what_a_deployment_needs(name):
    row = ALIVE[name]
    assert row["packages"] and row["layers"]
    assert row["stage"] in ("units", "agents")
    assert row["unit_current"]["name"].startswith("nova-")
    assert "/etc/nova/nova.conf" in row["unit_current"]["files"]
    assert "/var/lib/dpkg/info/python3-nova.list" in row["unit_current"]["files"]
    assert set(row["files"]) <= set(NOVA["nova_file_catalog"])
    assert set(row["layers"]) <= set(NOVA["nova_layers"])
    # Where somebody connects, somebody is asked for an answer.
    assert ("ports" in row) == ("answer" in row)


@pytest.mark.parametrize("name", list(GONE))
def test_a_service_that_is_gone_says_since_when_and_what_instead(name):
    row = GONE[name]
    assert set(row) == {"last_release", "instead"}
    series = NOVA["nova_release_series"]
    assert series.index(row["last_release"]) < min(series.index(release) for release in RELEASES)
    assert len(row["instead"]) > 20


def test_cert_and_consoleauth_went_when_nova_dropped_them():
    series = NOVA["nova_release_series"]
    assert set(GONE) == {"cert", "consoleauth"}
    # nova 16 (Pike) removed nova-cert, nova 20 (Train) nova-consoleauth.
    assert SERVICES["cert"]["last_release"] == "ocata"
    assert series[series.index("ocata") + 1] == "pike"
    assert SERVICES["consoleauth"]["last_release"] == "stein"
    assert series[series.index("stein") + 1] == "train"


def test_services_that_are_gone_are_known_by_name():
    plan = plan_of("split-controller", list(RELEASES)[-1])
    assert sorted(plan["nova_services_gone"]) == sorted(GONE)


@pytest.mark.parametrize("name", sorted(project.role_data("neutron", "vars")["neutron_service_catalog"]))
def test_a_row_of_neutron_has_what_a_deployment_needs(name):
    neutron = project.role_data("neutron", "vars")
    row = neutron["neutron_service_catalog"][name]
    assert row["packages"] and row["stage"] in ("units", "agents")
    assert set(row["files"]) <= set(neutron["neutron_file_catalog"])
    assert row["unit_current"]["files"]


def test_every_hypervisor_and_mechanism_has_the_same_fields():
    for rows in (
        project.role_data("nova_hypervisor", "vars")["nova_hypervisor_types"],
        project.role_data("neutron", "vars")["neutron_mechanisms"],
    ):
        assert len({tuple(sorted(row)) for row in rows.values()}) == 1


# --- the plan of a host -------------------------------------------------------------------------------------------


def stage_keys():
    """The keys that the plan takes from components."""
    text = (project.ROOT / "roles/deploy_plan/vars/main/plan.yml").read_text(encoding="utf-8")
    return set(re.findall(r"attribute='(\w+)'", text)) | {"name"}


def test_a_component_declares_only_what_a_stage_takes(plan):
    for component in plan["deploy_plan_components"] + plan["deploy_plan_once"]:
        assert set(component) <= stage_keys(), component["name"]


def test_a_watched_file_is_one_that_is_written_or_packaged(plan):
    written = {entry["path"] for entry in plan["deploy_plan_files"]}
    packaged = {"/etc/nova/api-paste.ini"}
    stages = ("deploy_plan_foundation", "deploy_plan_identity_units", "deploy_plan_units", "deploy_plan_agents")
    units = [unit for stage in stages for unit in plan[stage]]
    assert units
    for unit in units:
        for path in unit.get("files", []):
            if not path.startswith("/var/lib/dpkg/info/"):
                assert path in written | packaged, (unit["name"], path)


def test_every_file_has_an_owner_that_may_read_it_and_nobody_else_reads_secrets(plan):
    for entry in plan["deploy_plan_files"]:
        secret = [s for s in plan.secrets.values() if s in json.dumps(entry.get("ini", entry.get("text", "")))]
        if secret:
            assert entry["mode"] in ("0640", "0600"), entry["path"]
        if entry["mode"] == "0640":
            assert entry["group"] not in ("", "root"), entry["path"]


def test_no_two_components_write_the_same_file(plan):
    paths = [entry["path"] for entry in plan["deploy_plan_files"]]
    assert len(paths) == len(set(paths))


def test_no_password_stands_on_a_command_line(plan):
    steps = [step for service in plan["deploy_plan_schema"] for step in service["steps"]]
    secrets = [*plan.secrets.values(), *re.findall(r"[a-z]+-of-theirs-\d", json.dumps(project.EXTERNAL))]
    for step in steps:
        assert not [word for word in step["argv"] if any(secret in word for secret in secrets)], step["argv"]


def test_a_compute_holds_no_database_credentials(release):
    for shape in ("split-compute", "own-platform-compute", "own-platform-agent"):
        plan = plan_of(shape, release)
        text = json.dumps(plan["deploy_plan_files"])
        assert "nova.conf" in text
        assert "mysql" not in text and '"connection"' not in text
        held = {name for name, value in plan.secrets.items() if value in text}
        assert held <= {"nova_broker_password", "nova_service_password", "neutron_broker_password"}
        assert not plan["deploy_plan_databases"] and not plan["deploy_plan_schema"] and not plan["deploy_plan_identity"]


def test_a_controller_has_the_databases_that_its_schemas_name(release):
    plan = plan_of("split-controller", release)
    databases = {row["name"] for row in plan["deploy_plan_databases"]}
    urls = re.findall(r"mysql\+pymysql://[^\"]+/(\w+)", json.dumps(plan["deploy_plan_schema"]))
    assert databases == set(urls) == {"keystone", "placement", "glance", "neutron", "nova_api", "nova_cell0", "nova"}


def test_every_secret_of_a_cloud_is_used():
    plan = plan_of("split-controller", list(RELEASES)[-1])
    made = ("files", "databases", "broker_users", "schema", "identity")
    text = json.dumps([plan[f"deploy_plan_{part}"] for part in made])
    assert [name for name, value in plan.secrets.items() if value not in text] == []


def test_every_secret_is_masked_in_the_output(plan):
    secrets = set(plan["deploy_secrets"])
    assert set(plan.secrets.values()) <= secrets


def test_passwords_of_an_own_platform_are_masked_too(release):
    plan = plan_of("own-platform-agent", release)
    assert "agents-of-theirs-1" in json.dumps(plan["deploy_plan_files"])
    assert "agents-of-theirs-1" in plan["deploy_secrets"]
    theirs = {
        value for row in project.EXTERNAL.values() for key, value in row.items() if re.search("password|secret", key)
    }
    assert len(theirs) == 4
    assert theirs <= set(plan["deploy_secrets"])


def test_an_own_platform_leaves_its_services_alone(release):
    plan = plan_of("own-platform-controller", release)
    assert {component["name"] for component in plan["deploy_plan_components"]} == {"nova", "nova_client"}
    ini = next(entry["ini"] for entry in plan["deploy_plan_files"] if entry["path"] == "/etc/nova/nova.conf")
    assert "@198.51.100.5:3306/nova_api" in ini["api_database"]["connection"]
    assert ini["DEFAULT"]["transport_url"] == "rabbit://nova:queue-of-theirs-1@198.51.100.5:5672/"
    assert ini["placement"]["endpoint_override"] == "http://198.51.100.5:8778"
    assert ini["neutron"]["metadata_proxy_shared_secret"] == "shared-of-theirs-1"


def test_an_all_in_one_host_has_the_layers_of_both(release):
    plan = plan_of("all-in-one", release)
    ini = next(entry["ini"] for entry in plan["deploy_plan_files"] if entry["path"] == "/etc/nova/nova.conf")
    assert {"database", "api_database", "libvirt", "scheduler", "service_user"} <= set(ini)
    assert ini["vnc"]["server_listen"] and ini["vnc"]["novncproxy_port"] == 6080


def test_nothing_listens_on_every_address(plan):
    assert not re.search(r"0\.0\.0\.0|\[::\]", json.dumps(plan["deploy_plan_files"]))


def test_the_operators_dicts_win_and_null_drops_an_option(release):
    mine = {
        "nova_config": {"DEFAULT": {"state_path": "/srv/nova", "log_dir": None}, "filter_scheduler": {"x": ["a", "b"]}}
    }
    mine["nova_host_config"] = {"DEFAULT": {"state_path": "/mnt"}}
    plan = project.Plan("compute1", project.SPLIT, nova_release=release, **mine)
    assert plan["nova_conf"]["DEFAULT"]["state_path"] == "/mnt"
    assert plan["nova_conf"]["DEFAULT"]["log_dir"] is None
    assert plan["nova_conf"]["filter_scheduler"]["x"] == ["a", "b"]


def test_the_variables_of_every_host_fit_the_specs(plan):
    roles = plan["preflight_specified_roles"]
    options = {name: option for role in roles for name, option in project.spec(role).items()}
    given = {name: plan[name] for name in options if name in plan.variables}
    result = ArgumentSpecValidator(options).validate(given)
    assert result.error_messages == []


def test_preflight_checks_every_role_of_the_deployment_that_has_a_spec():
    plays = project.load(project.ROOT / "playbooks/deploy.yml")
    deployed = [
        role for play in plays for role in play.get("roles", []) if isinstance(role, str) and project.spec(role)
    ]
    assert set(deployed) <= set(project.role_data("preflight", "vars")["preflight_specified_roles"])


def test_packages_answer_debconf_questions_in_full(plan):
    for line in plan["deploy_plan_debconf"]:
        assert re.fullmatch(r"[a-z0-9-]+ [a-z-]+/[a-z_-]+ (boolean (true|false)|string \S+)", line), line


@pytest.mark.parametrize("shape", ["split-controller", "all-in-one"])
def test_only_uwsgi_processes_get_a_thread_for_heartbeats(shape, release):
    plan = plan_of(shape, release)
    files = {entry["path"]: entry.get("ini", {}) for entry in plan["deploy_plan_files"]}
    for path, ini in files.items():
        assert "heartbeat_in_pthread" not in ini.get("oslo_messaging_rabbit", {}), f"{path} is read by a conductor too"
    apis = {path for path in files if re.fullmatch(r"/etc/(nova|neutron)/.*-uwsgi\.ini", path)}
    assert len(apis) == 3
    asked = {path for path in apis if "HEARTBEAT_IN_PTHREAD=true" in files[path]["uwsgi"].get("env", "")}
    assert asked == (apis if release == "zed" else set())


def test_a_compute_is_expected_under_the_name_that_nova_gives_it():
    plan = plan_of("split-controller", list(RELEASES)[-1])
    assert plan["deploy_compute_names"] == [f"{name}-itself" for name in plan["groups"]["nova_computes"]]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "compute1-of-its-own"),
        ({"nova_config": {"DEFAULT": {"host": "hv1"}}}, "hv1"),
        ({"nova_config": {"DEFAULT": {"host": "hv1"}}, "nova_host_config": {"DEFAULT": {"host": "hv2"}}}, "hv2"),
    ],
)
def test_the_name_of_a_host_is_its_own_or_that_of_its_configuration(given, name):
    plan = plan_of.__wrapped__("split-compute", list(RELEASES)[-1], **given)  # dicts cannot be keys of its cache
    assert plan["cloud_host_name"] == name
