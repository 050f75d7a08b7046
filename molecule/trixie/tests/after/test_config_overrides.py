# SPDX-License-Identifier: Apache-2.0
"""Options of the operator for each kind of file: in the file, in the process that reads it, and removed again.

The same runs leave on the compute what its module calls were given, so that the secrets in them can be looked for.
"""

from __future__ import annotations

import re

import pytest
import yaml
from conftest import write_inventory

NOVA, ML2 = "/etc/nova/nova.conf", "/etc/neutron/plugins/ml2/ml2_conf.ini"
MARIADB, RABBITMQ = "/etc/mysql/mariadb.conf.d/99-nova-ansible.cnf", "/etc/rabbitmq/rabbitmq.conf"
DROP_IN, UWSGI = "/etc/systemd/system/nova-.service.d/nova-ansible.conf", "/etc/placement/placement-api-uwsgi.ini"
POLICY = "/etc/glance/policy.yaml"
# Each level of the inventory sets some of them.
OVERRIDES = {
    "group_vars/all/more.yml": {
        MARIADB: {"mysqld": {"max_connections": 777, "character-set-server": "utf8mb3"}},
        RABBITMQ: {"heartbeat": 77},
        NOVA: {"DEFAULT": {"reclaim_instance_interval": None}},  # nothing sets it: no file changes
    },
    "group_vars/nova_controllers.yml": {
        ML2: {"ml2": {"path_mtu": 1477}},
        DROP_IN: {"Service": {"LimitNOFILE": 7777}},
        UWSGI: {"uwsgi": {"processes": 3}},
        POLICY: {"get_images": "!"},
    },
    "host_vars/compute1.yml": {NOVA: {"DEFAULT": {"reclaim_instance_interval": 77}}},
}
LINES = {
    "controller1": {
        MARIADB: "max_connections = 777",
        RABBITMQ: "heartbeat = 77",
        ML2: "path_mtu = 1477",
        DROP_IN: "LimitNOFILE=7777",
        UWSGI: "processes = 3",
        POLICY: 'get_images: "!"',
    },
    "compute1": {NOVA: "reclaim_instance_interval = 77"},
}
NOVA_UNITS = {f"nova-{name}" for name in ("api", "api-metadata", "conductor", "scheduler", "novncproxy")}
UNITS = {
    "controller1": {
        "mariadb",
        "rabbitmq-server",
        "neutron-api",
        "neutron-rpc-server",
        "placement-api",
        "glance-api",
        *NOVA_UNITS,
    },
    "compute1": {"nova-compute"},
}
KEPT = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"}
# The secrets that a compute needs: Nova's service account, and the message queues.
OF_A_COMPUTE = {"nova_service_password", "nova_messaging_password", "neutron_messaging_password"}


def starts(machine) -> dict:
    """Return an identifier of the start of each service that runs."""
    listed = machine.check_output("systemctl list-units --type=service --state=running --plain --no-legend")
    names = [line.split()[0] for line in listed.splitlines()]
    shown = machine.check_output(f"systemctl show --property=Id,InvocationID {' '.join(names)}")
    rows = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    return {row["Id"].removesuffix(".service"): row["InvocationID"] for row in rows}


def files(machine) -> dict:
    """Return owner, mode and checksum of every file of the configuration."""
    owners = machine.check_output("find /etc -xdev -type f -printf '%p %u:%g %m\\n'")
    sums = machine.check_output("find /etc -xdev -type f -exec sha256sum {} +")
    found = dict(line.split(" ", 1) for line in owners.splitlines())
    return {line[66:]: (found.get(line[66:]), line[:64]) for line in sums.splitlines()}


def state(machines: dict) -> dict:
    return {name: (starts(machine), files(machine)) for name, machine in machines.items()}


def differing(before: dict, after: dict) -> set:
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}


def restarted(before: dict, after: dict) -> dict:
    """Return the services of each machine that were restarted, without those of sessions."""
    found = {}
    for name in before:
        old, new = before[name][0], after[name][0]
        found[name] = {unit for unit in differing(old, new) if not re.match(r"(user@|ssh|systemd-)", unit)}
    return found


