# SPDX-License-Identifier: Apache-2.0
"""More computes than there are machines: one machine under several names and addresses.

A stand-in is an sshd in the compute's machine with its own host name, address and /etc. Ansible reaches it
over its own connection, and every module runs on it for real, against the machine's systemd, packages, Open vSwitch
and KVM. Not real: there is one set of daemons, which all stand-ins share like the machine's page cache; and Nova knows
stand-ins by rows in its database, copied from the compute's, whose time of last report a loop on the controller renews.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

NAME = "stand-in-"
PORT = 2222
DIRECTORY = "/run/bench"
# In its own mount and UTS namespaces. The session directory of sshd exists because the machine's own sshd runs.
BEGIN = """
mkdir -p "$0/upper" "$0/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" bench /etc
hostname "$1"
echo "$1" >/etc/hostname
echo "$2 $1" >>/etc/hosts
exec /usr/sbin/sshd -D -o "ListenAddress=$2" -o "Port=$3" -o PidFile=none
"""
BEAT = "UPDATE services SET updated_at = UTC_TIMESTAMP(), last_seen_up = UTC_TIMESTAMP() WHERE host LIKE '{name}%';"


def names(count: int) -> list:
    """Return the names of stand-ins."""
    return [f"{NAME}{number}" for number in range(1, count + 1)]


def address(of: str, name: str) -> str:
    """Return the address of a stand-in: in the network of the compute's, above every machine of a lab."""
    return re.sub(r"\d+$", str(100 + int(name[len(NAME) :])), of)


def begin_script(compute: str, count: int) -> str:
    """Return the shell script for the compute's machine that starts stand-ins."""
    lines = ["set -eu"]
    for name in names(count):
        where = address(compute, name)
        # A transient unit, so that the machine's control group counts its CPU time.
        unshare = ["unshare", "--uts", "--mount", "--propagation=private", "sh", "-euc", BEGIN]
        unit = ["systemd-run", "--quiet", "--collect", f"--unit=bench-{name}"]
        lines.append(f"ip address replace {where} dev eth0{' nodad' if ':' in where else ''}")
        lines.append(shlex.join([*unit, *unshare, f"{DIRECTORY}/{name}", name, where, str(PORT)]))
    return "\n".join(lines) + "\n"


def end_script(compute: str, count: int) -> str:
    """Return the shell script for the compute's machine that removes its stand-ins."""
    lines = ["systemctl stop 'bench-*.service'", f"rm -rf {DIRECTORY}"]
    lines += [f"ip address delete {address(compute, name)} dev eth0 2>/dev/null || :" for name in names(count)]
    return "\n".join(lines) + "\n"


def rows_sql(compute: str, count: int) -> str:
    """Return the SQL that copies the compute's records for each stand-in."""
    copies = (
        ("services", f"host = '{compute}' AND `binary` = 'nova-compute'", "host"),
        ("compute_nodes", f"host = '{compute}'", "host hypervisor_hostname"),
    )
    lines = ["USE nova;"]
    for table, where, fields in copies:
        lines.append(f"CREATE TEMPORARY TABLE one SELECT * FROM {table} WHERE {where} AND deleted = 0;")
        for name in names(count):
            own = ", ".join(f"{field} = '{name}'" for field in fields.split())
            lines.append(f"UPDATE one SET id = 0, uuid = UUID(), {own};")  # 0: the next number
            lines.append(f"INSERT INTO {table} SELECT * FROM one;")
        lines.append("DROP TEMPORARY TABLE one;")
    return "\n".join(lines) + "\n"


def no_rows_sql() -> str:
    """Return the SQL that removes the records of stand-ins."""
    tables = ("nova.services", "nova.compute_nodes", "nova_api.host_mappings")
    return "".join(f"DELETE FROM {table} WHERE host LIKE '{NAME}%';\n" for table in tables)


def beat_script(seconds: int = 15) -> str:
    """Return the shell script for the controller that keeps reporting the stand-ins as up."""
    loop = f"while :; do echo {shlex.quote(BEAT.format(name=NAME))} | mariadb nova; sleep {seconds}; done"
    return shlex.join(["systemd-run", "--quiet", "--collect", "--unit=bench-beat", "sh", "-c", loop]) + "\n"


def common_arguments(arguments: str, sockets: Path, host_key: str) -> str:
    """Return the ssh arguments of a host with connections of the bench's own, which its control group counts."""
    words = [
        f"ControlPath={sockets}/%h" if word.startswith("ControlPath=") else word for word in shlex.split(arguments)
    ]
    return shlex.join([*words, "-o", f"HostKeyAlias={host_key}"])


def inventory(hosts: dict, compute: str, count: int, sockets: Path) -> str:
    """Return an inventory, to be read after the lab's, of its machines and of the compute's stand-ins."""
    known = {}
    for name in [*hosts, *names(count)]:
        row = dict(hosts[compute if name.startswith(NAME) else name])
        own = common_arguments(row["ansible_ssh_common_args"], sockets, row["ansible_host"])
        if name.startswith(NAME):
            where = address(row["management_address"], name)
            known[name] = {**row, "ansible_host": where, "ansible_port": PORT, "management_address": where}
            known[name]["ansible_ssh_common_args"] = own
        else:
            known[name] = {"ansible_ssh_common_args": own}
    members = dict.fromkeys(names(count), {})
    groups = {group: {"hosts": members} for group in ("nova_computes", "lab")}
    return json.dumps({"all": {"hosts": known, "children": groups}}, indent=1) + "\n"
