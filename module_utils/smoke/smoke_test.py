# SPDX-License-Identifier: Apache-2.0
"""The proof of a cloud as a sequence of steps; flow_cloud and flow_guest hold what each step does."""

from __future__ import annotations

from ansible.module_utils.openstack.cloud_api import Cloud, CloudError
from ansible.module_utils.smoke import cloud_checks, instance_checks
from ansible.module_utils.smoke.steps import StepFailed, Steps

SETTLE = 60  # seconds for services and agents to report: they do it every 10 and 30 s


class Flow:
    def __init__(self, asked, image):
        self.asked, self.image, self.name, self.steps = asked, image, asked["name"], Steps()
        self.cloud = Cloud(
            asked["auth"], asked["region"], asked["interface"], asked["ca_file"], asked["validate_certs"]
        )
        self.made, self.removed, self.guests = [], [], []
        self.services, self.agents, self.leftovers, self.touching = [], [], [], False
        self.stays = asked["keep"]  # whether the guests still live when all is done

    def observe(self):
        """Log in, and see that what should run does."""
        step = self.steps.step
        with step("login") as entry:
            self.cloud.connect()
            entry["detail"] = f"{self.asked['auth']['username']} at {self.asked['auth']['auth_url']}"
        with step("services") as entry:
            self.services, wrong = cloud_checks.settle(
                lambda: cloud_checks.services(self.cloud),
                lambda listed: cloud_checks.service_problems(listed, self.asked["hosts"]),
                SETTLE,
            )
            if wrong:
                raise StepFailed(
                    "; ".join(wrong),
                    [
                        "A service that shall be down should be disabled "
                        "(openstack compute service set --disable HOST BINARY)."
                    ],
                )
            up = [entry for entry in self.services if entry["state"] == "up"]
            entry["detail"] = f"{len(up)} up: " + ", ".join(sorted({e["binary"] for e in up}))
        with step("agents") as entry:
            self.agents, wrong = cloud_checks.settle(
                lambda: cloud_checks.agents(self.cloud), cloud_checks.agent_problems, SETTLE
            )
            if wrong:
                raise StepFailed("; ".join(wrong), ["Look at the agent's log on that host."])
            entry["detail"] = f"{len(self.agents)} alive: " + ", ".join(sorted({e["binary"] for e in self.agents}))

    def remove(self, step="removal"):
        """Everything of this flow; what could not be removed as lines."""
        with self.steps.step(step) as entry:
            gone, problems = cloud_checks.remove_all(self.cloud, self.name, self.asked["timeout"])
            self.removed += gone
            entry["detail"] = f"{len(gone)} objects" if not problems else "; ".join(problems)
        return problems

    def prepare(self):
        """What a guest needs; returns the ids."""
        step, asked, cloud, parts = self.steps.step, self.asked, self.cloud, {}
        with step("images") as entry:
            ids, uploaded = cloud_checks.ensure_images(cloud, self.name, self.image, asked["guest"])
            parts["image"] = ids["disk"]
            self.made += [f"image {self.name}-{part}" for part in uploaded]
            entry["detail"] = f"uploaded {', '.join(uploaded)}" if uploaded else "there"
        with step("flavor") as entry:
            size = {**asked["flavor"], "ram": asked["flavor"]["ram"] or self.image["recipe"]["memory_mb"]}
            parts["flavor"], made = cloud_checks.ensure_flavor(cloud, self.name, size)
            self.made += [f"flavor {self.name}"] if made else []
            entry["detail"] = ", ".join(f"{key} {value}" for key, value in sorted(size.items()))
        with step("network") as entry:
            network, subnet, made = cloud_checks.ensure_network(cloud, self.name, asked["network"])
            parts["network"] = network["id"]
            self.made += [f"network {network['name']}"] if made else []
            entry["detail"] = f"{network['name']}, {subnet['cidr']}, {'made' if made else 'there'}"
        with step("security group") as entry:
            parts["group"], made = cloud_checks.ensure_group(cloud, self.name, instance_checks.OPEN_PORT)
            self.made += [f"security group {self.name}"] if made else []
            entry["detail"] = f"lets in ICMP and TCP {instance_checks.OPEN_PORT}"
        return parts

    def adopt(self, parts):
        """The guests of an earlier run that are still right: {server name: id}; the others are removed."""
        wanted, right, wrong = dict(instance_checks.wanted_names(self.name, self.asked["hosts"])), {}, []
        for server in cloud_checks.owned_servers(self.cloud, self.name):
            host = wanted.get(server["name"], "")
            good = (
                server["status"] in ("ACTIVE", "SHUTOFF")
                and server["name"] in wanted
                and host in (None, server.get("OS-EXT-SRV-ATTR:host"))
                and server["metadata"].get("nova_smoke_test_image") == parts["image"]
                and server["name"] not in right
            )
            if good:
                right[server["name"]] = server
            else:
                wrong.append(server)
        cloud_checks.delete_servers(self.cloud, wrong, self.asked["timeout"])
        self.removed += [f"server {server['name']}" for server in wrong]
        self.made += [f"start of server {name}" for name in instance_checks.start(self.cloud, list(right.values()))]
        return {name: server["id"] for name, server in right.items()}

    def boot(self, parts):
        """All guests ACTIVE; True when none of them is new."""
        with self.steps.step("server") as entry:
            ids = self.adopt(parts)
            found = set(ids)
            for name, host in instance_checks.wanted_names(self.name, self.asked["hosts"]):
                if name not in ids:
                    ids[name] = instance_checks.create(self.cloud, self.name, name, host, parts)
                    self.made.append(f"server {name}")
            servers = instance_checks.wait_active(self.cloud, list(ids.values()), self.asked["timeout"])
            self.guests = [instance_checks.guest_of(self.cloud, servers[server_id]) for server_id in ids.values()]
            entry["detail"] = ", ".join(f"{guest['name']} ACTIVE on {guest['host']}" for guest in self.guests)
        return found == set(ids)

    def prove(self, parts):
        step, cloud, guests, limit = self.steps.step, self.cloud, self.guests, self.asked["timeout"]

        def no_lease(guest):
            return [
                f"Neutron gave its port {guest['address']}.",
                *cloud_checks.agent_lines(cloud),
                "Look at neutron-dhcp-agent.log, is there a dnsmasq for this network? And at the agent's log on "
                f"{guest['host']}: is the port wired?",
            ]

        def no_metadata(guest):
            return [
                *guest["report"]["trouble"][-1:],
                *cloud_checks.agent_lines(cloud),
                "No answer: look at neutron-dhcp-agent.log and at haproxy in the network's namespace. Error 500 or "
                "503: look at neutron-metadata-agent.log; does Nova's metadata API run? Error 403 or 404: do both "
                "have the same shared secret?",
            ]

        with step("console") as entry:
            instance_checks.await_report(
                cloud,
                guests,
                lambda said: said["banner"],
                "showed no banner",
                limit,
                lambda guest: [f"Look at nova-compute.log on {guest['host']} and at virt_type."],
            )
            entry["detail"] = ", ".join(guest["report"]["banner"] for guest in guests)
        with step("lease") as entry:
            instance_checks.await_report(cloud, guests, lambda said: said["address"], "got no lease", limit, no_lease)
            for guest in guests:
                instance_checks.check_lease(guest)
            entry["detail"] = ", ".join(guest["address"] for guest in guests)
        with step("metadata") as entry:
            instance_checks.await_report(
                cloud, guests, lambda said: said["metadata"], "got no metadata", limit, no_metadata
            )
            for guest in guests:
                wrong = instance_checks.metadata_problems(guest)
                if wrong:
                    raise StepFailed(f"the metadata of server {guest['name']}: {'; '.join(wrong)}")
            entry["detail"] = ", ".join(
                f"{guest['report']['metadata']['instance-id']} {guest['report']['metadata']['hostname']}"
                for guest in guests
            )
        with step("network answers") as entry:
            argv, where = instance_checks.probe_place(parts["network"], self.asked["probe_command"])
            entry["detail"] = instance_checks.check_reach(cloud, guests, argv, where)
        with step("screen") as entry:
            for guest in guests:
                guest["novnc_url"] = instance_checks.console_url(cloud, guest)
                screen = instance_checks.see_screen(guest, self.asked["console_address"], cloud.tls())
                entry["detail"] += (", " if entry["detail"] else "") + (
                    f"{screen['version']}, {screen['name']}, {screen['width']}x{screen['height']}, "
                    f"{screen['colours']} colours"
                )

    def run(self):
        self.observe()
        self.touching = True
        if not self.asked["keep"]:
            problems = self.remove("leftovers")
            self.leftovers = list(self.removed)
            if problems:
                raise StepFailed("what an earlier run left cannot be removed: " + "; ".join(problems))
        parts = self.prepare()
        if self.boot(parts):
            try:
                return self.prove(parts)
            except (StepFailed, CloudError) as error:
                failed = self.steps.failed()
                self.made.append(f"a new guest, because step '{failed['name']}' failed with the old one ({error})")
                self.steps.forget_failure()
                with self.steps.step("replacement") as entry:
                    cloud_checks.delete_servers(self.cloud, self.guests, self.asked["timeout"])
                    entry["detail"] = self.made[-1]
            self.boot(parts)
        return self.prove(parts)

    def predict(self):
        """In check mode: what a run would change."""
        leftovers = cloud_checks.owned_servers(self.cloud, self.name)
        if not self.asked["keep"]:
            return [f"server {server['name']} would be removed" for server in leftovers]
        living = [server["name"] for server in leftovers if server["status"] == "ACTIVE"]
        wanted = [name for name, _ in instance_checks.wanted_names(self.name, self.asked["hosts"])]
        return [f"server {name} would be made" for name in wanted if name not in living] + [
            f"server {name} would be removed" for name in living if name not in wanted
        ]

    def servers(self):
        shown = ("id", "name", "status", "host", "address", "console", "novnc_url")
        return [{key: guest[key] for key in shown} for guest in self.guests]

    def summary(self):
        """The services, the steps and the guests that stay, as lines to read."""
        lines = [*cloud_checks.service_table(self.services), "", *self.steps.lines()]
        for server in self.servers() if self.stays else []:
            lines += [
                "",
                f"Guest {server['name']} is {server['status']} on {server['host']} at {server['address']}.",
                *(f"  | {line}" for line in server["console"]),
            ]
            lines += [f"Its screen: {server['novnc_url']}"] if server["novnc_url"] else []
        return lines

    def result(self, brief=False):
        """What the module returns; brief beside a message that has the summary in it."""
        result, servers = {"steps": self.steps.done, "made": self.made, "removed": self.removed}, self.servers()
        if not brief:
            result.update(summary=self.summary(), services=self.services, agents=self.agents, servers=servers)
            result.update({"server": servers[0]} if servers else {})
        return result
