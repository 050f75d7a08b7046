# SPDX-License-Identifier: Apache-2.0
"""The catalogs (releases, services, hypervisors, mechanisms) and the plans that are made of them."""

from __future__ import annotations

import json
import re

import project
import pytest
from ansible.module_utils.cloud.specs import option_errors, secret_paths
from ansible.module_utils.plan.component_schema import SCHEMA
from ansible.module_utils.plan.stage_table import NAMES
from project import RELEASES, SERVICES, SHAPES, TLS_SHAPES, Plan, plan_of

SERIES = project.role_data("cloud", "vars")["cloud_release_series"]
DEPLOYED = {name: row for name, row in SERVICES.items() if "removed_after" not in row}
GONE = {name: row for name, row in SERVICES.items() if "removed_after" in row}
LATEST = list(RELEASES)[-1]
UNIT_KEYS = ("base_units", "identity_units", "api_units", "agent_units")
NOVA_CONF, NEUTRON_CONF = "/etc/nova/nova.conf", "/etc/neutron/neutron.conf"


@pytest.fixture(params=list(RELEASES))
def release(request):
    return request.param


@pytest.fixture(params=list(SHAPES))
def plan(request, release):
    """Return the plan of each kind of host, for each release."""
    return plan_of(request.param, release)


@pytest.fixture(params=list(TLS_SHAPES))
def tls_plan(request, release):
    """Return the plan of each kind of host in a cloud with TLS and three controllers."""
    return plan_of(request.param, release)


def units(plan) -> list[dict]:
    return [unit for key in UNIT_KEYS for unit in plan[key]]


def text_of(value) -> str:
    return json.dumps(value)


# --- the catalogs agree -----------------------------------------------------------------------------------------------


def shape_of(value) -> object:
    """Names of the fields of a row, those of the rows in it too; what options a release has is its own affair."""
    if not isinstance(value, dict):
        return None
    own = ("options", "application", "api", "metadata")
    return {key: None if key in own else shape_of(item) for key, item in sorted(value.items())}


def test_every_release_has_the_same_fields():
    shapes = {text_of(shape_of(row)) for row in RELEASES.values()}
    assert len(shapes) == 1, shapes
    for row in RELEASES.values():
        assert set(row["nova"]["applications"]) == {name for name, service in DEPLOYED.items() if "uwsgi" in service}


def test_releases_stand_in_their_order_with_the_version_of_their_place():
    assert len(SERIES) == len(set(SERIES))
    assert list(RELEASES) == sorted(RELEASES, key=SERIES.index)
    # Liberty, the fourth of the common releases, was Nova 12; each release since then is one more.
    for name, row in RELEASES.items():
        assert row["nova"]["version"] == 12 + SERIES.index(name) - SERIES.index("liberty"), name


def test_every_release_belongs_to_a_suite_of_its_own():
    suites = [row["suite"] for row in RELEASES.values()]
    assert len(suites) == len(set(suites))


def test_every_release_has_the_list_of_its_options():
    lists = {path.stem for path in project.files("roles/option_lists/files/*.json")}
    assert lists == set(RELEASES)


def test_the_names_of_releases_are_said_in_one_place():
    for role in project.role_names():
        for name, option in project.spec(role).items():
            assert not set(option.get("choices", [])) & set(RELEASES), f"{role}: {name}"


def test_choices_of_the_specs_are_the_keys_of_the_catalogs():
    mechanisms = project.role_data("neutron", "vars")["neutron_mechanisms"]
    hypervisors = project.role_data("nova_hypervisor", "vars")["nova_hypervisor_types"]
    assert project.spec("neutron")["neutron_mechanism"]["choices"] == list(mechanisms)
    assert project.spec("nova_hypervisor")["nova_hypervisor_type"]["choices"] == list(hypervisors)


def test_every_hypervisor_and_mechanism_has_the_same_fields():
    for rows in (
        project.role_data("nova_hypervisor", "vars")["nova_hypervisor_types"],
        project.role_data("neutron", "vars")["neutron_mechanisms"],
    ):
        assert len({tuple(sorted(row)) for row in rows.values()}) == 1


# --- the rows of services ---------------------------------------------------------------------------------------------


