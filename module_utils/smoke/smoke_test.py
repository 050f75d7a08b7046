# SPDX-License-Identifier: Apache-2.0
"""The smoke test of a cloud as a sequence of steps; the other files of this package do what each step does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypedDict

from ansible.module_utils.guest.guest_report import GuestReport
from ansible.module_utils.guest.image import Image
from ansible.module_utils.host.http import HttpError
from ansible.module_utils.message import Message
from ansible.module_utils.openstack.session import Auth, Cloud
from ansible.module_utils.smoke import cloud_checks, instance_checks, instances, resources, screen
from ansible.module_utils.smoke.instances import Instance, Parts
from ansible.module_utils.smoke.steps import StepFailed, Steps

SETTLE = 60  # seconds for services and agents to report, which they do every 10 and 30 s


class Options(TypedDict):
    """The options of the module, which describes them."""

    name: str
    auth: Auth
    region: str
    interface: str
    ca_file: str | None
    validate_certs: bool
    guest: str
    flavor: dict[str, int]
    network: resources.NetworkOptions
    hosts: list[str]
    probe_command: list[str] | None
    console_address: str | None
    keep: bool
    keep_failed: bool
    timeout: int


class SmokeTest:
    """A run of the smoke test.

    made, removed: what the run made and removed; leftovers: what it removed of earlier runs.
    changing: whether the run has begun to make or remove something.
    stays: whether the instances still exist at the end.
    """

    def __init__(self, options: Options) -> None:
        self.options, self.name, self.steps = options, options["name"], Steps()
        self.cloud = Cloud(
            options["auth"], options["region"], options["interface"], options["ca_file"], options["validate_certs"]
        )
        self.made: list[str] = []
        self.removed: list[str] = []
        self.leftovers: list[str] = []
        self.instances: list[Instance] = []
        self.services: list[dict[str, Any]] = []
        self.agents: list[dict[str, Any]] = []
        self.changing = False
        self.stays = options["keep"]

    # --- the steps ----------------------------------------------------------------------------------------------------

    def observe(self) -> None:
        """Log in, and check Nova's services and Neutron's agents; raise StepFailed when one of them does not work."""
        with self.steps.step("login") as step:
            self.cloud.connect()
            step.detail = f"{self.options['auth']['username']} at {self.options['auth']['auth_url']}"
        with self.steps.step("services") as step:
            self.services, problems = cloud_checks.wait_healthy(
                lambda: cloud_checks.services(self.cloud),
                lambda listed: cloud_checks.service_problems(listed, self.options["hosts"]),
                SETTLE,
            )
            if problems:
                hint = "Disable a service that is down on purpose: openstack compute service set --disable HOST BINARY"
                raise StepFailed(Message("; ".join(problems)), [hint])
            up = [entry["binary"] for entry in self.services if entry["state"] == "up"]
            step.detail = f"{len(up)} up: {', '.join(sorted(set(up)))}"
        with self.steps.step("agents") as step:
            self.agents, problems = cloud_checks.wait_healthy(
                lambda: cloud_checks.agents(self.cloud), cloud_checks.agent_problems, SETTLE
            )
            if problems:
                raise StepFailed(Message("; ".join(problems)), ["Look at the agent's log on that host."])
            binaries = sorted({entry["binary"] for entry in self.agents})
            step.detail = f"{len(self.agents)} alive: {', '.join(binaries)}"

    def remove(self, name: str = "removal") -> list[Message]:
        """Remove everything of this smoke test, and return the problems of what could not be removed."""
        with self.steps.step(name) as step:
            removed, problems = resources.remove_all(self.cloud, self.name, self.options["timeout"])
            self.removed += removed
            step.detail = "; ".join(problems) or f"{len(removed)} objects"
        return problems

    def prepare(self, image: Image) -> Parts:
        """Make what an instance needs, unless it is there."""
        cloud, options = self.cloud, self.options
        with self.steps.step("images") as step:
            ids, uploaded = resources.ensure_images(cloud, self.name, image, options["guest"])
            self.made += [f"image {self.name}-{part}" for part in uploaded]
            step.detail = f"uploaded {', '.join(uploaded)}" if uploaded else "present"
        with self.steps.step("flavor") as step:
            size = {**options["flavor"], "ram": options["flavor"]["ram"] or image["recipe"]["memory_mb"]}
            flavor, made = resources.ensure_flavor(cloud, self.name, size)
            self.made += [f"flavor {self.name}"] if made else []
            step.detail = ", ".join(f"{key} {value}" for key, value in sorted(size.items()))
        with self.steps.step("network") as step:
            network, subnet, made = resources.ensure_network(cloud, self.name, options["network"])
            self.made += [f"network {network['name']}"] if made else []
            step.detail = f"{network['name']}, {subnet['cidr']}, {'made' if made else 'present'}"
        with self.steps.step("security group") as step:
            group, made = resources.ensure_group(cloud, self.name, instance_checks.OPEN_PORT)
            self.made += [f"security group {self.name}"] if made else []
            step.detail = f"allows ICMP and TCP {instance_checks.OPEN_PORT}"
        return Parts(ids["disk"], flavor, network["id"], group)

    def adopt(self, parts: Parts) -> dict[str, str]:
        """Return the ids by name of the instances of an earlier run that are still right; remove the other ones."""
        wanted = instances.wanted_names(self.name, self.options["hosts"])
        right: dict[str, dict[str, Any]] = {}
        wrong = []
        for server in resources.owned_servers(self.cloud, self.name):
            if (
                server["status"] in ("ACTIVE", "SHUTOFF")
                and server["name"] in wanted
                and server["name"] not in right
                and wanted[server["name"]] in (None, server.get("OS-EXT-SRV-ATTR:host"))
                and server["metadata"].get(instances.IMAGE_KEY) == parts.image
            ):
                right[server["name"]] = server
            else:
                wrong.append(server)
        resources.delete_servers(self.cloud, wrong, self.options["timeout"])
        self.removed += [f"instance {server['name']}" for server in wrong]
        self.made += [f"start of instance {name}" for name in instances.start(self.cloud, right.values())]
        return {name: server["id"] for name, server in right.items()}

    def boot(self, parts: Parts) -> bool:
        """Make missing instances and wait until all are ACTIVE; tell whether all are of an earlier run."""
        with self.steps.step("instance") as step:
            ids = self.adopt(parts)
            adopted = set(ids)
            for name, host in instances.wanted_names(self.name, self.options["hosts"]).items():
                if name not in ids:
                    ids[name] = instances.create(self.cloud, self.name, name, host, parts)
                    self.made.append(f"instance {name}")
            servers = instances.wait_active(self.cloud, list(ids.values()), self.options["timeout"])
            self.instances = [instances.instance_of(self.cloud, servers[server_id]) for server_id in ids.values()]
            step.detail = ", ".join(f"{instance.name} ACTIVE on {instance.host}" for instance in self.instances)
        return adopted == set(ids)

    def verify(self, parts: Parts) -> None:
        """Verify the instances, from the console log to the screen; raise StepFailed."""
        self.verify_console()
        self.verify_lease()
        self.verify_metadata()
        with self.steps.step("network answers") as step:
            argv, place = instance_checks.probe_place(parts.network, self.options["probe_command"])
            step.detail = instance_checks.check_reach(self.cloud, self.instances, argv, place)
        self.verify_screen()

    def await_report(
        self, wanted: Callable[[GuestReport], object], missing: str, hints: Callable[[Instance], list[str]]
    ) -> None:
        """Wait for a part of the report of each instance (see instance_checks.await_report)."""
        seconds = self.options["timeout"]
        instance_checks.await_report(self.cloud, self.instances, wanted, missing, seconds, hints)

    def verify_console(self) -> None:
        """Verify that the guest's kernel and init run."""

        def hints(instance: Instance) -> list[str]:
            return [f"Look at nova-compute.log on {instance.host} and at virt_type."]

        with self.steps.step("console") as step:
            self.await_report(lambda report: report.banner, "printed no banner", hints)
            step.detail = ", ".join(instance.report.banner for instance in self.instances)

    def verify_lease(self) -> None:
        """Verify that DHCP leases the address of the port."""

        def hints(instance: Instance) -> list[str]:
            return [
                f"Neutron assigned {instance.address} to its port.",
                *cloud_checks.agent_lines(self.cloud),
                "Look at neutron-dhcp-agent.log: is there a dnsmasq for this network? And look at the agent's log on "
                f"{instance.host}: is the port wired?",
            ]

        with self.steps.step("lease") as step:
            self.await_report(lambda report: report.address, "received no lease", hints)
            for instance in self.instances:
                instance_checks.check_lease(instance)
            step.detail = ", ".join(instance.address for instance in self.instances)

    def verify_metadata(self) -> None:
        """Verify that the metadata service returns the metadata of this instance."""

        def hints(instance: Instance) -> list[str]:
            return [
                *instance.report.trouble[-1:],
                *cloud_checks.agent_lines(self.cloud),
                "No answer: look at neutron-dhcp-agent.log and at haproxy in the network's namespace. Error 500 or "
                "503: look at neutron-metadata-agent.log; does Nova's metadata API run? Error 403 or 404: do both "
                "have the same shared secret?",
            ]

        with self.steps.step("metadata") as step:
            self.await_report(lambda report: report.metadata, "received no metadata", hints)
            for instance in self.instances:
                problems = instance_checks.metadata_problems(instance)
                if problems:
                    raise StepFailed(
                        Message(f"the metadata service gave instance {instance.name} wrong data: {'; '.join(problems)}")
                    )
            received = [instance.report.metadata for instance in self.instances]
            step.detail = ", ".join(f"{metadata['instance-id']} {metadata['hostname']}" for metadata in received)

    def verify_screen(self) -> None:
        """Verify that the console proxy shows the screen."""
        with self.steps.step("screen") as step:
            seen = []
            for instance in self.instances:
                instance.novnc_url = screen.console_url(self.cloud, instance)
                address = self.options["console_address"]
                seen.append(screen.check_screen(instance, address, self.cloud.context))
                step.detail = ", ".join(seen)

    # --- the run ------------------------------------------------------------------------------------------------------

    def run(self, image: Image) -> None:
        """Verify the cloud; raise StepFailed or HttpError when a step fails.

        An instance of an earlier run that fails is replaced once.
        """
        self.observe()
        self.changing = True
        if not self.options["keep"]:
            problems = self.remove("leftovers")
            self.leftovers = list(self.removed)
            if problems:
                raise StepFailed(Message(f"resources of an earlier run cannot be removed: {'; '.join(problems)}"))
        parts = self.prepare(image)
        if self.boot(parts):
            try:
                self.verify(parts)
                return
            except (StepFailed, HttpError) as error:
                self.replace(error)
            self.boot(parts)
        self.verify(parts)

    def replace(self, error: Exception) -> None:
        """Delete the instances of an earlier run because of an error, so that new ones can be made."""
        failed = self.steps.failed()
        name = failed.name if failed else "?"
        self.made.append(f"a new instance, because step '{name}' failed with the old one ({error})")
        self.steps.forget_failure()
        with self.steps.step("replacement") as step:
            resources.delete_servers(self.cloud, [{"id": old.id} for old in self.instances], self.options["timeout"])
            step.detail = self.made[-1]

    def predict(self) -> list[str]:
        """Return what a run would change, for check mode."""
        found = resources.owned_servers(self.cloud, self.name)
        if not self.options["keep"]:
            return [f"instance {server['name']} would be removed" for server in found]
        active = [server["name"] for server in found if server["status"] == "ACTIVE"]
        wanted = instances.wanted_names(self.name, self.options["hosts"])
        return [
            *(f"instance {name} would be made" for name in wanted if name not in active),
            *(f"instance {name} would be removed" for name in active if name not in wanted),
        ]

    # --- the result ---------------------------------------------------------------------------------------------------

    def servers(self) -> list[dict[str, Any]]:
        """Return the instances as the module returns them."""
        shown = ("id", "name", "status", "host", "address", "console", "novnc_url")
        return [{key: getattr(instance, key) for key in shown} for instance in self.instances]

    def summary(self) -> list[str]:
        """Return the services, the steps and the instances that stay, as lines to read."""
        lines = [*cloud_checks.service_table(self.services), "", *self.steps.lines()]
        for instance in self.instances if self.stays else []:
            lines += [
                "",
                f"Instance {instance.name} is {instance.status} on {instance.host} at {instance.address}.",
                *(f"  | {line}" for line in instance.console),
            ]
            lines += [f"Its screen: {instance.novnc_url}"] if instance.novnc_url else []
        return lines

    def result(self, brief: bool = False) -> dict[str, Any]:
        """Return the result of the module; a brief one for a failure, whose message has the summary."""
        result: dict[str, Any] = {
            "steps": [asdict(step) for step in self.steps.done],
            "made": self.made,
            "removed": self.removed,
        }
        if not brief:
            servers = self.servers()
            result.update(summary=self.summary(), services=self.services, agents=self.agents, servers=servers)
            result.update({"server": servers[0]} if servers else {})
        return result
