# SPDX-License-Identifier: Apache-2.0
"""The decision on the datapath of Open vSwitch, for kernels and containers of all kinds."""

from __future__ import annotations

import pytest
from ansible.module_utils.host import ovs_datapath
from ansible.module_utils.host.commands import Done

FILE = (
    "insmod /lib/modules/6.1/kernel/net/nsh/nsh.ko.xz \n"
    "insmod /lib/modules/6.1/kernel/net/openvswitch/openvswitch.ko.xz \n"
)
ON_DISK = ovs_datapath.Kernel(False, FILE, permitted=True, disabled=False, signed_only=False, signed=False)


@pytest.mark.parametrize(
    ("changes", "datapath"),
    [
        ({}, "system"),
        ({"shown": ""}, "netdev"),
        ({"loaded": True, "shown": ""}, "system"),
        ({"loaded": True, "permitted": False, "disabled": True}, "system"),
        ({"shown": "builtin openvswitch\n", "permitted": False, "disabled": True}, "system"),
        ({"permitted": False}, "netdev"),
        ({"disabled": True}, "netdev"),
        ({"signed_only": True}, "netdev"),
        ({"signed_only": True, "signed": True}, "system"),
        ({"shown": "insmod /lib/modules/6.1/kernel/net/nsh/nsh.ko\ninstall /bin/false \n"}, "netdev"),
        ({"shown": "insmod /lib/modules/6.1/kernel/net/vport-openvswitch.ko\n"}, "netdev"),
    ],
)
def test_the_datapath_is_that_of_the_kernel_where_it_has_or_may_load_the_module(changes, datapath):
    assert ovs_datapath.choose(ON_DISK._replace(**changes)) == datapath


ROOT = "CapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n"
FIRST = "         0          0 4294967295\n"


@pytest.mark.parametrize(
    ("status", "uid_map", "may"),
    [
        (ROOT, FIRST, True),
        ("CapEff:\t000001fffffeffff\n", FIRST, False),  # a container without CAP_SYS_MODULE
        (ROOT, "         0     100000      65536\n", False),  # root of another user namespace
        ("", "", False),
    ],
)
def test_only_root_of_the_first_user_namespace_with_the_capability_may_load_modules(status, uid_map, may):
    assert ovs_datapath.may_load_modules(status, uid_map) is may


@pytest.fixture
def host(monkeypatch):
    """Return a function that reads a host of some files, and the commands that it ran."""

    def read(files, signature=""):
        calls = []

        def answer(argv, **_options):
            calls.append(list(argv))
            return Done(0, FILE if argv[0] == "modprobe" else signature)

        monkeypatch.setattr(ovs_datapath, "LOADED", "/sys/module/no-such-module")
        monkeypatch.setattr(ovs_datapath, "_read", lambda path: files.get(path, ""))
        monkeypatch.setattr(ovs_datapath.commands, "run", answer)
        return ovs_datapath.read_kernel(), calls

    return read


PERMITTED = {"/proc/self/status": ROOT, "/proc/self/uid_map": FIRST}


def test_reading_a_host_loads_nothing(host):
    kernel, calls = host(PERMITTED)
    assert kernel == ON_DISK
    assert calls == [["modprobe", "--show-depends", "openvswitch"]]


@pytest.mark.parametrize(
    ("path", "text", "field"),
    [
        ("/proc/sys/kernel/modules_disabled", "1\n", "disabled"),
        ("/sys/module/module/parameters/sig_enforce", "Y\n", "signed_only"),
        ("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n", "signed_only"),
        ("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n", "signed_only"),
    ],
)
def test_a_kernel_that_refuses_the_module_is_recognized(host, path, text, field):
    kernel, _calls = host({**PERMITTED, path: text})
    assert kernel == ON_DISK._replace(**{field: True})
    assert ovs_datapath.choose(kernel) == "netdev"


def test_a_signed_module_is_loaded_by_a_locked_down_kernel(host):
    kernel, calls = host({**PERMITTED, "/sys/kernel/security/lockdown": "none [integrity] confidentiality"}, "PKCS#7\n")
    assert ovs_datapath.choose(kernel) == "system"
    assert calls[1:] == [["modinfo", "--field=sig_id", "openvswitch"]]


def test_a_kernel_without_lockdown_is_recognized(host):
    kernel, _calls = host({**PERMITTED, "/sys/kernel/security/lockdown": "[none] integrity confidentiality\n"})
    assert kernel == ON_DISK
