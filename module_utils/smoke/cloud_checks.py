# SPDX-License-Identifier: Apache-2.0
"""What a guest needs in a cloud: found when it is there and right, made when not, and removed.

Everything made carries the flow's name and its mark (a description or a property), so that a later run knows it again,
also after a killed one, and nothing else is ever touched.
"""

from __future__ import annotations

import os
import time

from ansible.module_utils.openstack.cloud_api import CloudError
from ansible.module_utils.smoke.steps import StepFailed, wait

NEEDED_SERVICES = ("nova-conductor", "nova-scheduler", "nova-compute")
PARTS = ("kernel", "initramfs", "disk")
DHCP_OWNERS = ("network:dhcp", "network:distributed")


def mark(name):
    return f"made by nova_smoke_test for {name}"


# --- the state of the cloud ---------------------------------------------------------------------------------------


def services(cloud):
    """Nova's services, as its API lists them."""
    keys = ("binary", "host", "status", "state", "disabled_reason", "updated_at")
    return [{key: entry.get(key) for key in keys} for entry in cloud.get("compute", "/os-services")["services"]]


def agents(cloud):
    keys = ("binary", "host", "alive", "admin_state_up", "heartbeat_timestamp")
    return [{key: entry.get(key) for key in keys} for entry in cloud.get("network", "/agents")["agents"]]


def service_problems(listed, hosts=()):
    """What is wrong with Nova's services, as sentences. A disabled service is somebody's decision, not a fault."""
    working = [entry for entry in listed if entry["status"] == "enabled" and entry["state"] == "up"]
    problems = [
        f"{entry['binary']} on {entry['host']} is {entry['state']}, last heard of at {entry['updated_at']}"
        for entry in listed
        if entry["status"] == "enabled" and entry["state"] != "up"
    ]
    problems += [
        f"no {binary} is enabled and up"
        for binary in NEEDED_SERVICES
        if binary not in [entry["binary"] for entry in working]
    ]
    computes = [entry["host"] for entry in working if entry["binary"] == "nova-compute"]
    problems += [
        f"no nova-compute is enabled and up on {host}; there is one on {', '.join(computes) or 'no host'}"
        for host in hosts
        if host not in computes
    ]
    return problems


def service_table(listed):
    """The services as lines to read."""
    rows = sorted((entry["binary"], entry["host"], entry["status"], entry["state"]) for entry in listed)
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths)).rstrip() for row in rows]


def agent_problems(listed):
    return [
        f"{entry['binary']} on {entry['host']} is not alive, last heard of at {entry['heartbeat_timestamp']}"
        for entry in listed
        if entry["admin_state_up"] and not entry["alive"]
    ]


def agent_lines(cloud):
    """For an error about networking."""
    try:
        return [
            f"agent {entry['binary']} on {entry['host']}: {'alive' if entry['alive'] else 'NOT ALIVE'}"
            for entry in agents(cloud)
        ]
    except CloudError as error:
        return [f"the list of agents cannot be read: {error}"]


# --- what is ours -------------------------------------------------------------------------------------------------


def owned_servers(cloud, name):
    servers = cloud.get("compute", "/servers/detail", name=name)["servers"]
    return [server for server in servers if server["metadata"].get("nova_smoke_test") == name]


def owned_images(cloud, name):
    return cloud.get("image", "/images", nova_smoke_test=name, limit=100)["images"]


def owned_flavors(cloud, name):
    flavors = cloud.get("compute", "/flavors/detail", is_public="None")["flavors"]
    return [flavor for flavor in flavors if flavor["name"] == name and flavor["description"] == mark(name)]


def owned_networks(cloud, name):
    return [
        network
        for network in cloud.get("network", "/networks", name=name)["networks"]
        if network["description"] == mark(name)
    ]


def owned_groups(cloud, name):
    listed = cloud.get("network", "/security-groups", name=name, project_id=cloud.project_id)["security_groups"]
    return [group for group in listed if group["description"] == mark(name)]


