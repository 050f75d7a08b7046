# SPDX-License-Identifier: Apache-2.0
"""Guests run on a compute as the verdict on KVM says, in libvirt itself, and leave nothing behind."""

from __future__ import annotations

testinfra_hosts = ["ansible://nova_computes"]


def test_a_guest_runs_under_the_recommended_virt_type(host, module):
    name = host.backend.host
    verdict = module(name, "kvm_verify", "require=any on_failure=report")[name]
    option = host.run("grep --only-matching --perl-regexp '^virt_type *= *\\K.*' /etc/nova/nova.conf").stdout.strip()
    assert option == verdict["recommended_virt_type"]
    trial = module(name, "kvm_test_guest", f"virt_type={option}")[name]
    assert trial["said"], trial
    assert host.run("virsh --connect qemu:///system list --all --name").stdout.strip() == ""
    assert host.run("ls -d /var/tmp/kvm-trial-* /var/log/libvirt/qemu/kvm-trial-*").stdout == ""