def catalog_rows() -> list[tuple[str, str, dict]]:
    """Every service of every component that is deployed: component, service, row."""
    found = []
    for role in project.role_names():
        data = project.role_data(role, "vars")
        catalog = (data.get(f"{role}_component") or {}).get("catalog")
        rows = catalog if isinstance(catalog, dict) else data.get(f"{role}_service_catalog", {})
        found += [(role, name, row) for name, row in rows.items() if "removed_after" not in row]
    return found


def test_there_are_services_to_look_at():
    assert len(catalog_rows()) >= 18


@pytest.mark.parametrize(("role", "name", "row"), [pytest.param(*row, id=".".join(row[:2])) for row in catalog_rows()])
def test_a_row_of_a_service_has_what_a_deployment_needs(role, name, row):
    assert row["packages"]
    if "unit" not in row:  # a service without a process, such as clients
        return
    assert row["stage"] in ("base", "identity", "api", "agent")
    assert row["files"], "a unit that runs on no file would never be restarted"
    if row["stage"] != "base" and "port" in row:
        assert "ready" in row, "who connects waits for an answer"
    assert "uwsgi" not in row or "port" in row


@pytest.mark.parametrize("name", list(GONE))
def test_a_service_that_is_gone_says_since_when_and_what_replaced_it(name):
    row = GONE[name]
    assert set(row) == {"removed_after", "replaced_by"}
    assert SERIES.index(row["removed_after"]) < min(SERIES.index(release) for release in RELEASES)
    assert len(row["replaced_by"]) > 20


def test_cert_and_consoleauth_went_when_nova_dropped_them():
    assert set(GONE) == {"cert", "consoleauth"}
    # nova 16 (Pike) removed nova-cert, nova 20 (Train) nova-consoleauth.
    assert SERVICES["cert"]["removed_after"] == "ocata"
    assert SERIES[SERIES.index("ocata") + 1] == "pike"
    assert SERVICES["consoleauth"]["removed_after"] == "stein"
    assert SERIES[SERIES.index("stein") + 1] == "train"


def test_the_inventory_is_compared_with_the_services_of_the_catalog():
    plan = plan_of("split-controller", LATEST)
    assert list(plan.value("cloud_nova_services")) == list(DEPLOYED)
    gone = plan.value("cloud_nova_services_gone")
    assert {name: dict(row) for name, row in gone.items()} == GONE


def test_every_key_of_the_schema_is_used_by_a_component():
    """A key that no row has any more is dead code in component.py."""
    texts = "".join(path.read_text(encoding="utf-8") for path in project.files("roles/*/vars/**/*.yml"))
    unused = {key for keys in SCHEMA.values() for key in keys if not re.search(rf"\b{key}:", texts)}
    # Steps at the end and reloads have no user yet: the recipes of CONTRIBUTING.md walk the first one.
    assert unused <= {"reload", "finish"}, unused


# --- the plan of a host -----------------------------------------------------------------------------------------------


def test_a_watched_file_is_one_that_is_written_or_packaged(plan):
    assert units(plan)
    for unit in units(plan):
        for path in unit.get("files", []):
            if not path.startswith("/var/lib/dpkg/info/"):
                assert path in plan.files, (unit["name"], path)


def test_a_service_whose_policy_changes_is_restarted(plan):
    """It reads new rules by itself, but keeps one that was taken out."""
    watched = {path for unit in units(plan) for path in unit.get("files", [])}
    policies = {path for path in plan.files if path.endswith("policy.yaml")}
    assert policies <= watched


def test_a_service_runs_on_its_files_and_on_its_package(plan):
    """A new version of a package, or a new file, must restart what runs on it."""
    for unit in plan["identity_units"] + plan["api_units"] + plan["agent_units"]:
        assert [path for path in unit["files"] if path.startswith("/var/lib/dpkg/info/python3-")], unit
        assert [path for path in unit["files"] if path.endswith((".conf", ".ini"))], unit
        assert [path for path in unit["files"] if path.endswith(".service.d/nova-ansible.conf")], unit


def test_no_unit_both_runs_and_is_stopped(plan):
    running = [unit["name"] for unit in units(plan)]
    stopped = [unit["name"] for unit in plan["stopped_units"]]
    assert len(running + stopped) == len(set(running + stopped))


def test_other_console_proxies_are_stopped_where_the_package_brings_them(plan):
    expected = {"nova-spicehtml5proxy", "nova-serialproxy"} if "nova-consoleproxy" in plan["packages"] else set()
    assert {unit["name"] for unit in plan["stopped_units"]} == expected
    assert all(unit["state"] == "stopped" and unit["enabled"] is False for unit in plan["stopped_units"])


