# SPDX-License-Identifier: Apache-2.0
"""Guests run on a compute as the evaluation of KVM recommends, in libvirt itself, and leave nothing behind."""

from __future__ import annotations

testinfra_hosts = ["ansible://nova_computes"]


def test_a_guest_runs_under_the_recommended_virt_type(host, module):
    name = host.backend.host
    result = module(name, "kvm_verify", "require=any on_failure=report")[name]
    option = host.run("grep --only-matching --perl-regexp '^virt_type *= *\\K.*' /etc/nova/nova.conf").stdout.strip()
    assert option == result["recommended_virt_type"]
    test_guest = module(name, "kvm_test_guest", f"virt_type={option}")[name]
    assert test_guest["serial_line"], test_guest
    assert host.run("virsh --connect qemu:///system list --all --name").stdout.strip() == ""
    assert host.run("ls -d /var/tmp/kvm-test-guest-* /var/log/libvirt/qemu/kvm-test-guest-*").stdout == ""
