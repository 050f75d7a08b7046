# SPDX-License-Identifier: Apache-2.0
"""What a test instance needs in a cloud: found when it is right, made when it is not, and removed.

Everything made has the name of the smoke test and a mark (a property or a description). A later run recognizes it by
them, even after a killed run, and nothing else is ever removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypedDict

from ansible.module_utils.guest.image import Image
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message
from ansible.module_utils.openstack.session import Cloud
from ansible.module_utils.smoke.steps import StepFailed, wait_for

MARK = "nova_smoke_test"
MARKS = (MARK, "nova_flow")  # the second one: a former name of the module
PARTS = ("kernel", "initramfs", "disk")
DHCP_OWNERS = ("network:dhcp", "network:distributed")
UPLOAD_LIMIT = 60  # seconds that Glance may take to store an image that it received


class NetworkOptions(TypedDict, total=False):
    """The requested provider network, as the option `network` of the module describes it."""

    name: str | None
    physical_network: str | None
    cidr: str | None
    gateway: str | None
    allocation_pool: dict[str, str] | None
    shared: bool


def description(name: str, mark: str = MARK) -> str:
    """Return the description that marks a resource."""
    return f"made by {mark} for {name}"


def is_marked(resource: Mapping[str, Any], name: str) -> bool:
    """Tell whether the description of a resource marks it."""
    return resource["description"] in [description(name, mark) for mark in MARKS]


# --- what earlier runs made -------------------------------------------------------------------------------------------


def owned_servers(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Return the instances of a smoke test."""
    servers = cloud.get("compute", "/servers/detail", name=name)["servers"]
    return [server for server in servers if name in [server["metadata"].get(mark) for mark in MARKS]]


