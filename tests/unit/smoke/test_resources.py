# SPDX-License-Identifier: Apache-2.0
"""What a test instance needs: which resources are reused, replaced, made and removed."""

from __future__ import annotations

import pytest
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.smoke import resources
from ansible.module_utils.smoke.steps import StepFailed
from fake_cloud import FakeCloud

IMAGE = {
    "files": {part: {"name": part, "size": 1, "sha256": part * 2} for part in ("kernel", "initramfs", "disk")},
    "recipe": {"command_line": "quiet", "architecture": "aarch64"},
}


# --- the security group -----------------------------------------------------------------------------------------------

ICMP = {
    "direction": "ingress",
    "ethertype": "IPv4",
    "protocol": "icmp",
    "remote_ip_prefix": None,
    "remote_group_id": None,
    "port_range_min": None,
    "port_range_max": None,
}
SSH = {**ICMP, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
OUT = {**ICMP, "id": "out", "direction": "egress", "protocol": None}


def test_a_new_security_group_gets_its_two_rules():
    assert resources.rule_changes([OUT], 22) == ([ICMP, SSH], [])


def test_a_correct_security_group_is_left_alone():
    assert resources.rule_changes([OUT, {**SSH, "id": "s"}, {**ICMP, "id": "i"}], 22) == ([], [])


@pytest.mark.parametrize(
    "other",
    [
        {"port_range_max": 2222},
        {"remote_ip_prefix": "10.0.0.0/8"},
        {"ethertype": "IPv6"},
        {"port_range_min": 2222, "port_range_max": 2222},
        {"protocol": "udp"},
    ],
)
def test_other_rules_are_removed_from_the_security_group(other):
    stray = {**SSH, **other, "id": "x"}
    assert resources.rule_changes([OUT, {**ICMP, "id": "i"}, {**SSH, "id": "s"}, stray], 22) == ([], [stray])
    assert resources.rule_changes([OUT, {**ICMP, "id": "i"}, stray], 22) == ([SSH], [stray])


# --- the images -------------------------------------------------------------------------------------------------------


def test_the_disk_image_refers_to_its_kernel():
    kernel = resources.image_properties("kernel", "v", IMAGE, {})
    disk = resources.image_properties("disk", "v", IMAGE, {"kernel": "k-id", "initramfs": "r-id"})
    assert (kernel["disk_format"], kernel["name"], kernel["nova_smoke_test_sha256"]) == (
        "raw",
        "v-kernel",
        "kernelkernel",
    )
    assert (
        disk.items()
        >= {
            "disk_format": "raw",
            "container_format": "bare",
            "kernel_id": "k-id",
            "ramdisk_id": "r-id",
            "os_command_line": "quiet",
            "hw_architecture": "aarch64",
            "nova_smoke_test": "v",
        }.items()
    )


def glance(images, tmp_path):
    """Return a cloud with these images, and the directory of the test image; a new image is stored at once."""
    for part in resources.PARTS:
        (tmp_path / part).write_bytes(b"x")

    def listed(query):
        key = next(iter(query), None)
        return {"images": [image for image in images if image.get(key) == query[key]], "id": "new"} if key else new

    new = {"id": "new"}
    return FakeCloud({"/images": listed, "/images/new": {"id": "new", "status": "active", "size": 1}})


def present(part, ids, mark="nova_smoke_test"):
    """Return an image as Glance lists it."""
    properties = resources.image_properties(part, "v", IMAGE, ids)
    marked = {key.replace("nova_smoke_test", mark): value for key, value in properties.items()}
    return {**marked, "id": f"{part}-id", "status": "active"}


IDS = {"kernel": "kernel-id", "initramfs": "initramfs-id", "disk": "disk-id"}


def test_correct_images_are_reused(tmp_path):
    cloud = glance([present(part, IDS) for part in resources.PARTS], tmp_path)
    assert resources.ensure_images(cloud, "v", IMAGE, str(tmp_path)) == (IDS, [])
    assert cloud.removed == []


def test_an_image_with_another_hash_is_replaced_with_the_disk_that_refers_to_it(tmp_path):
    images = [present(part, IDS) for part in resources.PARTS]
    images[1]["nova_smoke_test_sha256"] = "other"
    cloud = glance(images, tmp_path)
    ids, uploaded = resources.ensure_images(cloud, "v", IMAGE, str(tmp_path))
    assert uploaded == ["initramfs", "disk"] and ids["kernel"] == "kernel-id"
    assert cloud.removed == ["/images/initramfs-id", "/images/disk-id"]


def test_images_of_the_former_module_name_are_replaced(tmp_path):
    cloud = glance([present(part, IDS, mark="nova_flow") for part in resources.PARTS], tmp_path)
    _ids, uploaded = resources.ensure_images(cloud, "v", IMAGE, str(tmp_path))
    assert uploaded == ["kernel", "initramfs", "disk"]
    assert cloud.removed == ["/images/kernel-id", "/images/initramfs-id", "/images/disk-id"]


# --- what earlier runs made -------------------------------------------------------------------------------------------


def leftovers(mark):
    """Return a cloud with one resource of each kind that a run left, and one of each that it must not touch."""
    text = f"made by {mark} for v"
    ours, other = {"name": "v", "description": text}, {"name": "v", "description": f"{text}-2", "id": "other"}
    return FakeCloud(
        {
            "/servers/detail": {
                "servers": [
                    {"id": "s1", "name": "v", "metadata": {mark: "v"}},
                    {"id": "other", "name": "v", "metadata": {mark: "v-2"}},
                ]
            },
            "/security-groups": {"security_groups": [{**ours, "id": "g1"}, other]},
            "/networks": {"networks": [{**ours, "id": "n1"}, other]},
            "/images": lambda query: {"images": [{"id": "i1", "name": "v-disk"}] if query.get(mark) == "v" else []},
            "/flavors/detail": {"flavors": [{**ours, "id": "f1"}, other]},
        }
    )


@pytest.mark.parametrize("mark", ["nova_smoke_test", "nova_flow"])
def test_everything_of_an_earlier_run_is_removed_and_nothing_else(mark):
    cloud = leftovers(mark)
    removed, problems = resources.remove_all(cloud, "v", 5)
    assert removed == ["instance v", "security group v", "network v", "image v-disk", "flavor v"] and problems == []
    assert cloud.removed == ["/servers/s1", "/security-groups/g1", "/networks/n1", "/images/i1", "/flavors/f1"]


def test_a_resource_that_cannot_be_removed_does_not_keep_the_others():
    cloud = leftovers("nova_smoke_test")
    del cloud.answers["/networks"]
    removed, problems = resources.remove_all(cloud, "v", 5)
    assert removed == ["instance v", "security group v", "image v-disk", "flavor v"]
    assert problems == ["cannot remove network v: GET /networks -> 404"]


def test_an_instance_that_stays_is_a_problem():
    cloud = leftovers("nova_smoke_test")
    cloud.answers["/servers/s1"] = {"server": {}}
    removed, problems = resources.remove_all(cloud, "v", 0)
    assert "instance v" not in removed
    assert problems == ["cannot remove instance v: 1 of 1 instances still exist 0 s after their deletion: s1"]


def test_a_network_in_use_is_reported_with_its_users():
    class Used(FakeCloud):
        def remove(self, service, path):
            raise HttpError("in use", 409)

    ports = [
        {"id": "p1", "device_owner": "network:dhcp", "device_id": "d1"},
        {"id": "p2", "device_owner": "compute:nova", "device_id": "s9"},
        {"id": "p3", "device_owner": "", "device_id": ""},
    ]
    with pytest.raises(HttpError, match="still in use by compute:nova s9, no owner p3"):
        resources.delete_network(Used({"/ports": {"ports": ports}}), {"id": "n1"})


# --- flavor and network -----------------------------------------------------------------------------------------------

SIZE = {"ram": 128, "vcpus": 1, "disk": 1}


@pytest.mark.parametrize("mark", ["nova_smoke_test", "nova_flow"])
def test_a_flavor_is_reused_when_its_size_is_right(mark):
    flavor = {"id": "f1", "name": "v", "description": f"made by {mark} for v", **SIZE}
    cloud = FakeCloud({"/flavors/detail": {"flavors": [flavor]}, "/flavors": {"flavor": {"id": "f2"}}})
    assert resources.ensure_flavor(cloud, "v", SIZE) == ("f1", False) and cloud.removed == []
    assert resources.ensure_flavor(cloud, "v", {**SIZE, "ram": 256}) == ("f2", True)
    assert cloud.removed == ["/flavors/f1"]


def test_a_flavor_of_another_owner_is_left_alone():
    def conflict(_query):
        raise HttpError("exists", 409)

    other = {"id": "f1", "name": "v", "description": "", **SIZE}
    cloud = FakeCloud({"/flavors/detail": {"flavors": [other]}, "/flavors": conflict})
    with pytest.raises(StepFailed, match="a flavor named v exists that this module did not make"):
        resources.ensure_flavor(cloud, "v", SIZE)
    assert cloud.removed == []


def test_a_network_of_another_owner_needs_a_subnet():
    network = {"id": "n1", "name": "public", "description": ""}
    subnets = [{"ip_version": 6, "enable_dhcp": True}, {"ip_version": 4, "enable_dhcp": False}]
    cloud = FakeCloud({"/networks": {"networks": [network]}, "/subnets": {"subnets": subnets}})
    with pytest.raises(StepFailed, match="has no IPv4 subnet with DHCP"):
        resources.ensure_network(cloud, "v", {"name": "public"})
    subnets.append({"ip_version": 4, "enable_dhcp": True, "cidr": "10.0.0.0/24"})
    assert resources.ensure_network(cloud, "v", {"name": "public"}) == (network, subnets[2], False)


def test_a_network_is_not_made_without_its_addresses():
    cloud = FakeCloud({"/networks": {"networks": []}})
    with pytest.raises(StepFailed, match="no network is named v; set physical_network and cidr"):
        resources.ensure_network(cloud, "v", {"physical_network": "provider"})