@pytest.fixture(scope="module")
def overridden(playbook, machines, tmp_path_factory):
    """Return what a run with the options did: the run, the state before and after, and the inventory."""
    variables = {path: {"config_overrides": options} for path, options in OVERRIDES.items()}
    inventory = write_inventory(tmp_path_factory.mktemp("overrides") / "inventory", lambda known: None, variables)
    before = state(machines)
    try:
        done = playbook("deploy.yml", "--diff", inventory=inventory, **KEPT)
        yield done, before, state(machines), inventory
    finally:
        machines["compute1"].run("rm -r /root/.ansible/tmp")
        machines["controller1"].run("rm -r /root/.ansible/tmp")
        playbook("deploy.yml")  # in case a test failed before the last one removed them


def test_the_run_changes_only_those_files_and_restarts_only_the_units_that_read_them(overridden):
    done, before, after, _ = overridden
    assert done.rc == 0, done.output[-3000:]
    changed = {name: differing(before[name][1], after[name][1]) for name in before}
    assert changed == {name: set(lines) for name, lines in LINES.items()}
    assert restarted(before, after) == UNITS
    said = {(host, unit) for host, kind, unit in done.changes if kind in ("restarted", "started", "stopped")}
    assert said == {(host, f"{unit}.service") for host, units in UNITS.items() for unit in units}


@pytest.mark.parametrize(("host", "path"), [(host, path) for host, lines in LINES.items() for path in lines])
def test_the_option_is_in_the_file(overridden, machines, host, path):
    assert LINES[host][path] in machines[host].file(path).content_string.splitlines()


def test_the_options_are_in_the_processes_that_read_the_files(overridden, machines):
    controller = machines["controller1"]
    limits = "systemctl show --value --property=LimitNOFILE nova-scheduler"
    assert controller.check_output(limits) == "7777"
    pid = controller.check_output("systemctl show --value --property=MainPID nova-scheduler")
    assert re.search(r"Max open files +7777 +7777", controller.file(f"/proc/{pid}/limits").content_string)
    asked = "mariadb --skip-column-names --execute \"SHOW VARIABLES LIKE 'max_connections'\""
    assert controller.check_output(asked).split() == ["max_connections", "777"]
    assert controller.check_output("rabbitmqctl --quiet eval 'application:get_env(rabbit, heartbeat).'") == "{ok,77}"
    processes = controller.check_output(f"pgrep --full --count 'uwsgi.*{UWSGI}'")
    assert processes == "4", "a master and three workers"


IMAGES = "import openstack; print(openstack.connect(cloud='default').image.get('/images').status_code)"


def test_the_policy_is_in_effect(overridden, machines):
    assert machines["controller1"].check_output(f'python3 -c "{IMAGES}"') == "403"


def test_a_compute_is_sent_only_its_own_secrets(overridden, machines, secrets_in):
    calls = machines["compute1"].check_output("find /root/.ansible/tmp -name AnsiballZ_host_state.py").split()
    assert len(calls) >= 3, "the look, the files, the agents"
    found = secrets_in("\n".join(machines["compute1"].file(path).content_string for path in calls))
    assert set(found) == OF_A_COMPUTE
    sent = machines["controller1"].check_output("find /root/.ansible/tmp -name AnsiballZ_host_state.py").split()
    theirs = secrets_in("\n".join(machines["controller1"].file(path).content_string for path in sent))
    assert {"nova_database_password", "keystone_admin_password"} <= set(theirs), "the search finds what is sent"


def test_a_second_run_changes_nothing(overridden, playbook, machines):
    _, _, after, inventory = overridden
    again = playbook("deploy.yml", inventory=inventory)
    assert again.rc == 0, again.output[-3000:]
    assert (again.changed, again.changes) == (set(), set())
    assert restarted(after, state(machines)) == {name: set() for name in machines}


def test_removing_the_options_restores_everything(overridden, playbook, machines, secrets_in):
    _, before, changed, _ = overridden
    done = playbook("deploy.yml", "--diff")
    assert done.rc == 0, done.output[-3000:]
    assert secrets_in(done.output) == []
    after, controller = state(machines), machines["controller1"]
    left = {name: differing(before[name][1], after[name][1]) for name in before}
    assert left == {"controller1": {POLICY}, "compute1": set()}
    assert yaml.safe_load(controller.file(POLICY).content_string) == {}, (
        "without a rule, for the services that have read it"
    )
    assert restarted(changed, after) == UNITS
    answers = {controller.check_output(f'python3 -c "{IMAGES}"') for _ in range(8)}
    assert answers == {"200"}, "every worker of glance-api has dropped the policy"
    assert controller.check_output("systemctl show --value --property=LimitNOFILE nova-scheduler") != "7777"