def test_every_file_has_an_owner_that_may_read_it_and_no_other_user_reads_secrets(plan):
    held = [*project.SECRETS.values(), *re.findall(r"placeholder-external-\d", text_of(project.AGENTS))]
    for entry in plan["files"]:
        if [secret for secret in held if secret in text_of(entry)]:
            assert entry["mode"] in ("0640", "0600"), entry["path"]
        if entry.get("mode") == "0640":
            assert entry["group"] not in ("", "root"), entry["path"]


def test_a_file_that_an_operator_may_add_is_readable_by_its_service_alone(plan):
    for entry in plan["files"]:
        if entry["path"].endswith("policy.yaml"):
            assert entry["mode"] == "0640" and entry["optional"] is True


def test_no_two_components_write_the_same_file(plan):
    paths = [entry["path"] for entry in plan["files"]]
    assert len(paths) == len(set(paths))


def test_no_password_is_on_a_command_line(plan):
    steps = [step for service in plan["schema"] for step in service["steps"]]
    for step in steps:
        assert "placeholder" not in text_of(step["argv"]), step["argv"]


def test_a_compute_holds_no_database_credentials(release):
    for shape in ("split-compute", "external-compute", "external-compute-agent", "tls-compute"):
        plan = plan_of(shape, release)
        text = text_of(plan.parts)
        assert NOVA_CONF in plan.files
        assert "mysql" not in text and '"connection"' not in text
        held = {name for name, value in project.SECRETS.items() if value in text}
        assert held <= {"nova_messaging_password", "nova_service_password", "neutron_messaging_password"}, shape
        for key in ("databases", "messaging_users", "schema", "identity", "cells"):
            assert not plan[key], (shape, key)


def test_a_controller_has_the_databases_that_its_schemas_name(release):
    plan = plan_of("split-controller", release)
    databases = {row["name"] for row in plan["databases"]}
    urls = re.findall(r"mysql\+pymysql://[^\"]+/(\w+)", text_of(plan["schema"]))
    assert databases == set(urls) == {"keystone", "placement", "glance", "neutron", "nova_api", "nova_cell0", "nova"}


def test_every_secret_of_a_cloud_is_used():
    text = text_of(plan_of("split-controller", LATEST).parts)
    assert [name for name, value in project.SECRETS.items() if value not in text] == []


def test_every_secret_of_a_cloud_and_of_its_external_services_is_known_as_one():
    specs = {name: option for role in project.role_names() for name, option in project.spec(role).items()}
    paths = secret_paths({**specs, **dict.fromkeys(project.SECRETS, {"no_log": True})})
    assert {path[0] for path in paths} >= set(project.SECRETS)
    found = set()
    for name, *keys in paths:
        value = {"cloud_external": project.AGENTS}.get(name)
        for key in keys:
            value = (value or {}).get(key)
        found |= {value} - {None}
    assert found == {f"placeholder-external-{number}" for number in range(1, 6)}


def test_external_services_are_used_and_not_deployed(release):
    plan = plan_of("external-controller", release)
    assert plan["components"] == ["nova", "nova_client"]
    options = plan.options(NOVA_CONF)
    assert "@198.51.100.5:3306/nova_api" in options["api_database"]["connection"][0]
    assert options["DEFAULT"]["transport_url"] == ["rabbit://nova:placeholder-external-2@198.51.100.5:5672/"]
    assert options["placement"]["endpoint_override"] == ["http://198.51.100.5:8778"]
    assert options["neutron"]["metadata_proxy_shared_secret"] == ["placeholder-external-4"]
    assert plan["auth"]["password"] == "placeholder-external-3"
    assert plan["database_admin"]["admin_password"] == "placeholder-external-1"
    assert not plan["messaging_users"]


def test_agents_of_an_external_neutron_run_where_it_gave_an_account(release):
    plan = plan_of("external-compute-agent", release)
    assert [unit["name"] for unit in plan["agent_units"]] == ["nova-compute", "neutron-openvswitch-agent"]
    url = plan.options(NEUTRON_CONF)["DEFAULT"]["transport_url"]
    assert url == ["rabbit://neutron:placeholder-external-5@198.51.100.6:5672/"]
    assert [unit["name"] for unit in plan_of("external-compute", release)["agent_units"]] == ["nova-compute"]