def delete_servers(cloud, servers, seconds):
    """Delete and wait until they are gone: their ports and disks go with them."""
    for server in servers:
        cloud.remove("compute", f"/servers/{server['id']}")
    pending = [server["id"] for server in servers]

    def gone():
        for server_id in list(pending):
            try:
                cloud.get("compute", f"/servers/{server_id}")
            except CloudError as error:
                if error.code != 404:
                    raise
                pending.remove(server_id)
        return not pending

    if servers and not wait(gone, seconds, 0.5):
        raise StepFailed(
            f"{len(pending)} of {len(servers)} servers are still there {seconds} s after their deletion: "
            + ", ".join(pending),
            ["Look at nova-compute.log on their host."],
        )


def delete_network(cloud, network):
    try:
        cloud.remove("network", f"/networks/{network['id']}")
    except CloudError as error:
        if error.code != 409:
            raise
        ports = cloud.get("network", "/ports", network_id=network["id"])["ports"]
        others = [
            f"{port['device_owner'] or 'no owner'} {port['device_id'] or port['id']}"
            for port in ports
            if port["device_owner"] not in DHCP_OWNERS
        ]
        raise CloudError(f"the network is still used by {', '.join(others) or 'something'}", 409) from None


def remove_all(cloud, name, seconds):
    """(what was removed, what could not be removed and why): every object of a flow, in the order that they allow."""
    removed, problems = [], []

    def each(kind, listed, delete):
        try:
            for thing in listed(cloud, name):
                delete(thing)
                removed.append(f"{kind} {thing['name']}")
        except (CloudError, StepFailed) as error:
            problems.append(f"{kind} {name}: {error}")

    def all_servers():
        servers = owned_servers(cloud, name)
        delete_servers(cloud, servers, seconds)
        removed.extend(f"server {server['name']}" for server in servers)

    try:
        all_servers()
    except (CloudError, StepFailed) as error:
        problems.append(f"server {name}: {error}")
    each("security group", owned_groups, lambda thing: cloud.remove("network", f"/security-groups/{thing['id']}"))
    each("network", owned_networks, lambda thing: delete_network(cloud, thing))
    each("image", owned_images, lambda thing: cloud.remove("image", f"/images/{thing['id']}"))
    each("flavor", owned_flavors, lambda thing: cloud.remove("compute", f"/flavors/{thing['id']}"))
    return removed, problems


# --- found or made ------------------------------------------------------------------------------------------------


def image_properties(part, name, image, parents):
    """What the image of one part must look like in Glance."""
    wanted = {
        "name": f"{name}-{part}",
        # Not ami, aki and ari: Nova refuses a raw disk in the first, and a live migration of a guest with the others.
        "disk_format": "raw",
        "container_format": "bare",
        "nova_smoke_test": name,
        "nova_smoke_test_sha256": image["files"][part]["sha256"],
    }
    if part == "disk":
        wanted.update(
            {
                "kernel_id": parents["kernel"],
                "ramdisk_id": parents["initramfs"],
                "os_command_line": image["recipe"]["command_line"],
                "hw_architecture": image["recipe"]["architecture"],
            }
        )
    return wanted


def ensure_images(cloud, name, image, folder):
    """({part: id}, [what was uploaded])."""
    present, ids, uploaded = owned_images(cloud, name), {}, []
    for part in PARTS:
        wanted = image_properties(part, name, image, ids)
        mine = [found for found in present if found["name"] == wanted["name"]]
        right = [found for found in mine if found["status"] == "active" and found.items() >= wanted.items()]
        for found in mine:
            if found not in right[:1]:
                cloud.remove("image", f"/images/{found['id']}")
        if right:
            ids[part] = right[0]["id"]
            continue
        ids[part] = upload_image(cloud, wanted, os.path.join(folder, image["files"][part]["name"]))
        uploaded.append(part)
    return ids, uploaded


def upload_image(cloud, wanted, path):
    """The id of a new image with the content of a file."""
    image_id = cloud.call("image", "POST", "/images", {**wanted, "visibility": "private"})["id"]
    cloud.upload(image_id, path)

    def stored():
        image = cloud.get("image", f"/images/{image_id}")
        return image if image["status"] not in ("saving", "importing") else None

    image, size = wait(stored, 60) or {"status": "still saving", "size": None}, os.path.getsize(path)
    if image["status"] != "active" or image["size"] != size:
        raise StepFailed(
            f"image {wanted['name']} is {image['status']} with {image['size']} bytes after the upload of {size}",
            ["Look at glance-api.log and at the room on its disk."],
        )
    return image_id


