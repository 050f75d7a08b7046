# SPDX-License-Identifier: Apache-2.0
"""The recipe of the root file system of a blank lab machine. Its name contains a digest of the recipe."""

from __future__ import annotations

from ansible.module_utils.lab_mirror import digest
from ansible.module_utils.lab_plan import CACHE_NAME, CACHE_PORT, sources_list

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "python3-apt",
    "iproute2",
    "iputils-ping",
    "procps",
    "kmod",
    "ca-certificates",
    "curl",
    "sudo",
    "netbase",
)
APT_OPTIONS = ('Acquire::Languages "none"', 'APT::Install-Recommends "false"')
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "force-unsafe-io",
)
# Many connections from one address are normal: Ansible, testinfra, and the check that waits for a boot.
SSHD = "MaxSessions 100\nMaxStartups 100:30:200\n"
SSHD_SINCE_9_8 = "PerSourcePenalties no\n"
FILES = {
    "/etc/hostname": "localhost\n",
    "/etc/machine-id": "",
    "/etc/motd": "",
    "/etc/resolv.conf": "# the lab has no name server; /etc/hosts knows its machines\n",
    "/etc/ssh/sshd_config.d/lab.conf": SSHD,
}
MASKED_UNITS = ("apt-daily.timer", "apt-daily-upgrade.timer")  # they would lock dpkg during a deployment
IN_ROOT = (
    ["groupadd", "--system", "kvm"],  # the group of /dev/kvm in a udev rule
    ["apt-cache", "gencaches"],
)


def bootstrap_command(suite: str, target: str, sources: str, packages: tuple = PACKAGES) -> list:
    """Return the command that creates a root file system from a sources.list."""
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        "--skip=cleanup/apt/lists",
        f"--include={','.join(packages)}",
        *[f"--aptopt={option}" for option in APT_OPTIONS],
        *[f"--dpkgopt={option}" for option in DPKG_OPTIONS],
        suite,
        target,
        sources,
    ]


def cache_address() -> str:
    """Return the address of the package cache for machines."""
    return f"{CACHE_NAME}:{CACHE_PORT}"


def template_name(suite: str, architecture: str, mirror: dict) -> str:
    """Return the name of the template; another recipe gives another name."""
    parts = (
        architecture,
        sources_list(suite, cache_address(), mirror),
        bootstrap_command(suite, "", ""),
        sorted(FILES.items()),
        SSHD_SINCE_9_8,
        MASKED_UNITS,
        IN_ROOT,
    )
    return f"{suite}-{digest(*parts)}"