def owned_images(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Return the images of a smoke test."""
    return [image for mark in MARKS for image in cloud.get("image", "/images", **{mark: name}, limit=100)["images"]]


def owned_flavors(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Return the flavors of a smoke test."""
    flavors = cloud.get("compute", "/flavors/detail", is_public="None")["flavors"]
    return [flavor for flavor in flavors if flavor["name"] == name and is_marked(flavor, name)]


def owned_networks(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Return the networks of a smoke test."""
    networks = cloud.get("network", "/networks", name=name)["networks"]
    return [network for network in networks if is_marked(network, name)]


def owned_groups(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Return the security groups of a smoke test."""
    groups = cloud.get("network", "/security-groups", name=name, project_id=cloud.project_id)["security_groups"]
    return [group for group in groups if is_marked(group, name)]


# --- removal ----------------------------------------------------------------------------------------------------------


def delete_servers(cloud: Cloud, servers: Collection[Mapping[str, Any]], seconds: float) -> None:
    """Delete instances with their ports and disks; raise StepFailed when one still exists after this many seconds."""
    for server in servers:
        cloud.remove("compute", f"/servers/{server['id']}")
    pending = [server["id"] for server in servers]

    def gone() -> bool:
        for server_id in list(pending):
            try:
                cloud.get("compute", f"/servers/{server_id}")
            except HttpError as error:
                if error.code != 404:
                    raise
                pending.remove(server_id)
        return not pending

    if servers and not wait_for(gone, seconds, 0.5):
        raise StepFailed(
            Message(
                f"{len(pending)} of {len(servers)} instances still exist {seconds} s after their deletion: "
                f"{', '.join(pending)}"
            ),
            ["Look at nova-compute.log on their host."],
        )


def delete_network(cloud: Cloud, network: Mapping[str, Any]) -> None:
    """Delete a network; raise HttpError, with the users of the network when it is still in use."""
    try:
        cloud.remove("network", f"/networks/{network['id']}")
    except HttpError as error:
        if error.code != 409:
            raise
        ports = cloud.get("network", "/ports", network_id=network["id"])["ports"]
        users = [
            f"{port['device_owner'] or 'no owner'} {port['device_id'] or port['id']}"
            for port in ports
            if port["device_owner"] not in DHCP_OWNERS
        ]
        raise HttpError(
            Message(f"the network is still in use by {', '.join(users) or 'an unknown port'}"), 409
        ) from None


def remove_all(cloud: Cloud, name: str, seconds: float) -> tuple[list[str], list[Message]]:
    """Remove everything of a smoke test, users first; return what was removed, and the problems of what was not."""
    removed: list[str] = []
    problems: list[Message] = []

    def instances() -> Iterator[str]:
        servers = owned_servers(cloud, name)
        delete_servers(cloud, servers, seconds)
        yield from (server["name"] for server in servers)

    def each(
        owned: Callable[[Cloud, str], Iterable[Mapping[str, Any]]], delete: Callable[[Mapping[str, Any]], object]
    ) -> Iterator[str]:
        for resource in owned(cloud, name):
            delete(resource)
            yield resource["name"]

    removals = {
        "instance": instances(),
        "security group": each(owned_groups, lambda group: cloud.remove("network", f"/security-groups/{group['id']}")),
        "network": each(owned_networks, lambda network: delete_network(cloud, network)),
        "image": each(owned_images, lambda image: cloud.remove("image", f"/images/{image['id']}")),
        "flavor": each(owned_flavors, lambda flavor: cloud.remove("compute", f"/flavors/{flavor['id']}")),
    }
    for kind, names in removals.items():
        try:
            for gone in names:
                removed.append(f"{kind} {gone}")
        except (HttpError, StepFailed) as error:
            problems.append(Message(f"cannot remove {kind} {name}: {error}"))
    return removed, problems


# --- found or made ----------------------------------------------------------------------------------------------------


def image_properties(part: str, name: str, image: Image, ids: Mapping[str, str]) -> dict[str, str]:
    """Return the properties in Glance of a part of the test image; ids are those of the parts before it."""
    wanted = {
        "name": f"{name}-{part}",
        # Not ami, aki and ari: Nova refuses a raw disk in an ami image, and the live migration with the other two.
        "disk_format": "raw",
        "container_format": "bare",
        MARK: name,
        f"{MARK}_sha256": image["files"][part]["sha256"],
    }
    if part == "disk":
        wanted["kernel_id"] = ids["kernel"]
        wanted["ramdisk_id"] = ids["initramfs"]
        wanted["os_command_line"] = image["recipe"]["command_line"]
        wanted["hw_architecture"] = image["recipe"]["architecture"]
    return wanted


def ensure_images(cloud: Cloud, name: str, image: Image, directory: str) -> tuple[dict[str, str], list[str]]:
    """Return the ids in Glance by part, and the parts that were uploaded; images that differ are replaced."""
    present = owned_images(cloud, name)
    ids: dict[str, str] = {}
    uploaded: list[str] = []
    for part in PARTS:
        wanted = image_properties(part, name, image, ids)
        named = [found for found in present if found["name"] == wanted["name"]]
        right = [found for found in named if found["status"] == "active" and found.items() >= wanted.items()]
        for found in named:
            if found not in right[:1]:
                cloud.remove("image", f"/images/{found['id']}")
        if right:
            ids[part] = right[0]["id"]
            continue
        ids[part] = upload_image(cloud, wanted, os.path.join(directory, image["files"][part]["name"]))
        uploaded.append(part)
    return ids, uploaded


def upload_image(cloud: Cloud, wanted: Mapping[str, str], path: str) -> str:
    """Make an image from a file and return its id; raise StepFailed when Glance does not store it."""
    image_id: str = cloud.call("image", "POST", "/images", {**wanted, "visibility": "private"})["id"]
    cloud.upload(image_id, path)

    def stored() -> dict[str, Any] | None:
        image = cloud.get("image", f"/images/{image_id}")
        return image if image["status"] not in ("saving", "importing") else None

    image = wait_for(stored, UPLOAD_LIMIT) or {"status": "still saving", "size": None}
    status, stored_bytes, sent_bytes = image["status"], image["size"], os.path.getsize(path)
    if status != "active" or stored_bytes != sent_bytes:
        raise StepFailed(
            Message(f"image {wanted['name']} is {status} with {stored_bytes} bytes after the upload of {sent_bytes}"),
            ["Look at glance-api.log and at the free space on its disk."],
        )
    return image_id


def ensure_flavor(cloud: Cloud, name: str, size: Mapping[str, int]) -> tuple[str, bool]:
    """Return the id of the flavor, and whether it was made; raise StepFailed when another flavor has its name."""
    for flavor in owned_flavors(cloud, name):
        if {key: flavor[key] for key in size} == size:
            return flavor["id"], False
        cloud.remove("compute", f"/flavors/{flavor['id']}")
    wanted = {"name": name, "description": description(name), "os-flavor-access:is_public": False, **size}
    try:
        return cloud.call("compute", "POST", "/flavors", {"flavor": wanted})["flavor"]["id"], True
    except HttpError as error:
        if error.code == 409:
            raise StepFailed(
                Message(f"a flavor named {name} exists that this module did not make; use another name")
            ) from None
        raise


def find_network(cloud: Cloud, name: str, options: NetworkOptions) -> dict[str, Any] | None:
    """Return the network of the requested name, else the flat one on the requested physical network, else None.

    A physical network can have only one flat network.
    """
    named = cloud.get("network", "/networks", name=options.get("name") or name)["networks"]
    if len(named) > 1:
        raise StepFailed(
            Message(
                f"{len(named)} networks are named {named[0]['name']}: "
                f"{', '.join(network['id'] for network in named)}; rename all but one of them"
            )
        )
    if named or not options.get("physical_network"):
        return named[0] if named else None
    provider = {"network_type": "flat", "physical_network": options["physical_network"]}
    query = {f"provider:{key}": value for key, value in provider.items()}
    flat = cloud.get("network", "/networks", **query)["networks"]
    return flat[0] if flat else None


def make_network(cloud: Cloud, name: str, options: NetworkOptions) -> dict[str, Any]:
    """Make the flat provider network; raise StepFailed when the options do not suffice."""
    wanted_name = options.get("name") or name
    if not options.get("physical_network") or not options.get("cidr"):
        raise StepFailed(
            Message(f"no network is named {wanted_name}; set physical_network and cidr, so that it can be made")
        )
    wanted = {
        "name": wanted_name,
        "description": description(name),
        "shared": bool(options.get("shared")),
        "provider:network_type": "flat",
        "provider:physical_network": options["physical_network"],
    }
    return cloud.call("network", "POST", "/networks", {"network": wanted})["network"]


def ensure_network(cloud: Cloud, name: str, options: NetworkOptions) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Return the network, its IPv4 subnet with DHCP, and whether one of them was made.

    Raise StepFailed when a network of another owner has no such subnet.
    """
    found = find_network(cloud, name, options)
    network = found or make_network(cloud, name, options)
    subnets = cloud.get("network", "/subnets", network_id=network["id"])["subnets"]
    usable = [subnet for subnet in subnets if subnet["ip_version"] == 4 and subnet["enable_dhcp"]]
    if usable:
        return network, usable[0], not found
    if not is_marked(network, name):
        raise StepFailed(
            Message(f"network {network['name']} ({network['id']}) has no IPv4 subnet with DHCP; give it one")
        )
    subnet = {
        "network_id": network["id"],
        "name": network["name"],
        "ip_version": 4,
        "cidr": options.get("cidr"),
        "enable_dhcp": True,
        "gateway_ip": options.get("gateway"),
    }
    if options.get("allocation_pool"):
        subnet["allocation_pools"] = [options["allocation_pool"]]
    return network, cloud.call("network", "POST", "/subnets", {"subnet": subnet})["subnet"], True


def ensure_group(cloud: Cloud, name: str, port: int) -> tuple[str, bool]:
    """Return the id of the security group that allows ICMP and one TCP port, and whether something was made."""
    groups = owned_groups(cloud, name)
    if groups:
        group = groups[0]
    else:
        wanted = {"name": name, "description": description(name)}
        group = cloud.call("network", "POST", "/security-groups", {"security_group": wanted})["security_group"]
    missing, extra = rule_changes(group["security_group_rules"], port)
    for rule in extra:
        cloud.remove("network", f"/security-group-rules/{rule['id']}")
    for rule in missing:
        body = {"security_group_rule": {"security_group_id": group["id"], **rule}}
        cloud.call("network", "POST", "/security-group-rules", body)
    return group["id"], not groups or bool(missing or extra)


def rule_changes(rules: Iterable[dict[str, Any]], port: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rules to make and the rules to delete, so that exactly ICMP and one TCP port are allowed in.

    Outgoing traffic is not restricted.
    """
    wanted = [
        {
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": protocol,
            "remote_ip_prefix": None,
            "remote_group_id": None,
            "port_range_min": number,
            "port_range_max": number,
        }
        for protocol, number in (("icmp", None), ("tcp", port))
    ]
    present = [rule for rule in rules if rule["direction"] == "ingress"]
    right = {index: rule for index, want in enumerate(wanted) for rule in present if rule.items() >= want.items()}
    return (
        [want for index, want in enumerate(wanted) if index not in right],
        [rule for rule in present if rule not in right.values()],
    )