def ensure_flavor(cloud, name, size):
    """(id, whether it was made)."""
    for flavor in owned_flavors(cloud, name):
        if {key: flavor[key] for key in size} == size:
            return flavor["id"], False
        cloud.remove("compute", f"/flavors/{flavor['id']}")
    wanted = {"name": name, "description": mark(name), "os-flavor-access:is_public": False, **size}
    try:
        return cloud.call("compute", "POST", "/flavors", {"flavor": wanted})["flavor"]["id"], True
    except CloudError as error:
        if error.code == 409:
            raise StepFailed(f"a flavor named {name} that is not ours exists; give this flow another name") from None
        raise


def find_network(cloud, name, asked):
    """The network of that name, or the one that already uses the physical network (a flat one has room for one)."""
    named = cloud.get("network", "/networks", name=asked.get("name") or name)["networks"]
    if len(named) > 1:
        raise StepFailed(
            f"{len(named)} networks are named {named[0]['name']}: " + ", ".join(network["id"] for network in named)
        )
    if named or not asked.get("physical_network"):
        return named[0] if named else None
    flat = cloud.get(
        "network",
        "/networks",
        **{"provider:network_type": "flat", "provider:physical_network": asked["physical_network"]},
    )["networks"]
    return flat[0] if flat else None


def ensure_network(cloud, name, asked):
    """(network, subnet, whether something was made)."""
    network, made = find_network(cloud, name, asked), False
    if not network:
        if not asked.get("physical_network") or not asked.get("cidr"):
            raise StepFailed(
                f"there is no network named {asked.get('name') or name}, and to make one physical_network "
                "and cidr are needed"
            )
        made = True
        network = cloud.call(
            "network",
            "POST",
            "/networks",
            {
                "network": {
                    "name": asked.get("name") or name,
                    "description": mark(name),
                    "shared": bool(asked.get("shared")),
                    "provider:network_type": "flat",
                    "provider:physical_network": asked["physical_network"],
                }
            },
        )["network"]
    subnets = cloud.get("network", "/subnets", network_id=network["id"])["subnets"]
    usable = [subnet for subnet in subnets if subnet["ip_version"] == 4 and subnet["enable_dhcp"]]
    if usable:
        return network, usable[0], made
    if network["description"] != mark(name):
        raise StepFailed(f"network {network['name']} ({network['id']}) has no IPv4 subnet with DHCP")
    subnet = {
        "network_id": network["id"],
        "name": network["name"],
        "ip_version": 4,
        "cidr": asked["cidr"],
        "enable_dhcp": True,
        "gateway_ip": asked.get("gateway"),
    }
    if asked.get("allocation_pool"):
        subnet["allocation_pools"] = [asked["allocation_pool"]]
    return network, cloud.call("network", "POST", "/subnets", {"subnet": subnet})["subnet"], True


def ensure_group(cloud, name, port):
    """(id of the security group that lets in ICMP and one TCP port, whether something was made)."""
    groups, made = owned_groups(cloud, name), False
    if groups:
        group = groups[0]
    else:
        made = True
        group = cloud.call(
            "network", "POST", "/security-groups", {"security_group": {"name": name, "description": mark(name)}}
        )["security_group"]
    missing, extra = rule_changes(group["security_group_rules"], port)
    for rule in extra:
        cloud.remove("network", f"/security-group-rules/{rule['id']}")
    for rule in missing:
        cloud.call(
            "network",
            "POST",
            "/security-group-rules",
            {"security_group_rule": {"security_group_id": group["id"], **rule}},
        )
    return group["id"], made or bool(missing or extra)


def rule_changes(rules, port):
    """(the rules to make, the rules to delete), so that exactly ICMP and one TCP port come in; going out is free."""
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


def settle(read, problems, seconds):
    """Read a list until nothing is wrong with it (services report every 10 s or more), at most that long."""
    end = time.monotonic() + seconds
    while True:
        listed = read()
        wrong = problems(listed)
        if not wrong or time.monotonic() > end:
            return listed, wrong
        time.sleep(2)