def test_an_all_in_one_host_has_the_layers_of_both(release):
    options = plan_of("all-in-one", release).options(NOVA_CONF)
    assert {"database", "api_database", "libvirt", "scheduler", "service_user"} <= set(options)
    assert options["vnc"]["server_listen"] and options["vnc"]["novncproxy_port"] == ["6080"]
    assert options["vnc"]["enabled"] == ["true"]


def test_without_a_console_proxy_computes_offer_no_console(release):
    services = [name for name in project.defaults()["nova_controller_services"] if name != "novncproxy"]
    plan = Plan("split-compute", release, nova_controller_services=services)
    assert plan.options(NOVA_CONF)["vnc"] == {"enabled": ["false"]}


def test_consoles_listen_where_the_proxies_reach_them(release):
    for shape in ("split-compute", "all-in-one", "external-compute"):
        plan = plan_of(shape, release)
        vnc, address = plan.options(NOVA_CONF)["vnc"], project.ADDRESSES[plan.shape.host]
        assert vnc["server_listen"] == vnc["server_proxyclient_address"] == [address]


def test_nothing_listens_on_every_address(plan):
    assert not re.search(r"0\.0\.0\.0|\[::\]", text_of(plan["files"]))


def test_a_service_listens_on_the_address_of_its_host(plan):
    address = project.ADDRESSES[plan.shape.host]
    for path in plan.files:
        if path.endswith("-uwsgi.ini"):
            assert plan.options(path)["uwsgi"]["http-socket"][0].startswith(f"{address}:"), path


def test_remote_calls_are_awaited_wherever_they_are_served(plan):
    """An agent that starts before its server consumes the queue waits until its first call times out."""
    served = {queue["served_by"]: queue["queue"] for queue in plan["queues"]}
    expected = {"nova-conductor": "conductor", "neutron-rpc-server": "q-plugin"}
    running = {unit["name"] for unit in plan["api_units"]}
    assert served == {name: queue for name, queue in expected.items() if name in running}


def test_queues_outlive_a_broker(plan):
    for path in {NOVA_CONF, NEUTRON_CONF} & set(plan.files):
        assert plan.options(path)["oslo_messaging_rabbit"]["rabbit_quorum_queue"] == ["true"], path


def test_a_service_token_is_accepted_from_services_only(plan):
    for path, entry in plan.files.items():
        if path.endswith(".conf") and "keystone_authtoken" in text_of(entry):
            authtoken = plan.options(path)["keystone_authtoken"]
            assert authtoken["service_token_roles"] == ["service"], path
            assert authtoken["service_token_roles_required"] == ["true"], path


def test_computes_of_two_releases_understand_each_other(plan):
    if NOVA_CONF in plan.files:
        assert plan.options(NOVA_CONF)["upgrade_levels"] == {"compute": ["auto"]}


def test_a_hypervisor_keeps_its_identity_over_a_restart(plan):
    expected = any(unit["name"] == "libvirtd" for unit in plan["base_units"])
    assert ("/etc/libvirt/libvirtd.conf" in plan.files) == expected
    if expected:
        assert plan.options("/etc/libvirt/libvirtd.conf")[""]["host_uuid_source"] == ['"machine-id"']


def test_packages_answer_debconf_questions_in_full(plan):
    for line in plan["debconf"]:
        assert re.fullmatch(r"[a-z0-9-]+ [a-z-]+/[a-z_-]+ (boolean (true|false)|string \S+)", line), line


@pytest.mark.parametrize("shape", ["split-controller", "all-in-one"])
def test_only_uwsgi_processes_get_a_thread_for_heartbeats(shape, release):
    plan = plan_of(shape, release)
    for path, entry in plan.files.items():
        if "layers" in entry:
            options = plan.options(path).get("oslo_messaging_rabbit", {})
            assert "heartbeat_in_pthread" not in options, f"{path} is read by a conductor too"
    apis = {path for path in plan.files if re.fullmatch(r"/etc/(nova|neutron)/.*-uwsgi\.ini", path)}
    assert len(apis) == 3
    asked = {path for path in apis if "HEARTBEAT_IN_PTHREAD=true" in text_of(plan.options(path)["uwsgi"].get("env"))}
    assert asked == (apis if release == "zed" else set())


def test_every_file_of_a_plan_can_be_rendered(plan):
    for path, entry in plan.files.items():
        if "layers" in entry:
            assert plan.text(path), path


