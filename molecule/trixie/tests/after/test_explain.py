# SPDX-License-Identifier: Apache-2.0
"""The source of an option of the deployed cloud, explained without a connection to its hosts."""

from __future__ import annotations

NOVA = "/etc/nova/nova.conf"


def out_of_reach(known: dict) -> None:
    for host in known["_meta"]["hostvars"].values():
        host["ansible_host"] = "192.0.2.1"  # reserved for documentation: no host has it
        host["ansible_ssh_common_args"] = "-o ConnectTimeout=1 -o ControlPath=none"


def test_an_option_is_explained_with_value_layer_and_source_and_no_host_is_contacted(playbook, inventory, machines):
    done = playbook("explain.yml", "-vvv", "-e", "option=vnc.server_listen", inventory=inventory(out_of_reach))
    assert done.rc == 0, done.output[-3000:]
    assert "ESTABLISH" not in done.output and "192.0.2.1" not in done.output
    lines = done.output.splitlines()
    begin = lines.index(f"compute1: {NOVA}")
    name, _, value = lines[begin + 1].strip().partition(" = ")
    assert name == "vnc.server_listen"
    assert lines[begin + 2].strip() == "from nova: compute_vnc (roles/nova/vars/main/config.yml)"
    written = machines["compute1"].check_output(f"sed -n '/^\\[vnc\\]/,/^\\[/s/^server_listen = //p' {NOVA}")
    assert value == written, "the explained value is the deployed one"


def test_an_override_is_explained_with_its_file_and_what_it_replaces(playbook, inventory, tmp_path):
    override = {"config_overrides": {NOVA: {"vnc": {"server_listen": "127.0.0.2"}}}}
    where = inventory(out_of_reach, {"group_vars/nova_computes.yml": override})
    done = playbook("explain.yml", "-e", "option=vnc.server_listen", inventory=where)
    assert done.rc == 0, done.output[-3000:]
    lines = [line.strip() for line in done.output.splitlines()]
    begin = lines.index(f"compute1: {NOVA}")
    assert lines[begin + 1] == "vnc.server_listen = 127.0.0.2"
    assert lines[begin + 2] == f"from group nova_computes ({tmp_path}/inventory/group_vars/nova_computes.yml:1)"
    assert lines[begin + 3].startswith("instead of 10.77.0.21 from nova: compute_vnc (")


def test_no_secret_is_explained(playbook, inventory, secrets_in):
    done = playbook("explain.yml", "-vvv", "-e", f"file={NOVA}", inventory=inventory(out_of_reach))
    assert done.rc == 0, done.output[-3000:]
    assert "keystone_authtoken.password = ***" in done.output
    assert secrets_in(done.output) == []