# --- what the operator sets -------------------------------------------------------------------------------------------


def test_the_operators_options_win_and_null_drops_an_option(release):
    for_all = {NOVA_CONF: {"DEFAULT": {"state_path": "/srv", "log_dir": None}, "filter_scheduler": {"x": ["a", "b"]}}}
    for_host = {NOVA_CONF: {"DEFAULT": {"state_path": "/mnt"}}}
    options = Plan("split-compute", release, (for_all, for_host)).options(NOVA_CONF)
    assert options["DEFAULT"]["state_path"] == ["/mnt"]
    assert "log_dir" not in options["DEFAULT"]
    assert options["filter_scheduler"]["x"] == ["a", "b"]


@pytest.mark.parametrize("workers", [(4, 8), (8, 4), (4, 4), (2, 2)])
def test_the_last_layer_wins_also_where_it_equals_an_earlier_one(workers, release):
    layers = tuple({NOVA_CONF: {"conductor": {"workers": number}}} for number in workers)
    # 4 is what the roles set on this host, by its processors.
    plan = Plan("split-controller", release, layers)
    assert plan.options(NOVA_CONF)["conductor"]["workers"] == [str(workers[-1])]
    again = Plan("split-controller", release, (*layers, *layers[:1]))
    assert again.options(NOVA_CONF)["conductor"]["workers"] == [str(workers[0])]


def test_an_override_that_repeats_a_layer_of_the_roles_still_wins(release):
    on = {NOVA_CONF: {"oslo_messaging_rabbit": dict(RELEASES[release]["nova"]["options"]["oslo_messaging_rabbit"])}}
    off = {NOVA_CONF: {"oslo_messaging_rabbit": {"rabbit_quorum_queue": False}}}
    for layers, expected in (((off, on), "true"), ((on, off), "false"), ((on, off, on), "true")):
        options = Plan("split-compute", release, layers).options(NOVA_CONF)
        assert options["oslo_messaging_rabbit"]["rabbit_quorum_queue"] == [expected], layers


@pytest.mark.parametrize(
    ("path", "options", "line"),
    [
        ("/etc/neutron/plugins/ml2/ml2_conf.ini", {"ml2": {"path_mtu": 9000}}, "path_mtu = 9000"),
        ("/etc/nova/nova-api-uwsgi.ini", {"uwsgi": {"harakiri": 60}}, "harakiri = 60"),
        ("/etc/memcached.conf", {"-m": 128}, "-m 128"),
        ("/etc/mysql/mariadb.conf.d/99-nova-ansible.cnf", {"mysqld": {"max_connections": 5}}, "max_connections = 5"),
        ("/etc/rabbitmq/rabbitmq.conf", {"vm_memory_high_watermark.relative": 0.6}, "vm_memory_high_watermark"),
        ("/etc/nova/policy.yaml", {"os_compute_api:servers:index": "role:admin"}, "role:admin"),
        ("/etc/systemd/system/nova-.service.d/nova-ansible.conf", {"Service": {"LimitNOFILE": 9}}, "LimitNOFILE=9"),
        ("/etc/systemd/system/mariadb.service.d/nova-ansible.conf", {"Service": {"LimitNOFILE": 9}}, "LimitNOFILE=9"),
        ("/etc/default/nova-consoleproxy", {"NOVA_CONSOLE_PROXY_TYPE": "none"}, 'PROXY_TYPE="none"'),
    ],
)
def test_every_file_takes_options_of_the_operator(path, options, line, release):
    plan = Plan("split-controller", release, ({path: options},))
    assert line in plan.text(path)


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ((), {"from_host": "hostname"}),
        (({NOVA_CONF: {"DEFAULT": {"host": "hv1"}}},), "hv1"),
        (({NOVA_CONF: {"DEFAULT": {"host": "hv1"}}}, {NOVA_CONF: {"DEFAULT": {"host": "hv2"}}}), "hv2"),
        (
            ({NOVA_CONF: {"DEFAULT": {"host": "hv1"}}}, {NOVA_CONF: {"DEFAULT": {"host": None}}}),
            {"from_host": "hostname"},
        ),
    ],
)
def test_a_compute_is_expected_under_the_name_that_nova_gives_it(layers, name):
    assert Plan("split-compute", LATEST, layers)["compute_name"] == name


def test_the_variables_of_every_host_fit_the_specs(plan):
    for role in plan.value("cloud_specified_roles"):
        for name, option in project.spec(role).items():
            if name in plan.variables:
                assert option_errors(name, option, plan.value(name)) == []


@pytest.mark.parametrize(
    ("variable", "path", "section", "option"),
    [
        ("nova_api_workers", "/etc/nova/nova-api-uwsgi.ini", "uwsgi", "processes"),
        ("nova_metadata_workers", "/etc/nova/nova-api-metadata-uwsgi.ini", "uwsgi", "processes"),
        ("nova_conductor_workers", NOVA_CONF, "conductor", "workers"),
        ("nova_scheduler_workers", NOVA_CONF, "scheduler", "workers"),
        ("nova_discover_hosts_interval", NOVA_CONF, "scheduler", "discover_hosts_in_cells_interval"),
        ("neutron_api_workers", "/etc/neutron/neutron-api-uwsgi.ini", "uwsgi", "processes"),
        ("neutron_rpc_workers", NEUTRON_CONF, "DEFAULT", "rpc_workers"),
        ("glance_api_workers", "/etc/glance/glance-api.conf", "DEFAULT", "workers"),
        ("keystone_api_workers", "/etc/keystone/keystone-uwsgi.ini", "uwsgi", "processes"),
        ("placement_api_workers", "/etc/placement/placement-api-uwsgi.ini", "uwsgi", "processes"),
        ("mariadb_max_connections", "/etc/mysql/mariadb.conf.d/99-nova-ansible.cnf", "mysqld", "max_connections"),
        ("memcached_megabytes", "/etc/memcached.conf", "", "-m"),
    ],
)
def test_a_number_that_the_operator_sets_reaches_its_file(variable, path, section, option):
    assert Plan("split-controller", LATEST, **{variable: 77}).options(path)[section][option] == ["77"]


def test_the_operators_endpoints_win_over_those_of_external_services(release):
    plan = Plan("external-compute", release, nova_endpoint_overrides={"placement": "http://placement.example"})
    options = plan.options(NOVA_CONF)
    assert options["placement"]["endpoint_override"] == ["http://placement.example"]
    assert options["glance"]["endpoint_override"] == ["http://198.51.100.5:9292"]


def test_the_operators_console_url_reaches_every_compute(release):
    plan = Plan("split-compute", release, nova_novncproxy_base_url="https://cloud.example/vnc_lite.html")
    assert plan.options(NOVA_CONF)["vnc"]["novncproxy_base_url"] == ["https://cloud.example/vnc_lite.html"]


def test_the_operators_hypervisor_wins_over_what_the_host_says():
    given = {"nova_hypervisor_virt_type": "kvm", "nova_hypervisor_cpu_mode": "custom"}
    plan = Plan("split-compute", LATEST, **given, nova_hypervisor_cpu_models=["Nehalem", "Haswell"])
    expected = {"virt_type": ["kvm"], "cpu_mode": ["custom"], "cpu_models": ["Nehalem,Haswell"]}
    assert plan.options(NOVA_CONF)["libvirt"] == expected


def test_the_operators_policy_of_kvm_is_added_to_that_of_the_release():
    plan = Plan("split-compute", LATEST, kvm_preflight_policy={"isa_level": "x86-64-v3"})
    assert plan["requires"]["kvm"]["policy"] == {"release": LATEST, "isa_level": "x86-64-v3"}


# --- what exists once in a cloud --------------------------------------------------------------------------------------


def test_hyperconverged_hosts_make_once_what_exists_once(release):
    hosts = {name: plan_of(name, release) for name in SHAPES if name.startswith("hyperconverged-")}
    assert len(hosts) == 3
    for key in ("databases", "messaging_users", "schema", "identity", "cells"):
        assert [name for name, plan in hosts.items() if plan[key]] == ["hyperconverged-1"], key
    for name in ("hyperconverged-2", "hyperconverged-3"):
        plan = hosts[name]
        assert {"nova-api", "neutron-api"} <= {unit["name"] for unit in plan["api_units"]}
        assert {"nova-compute", "neutron-openvswitch-agent"} <= {unit["name"] for unit in plan["agent_units"]}
    users = [user["name"] for user in hosts["hyperconverged-1"]["identity"]["users"]]
    assert sorted(users) == ["glance", "neutron", "nova", "placement"]


def test_a_further_controller_is_the_second_one_with_another_address(release):
    second, third = (text_of(plan_of(f"hyperconverged-{number}", release).parts) for number in (2, 3))
    own = second.replace('"controller2"', '"controller3"').replace("/controller2", "/controller3")
    # Lists of all hosts name both.
    for _ in range(2):
        own, third = (re.sub(r"192\.0\.2\.1[23]", "192.0.2.ME", text) for text in (own, third))
    assert own == third


# --- a cloud with TLS and three controllers ---------------------------------------------------------------------------


def test_no_url_of_a_cloud_with_tls_is_of_plain_http(tls_plan):
    assert "http://" not in text_of([tls_plan.parts, tls_plan.cloud])
    assert "http-socket" not in text_of(tls_plan["files"])


def test_who_connects_by_tls_checks_the_certificate(tls_plan):
    authority = tls_plan.shape.tls["ca_file"]
    clients = 0
    for path, entry in tls_plan.files.items():
        if not path.endswith(".conf") or "layers" not in entry or entry.get("format", "ini") != "ini":
            continue
        for section, options in tls_plan.options(path).items():
            if "auth_url" in options or section == "glance":
                clients += 1
                assert options["cafile"] == [authority], (path, section)
            if "connection" in options:
                assert options["connection"][0].endswith(f"?ssl_ca={authority}"), (path, section)
    assert clients >= 4


def test_clients_of_a_cloud_with_tls_know_the_authority(release):
    plan = plan_of("tls-controller", release)
    authority = plan.shape.tls["ca_file"]
    assert plan.options("/etc/neutron/metadata_agent.ini")["DEFAULT"]["auth_ca_cert"] == [authority]
    assert f"export OS_CACERT={authority}\n" in plan.files["/root/openrc"]["text"]
    assert f'cacert: "{authority}"' in plan.text("/etc/openstack/clouds.yaml")
    assert "OS_CACERT" not in plan_of("split-controller", release).files["/root/openrc"]["text"]


def test_the_console_of_a_cloud_with_tls_is_encrypted(release):
    options = plan_of("tls-controller", release).options(NOVA_CONF)["DEFAULT"]
    assert (options["ssl_only"], options["cert"], options["key"]) == (
        ["true"],
        [project.TLS["cert"]],
        [project.TLS["key"]],
    )


def test_three_controllers_are_named_wherever_hosts_are(release):
    plan = plan_of("tls-controller", release)
    options = plan.options(NOVA_CONF)
    for address in ("192.0.2.11", "192.0.2.12", "192.0.2.13"):
        assert f"@{address}:5672" in options["DEFAULT"]["transport_url"][0]
        assert f"{address}:11211" in options["cache"]["memcache_servers"][0]
    endpoint = plan["identity"]["services"][0]["endpoints"]["public"]
    assert endpoint.startswith("https://192.0.2.10:")


# --- the stages -------------------------------------------------------------------------------------------------------


def acting_stages() -> list[str]:
    """Return the stages that the tasks of a deployment name, in their order."""
    tasks = [*project.tasks_of(project.load(project.ROOT / "roles/deploy/tasks/main.yml"))]
    tasks += project.tasks_of(project.load(project.ROOT / "roles/deploy/tasks/cells.yml"))
    return [stage for task in tasks for stage in task.get("host_state", {}).get("stages", [])]


def test_the_tasks_of_a_deployment_are_all_stages_in_their_order():
    assert acting_stages() == list(NAMES)


def test_agents_start_when_apis_and_remote_calls_are_answered():
    order = acting_stages()
    assert order.index("agent_units") > max(order.index(name) for name in ("api_units", "api_endpoints", "queues"))
    assert order.index("api_units") > order.index("identity") > order.index("identity_endpoints")
    assert order.index("schema") > max(order.index(name) for name in ("databases", "messaging_users", "files"))


def test_a_failure_stops_every_host():
    for name in ("deploy", "preflight"):
        play = project.load(project.ROOT / f"playbooks/{name}.yml")[0]
        assert play["any_errors_fatal"] is True, name


def test_controllers_restart_their_services_one_after_the_other():
    tasks = project.tasks_of(project.load(project.ROOT / "roles/deploy/tasks/main.yml"))
    for task in tasks:
        stages = set(task.get("host_state", {}).get("stages", []))
        assert (task.get("throttle") == 1) == bool(stages & {"api_units", "identity_units"}), task["name"]
