# SPDX-License-Identifier: Apache-2.0
"""A machine's facts against a policy: rows, a result, and what Nova should use. Pure.

Unknown is "skip" or "warn", never "pass".
"""

from __future__ import annotations

from ansible.module_utils.kvm.classify import known_class, listing, mapping, number
from ansible.module_utils.kvm.diagnose import CAN_BE_ENABLED, TECHNOLOGY, USABLE, diagnose

POLICY = {
    "require": "hardware",
    "allow_nested": True,
    "max_exit_ns": 10000,
    "users": ["nova", "libvirt-qemu"],
    "nested": None,
    "isa_level": None,
    "min_vcpus": 0,
    "iommu": None,
    "hugepages": {},
    "secure": [],
    "vtpm": False,
    "devices": {},
    "release": None,
    "warnings_are_errors": False,
}
DEVICE_RULES = {"tun": "fail", "vhost_net": "warn", "vfio": "skip"}
DEVICE_MODULES = {"tun": "tun", "vhost_net": "vhost_net", "vhost_vsock": "vhost_vsock", "vfio": "vfio-pci"}
ISA_LEVELS = ("i686", "x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4")
SECURE = ("sev", "sev-es", "sev-snp", "tdx", "s390-pv")
# libvirt and QEMU below which a Nova release refuses to start (nova/virt/libvirt/driver.py of its tags)
FLOORS = {
    "ocata": ("1.2.1", "1.5.3"),
    "rocky": ("1.3.1", "2.5.0"),
    "victoria": ("5.0.0", "4.0.0"),
    "zed": ("6.0.0", "4.2.0"),
    "antelope": ("6.0.0", "4.2.0"),
    "bobcat": ("7.0.0", "5.2.0"),
    "caracal": ("7.0.0", "5.2.0"),
    "epoxy": ("8.0.0", "6.2.0"),
    "flamingo": ("8.0.0", "6.2.0"),
    "gazpacho": ("8.0.0", "6.2.0"),
    "hibiscus": ("8.0.0", "6.2.0"),
}
RELEASE_IDS = {
    "2023.1": "antelope",
    "2023.2": "bobcat",
    "2024.1": "caracal",
    "2025.1": "epoxy",
    "2025.2": "flamingo",
    "2026.1": "gazpacho",
    "2026.2": "hibiscus",
}
# Nova's cpu_mode when guests are emulated. QEMU's default x86 model lacks what images built for x86-64-v2 need.
EMULATED_CPU = {"x86_64": ("custom", ["Nehalem"]), "aarch64": ("custom", ["cortex-a57"])}


class Evaluation:
    def __init__(self, facts, policy):
        self.facts = mapping(facts)
        self.policy = dict(POLICY, **{name: value for name, value in policy.items() if value is not None})
        self.probe = self.facts.get("probe") if isinstance(self.facts.get("probe"), dict) else None
        self.rows = []
        self.cause, self.found, self.remedy = diagnose(self.facts, self.probe)
        self.usable = self.cause in USABLE
        self.measured = mapping(self.probe)
        self.arch = str(self.facts.get("arch") or "")
        self.denied = False

    def row(self, name, status, found, wanted, remedy=""):
        self.rows.append(
            {
                "name": name,
                "status": status,
                "found": str(found),
                "wanted": str(wanted),
                "remedy": "" if status == "pass" else remedy,
            }
        )

    def check(self, name, good, found, wanted, remedy, bad="fail"):
        self.row(name, "pass" if good else bad, found, wanted, remedy)

    # -- rows ---------------------------------------------------------------------------------------------
    def acceleration(self):
        require = self.policy["require"]
        if self.cause in ("ok_unmeasured", "not_probed"):
            status = "warn"
        else:
            status = "pass" if self.usable else "fail" if require == "hardware" else "warn"
        wanted = {"hardware": "guests run on the processor", "any": "KVM, or emulation", "none": "nothing"}[require]
        remedy = self.remedy
        if status == "warn" and not self.usable:
            remedy = f"guests would be emulated (accepted by require: {require}); to change that: {self.remedy}"
        self.row("acceleration", status, f"{self.cause}: {self.found}", wanted, remedy)

    def nested_host(self):
        if mapping(self.facts.get("cpu")).get("hypervisor") and not self.policy["allow_nested"]:
            vendor = mapping(self.facts.get("vm")).get("vendor") or "unknown"
            self.row(
                "bare_metal",
                "fail",
                f"a virtual machine ({vendor})",
                "a physical machine",
                "use another host, or allow_nested: true",
            )

    def exit_cost(self):
        cost, limit = number(self.measured.get("exit_ns")), self.policy["max_exit_ns"]
        if self.usable and cost is not None:
            self.check(
                "exit_cost",
                cost <= limit,
                f"{cost} ns an exit",
                f"at most {limit} ns",
                "leaving the guest is slow, as in nested virtualization: expect slow I/O; prefer bare metal",
                bad="warn",
            )

    def real_mode(self):
        ratio = number(mapping(self.measured.get("ratios")).get("real16"))
        if self.usable and ratio is not None and ratio < 0.1:
            self.row(
                "real_mode",
                "warn",
                f"{100 * ratio:.2g} % of native speed",
                "at least 10 %",
                "boot loaders and BIOS run slowly: kvm_intel has unrestricted_guest or ept off, or the "
                "processor lacks them",
            )

    def guest_interrupts(self):
        test = mapping(mapping(self.measured.get("tests")).get("irqchip"))
        if self.usable and test and not test.get("ok"):
            self.row(
                "irqchip",
                "warn",
                f"refused: {test.get('got')}",
                "an interrupt controller in the kernel",
                "guests run with a slow interrupt controller: read dmesg",
            )

    def guest_tests(self):
        tests = mapping(self.measured.get("tests"))
        repeated = sorted(name for name in tests if mapping(tests[name]).get("ok") and "first" in mapping(tests[name]))
        if self.usable and repeated:
            self.row(
                "guest_tests",
                "warn",
                f"failed once, then passed: {', '.join(repeated)}",
                "pass at once",
                "run again; if it happens again, the level below or the kernel is at fault: read dmesg",
            )

    def guest_isa(self):
        wanted = self.policy["isa_level"]
        if not wanted:
            return
        level = mapping(self.measured.get("guest_cpu")).get("isa_level")
        if not self.usable:
            self.row("guest_isa", "skip", "guests would be emulated", wanted, "choose cpu_models that have it")
        elif level not in ISA_LEVELS:
            self.row("guest_isa", "skip", "unknown", wanted, "run again with probe: full")
        else:
            good = ISA_LEVELS.index(level) >= ISA_LEVELS.index(wanted)
            self.check(
                "guest_isa",
                good,
                level,
                wanted,
                "images built for that level do not boot here: use a newer "
                "processor, or have the level below pass more of it on",
            )

    def nested_guests(self):
        wanted = self.policy["nested"]
        if wanted is None:
            return
        cpu = mapping(self.measured.get("guest_cpu"))
        word = "offered to guests" if wanted else "not offered to guests"
        if not self.usable or "nested_vmx" not in cpu and "nested_svm" not in cpu:
            self.row("nested", "skip", "unknown", word, "run again where KVM works, with probe: full")
            return
        offered = bool(cpu.get("nested_vmx") or cpu.get("nested_svm"))
        module = self.kvm_module()
        self.check(
            "nested",
            offered == bool(wanted),
            "offered to guests" if offered else "not offered to guests",
            word,
            f'write "options {module} nested={int(bool(wanted))}" to /etc/modprobe.d/kvm.conf and reload '
            f"{module} while no guest runs",
        )

    def max_vcpus(self):
        wanted = self.policy["min_vcpus"]
        if not wanted:
            return
        most = number(mapping(self.measured.get("caps")).get("max_vcpus"))
        if most is None:
            self.row("max_vcpus", "skip", "unknown", f"at least {wanted}", "run again with probe: full")
        else:
            self.check(
                "max_vcpus", most >= wanted, most, f"at least {wanted}", "use another kernel, or smaller flavors"
            )

    def access(self):
        users = mapping(self.facts.get("users"))
        for name in self.policy["users"]:
            user = mapping(users.get(name))
            result, wanted = user.get("open"), "may open /dev/kvm and create a VM"
            if result == "ok":
                self.row(f"access {name}", "pass", "ok", wanted)
            elif not isinstance(result, str):
                why = "no such user yet" if user.get("exists") is False else user.get("why") or "not tried"
                self.row(f"access {name}", "skip", why, wanted, "run again once it exists, as root")
            else:
                self.denied = self.denied or result == "EACCES"
                status = "fail" if self.policy["require"] == "hardware" else "warn"
                self.row(f"access {name}", status, result, wanted, self.access_remedy(name, user, result))

    def access_remedy(self, name, user, result):
        node = mapping(self.facts.get("node"))
        if result == "ENOENT":
            return "first give this machine /dev/kvm, see acceleration"
        if result != "EACCES":
            return self.remedy or f"see what refuses it (device cgroup of the unit, security module): {result}"
        group = node.get("group")
        if group in (None, "root"):
            return (
                f"/dev/kvm belongs to gid {node.get('gid')} ({group or 'no name here'}): make it 0660 root:kvm "
                f"(udevadm trigger --name-match=kvm), then usermod -aG kvm {name}"
            )
        if user.get("in_node_group"):
            return f"/dev/kvm is {node.get('mode')}: make it 0660 root:{group} (udevadm trigger --name-match=kvm)"
        return f"usermod -aG {group} {name}; restart its services"

    def iommu(self):
        wanted = self.policy["iommu"]
        if wanted is None:
            return
        found = mapping(self.facts.get("iommu"))
        if number(found.get("groups")) is None:
            self.row("iommu", "skip", "unknown", "on" if wanted else "off", "gather iommu")
            return
        tables = [str(name) for name in listing(found.get("firmware_tables"))]
        if not wanted:
            remedy = "take iommu options off the kernel command line, or switch it off in firmware setup"
        elif tables:
            option = "intel_iommu=on iommu=pt" if "DMAR" in tables else "iommu=pt"
            remedy = f"firmware publishes {'/'.join(tables)}, the kernel has it off: add {option} to its command line"
        else:
            remedy = "firmware publishes no IOMMU: enable VT-d, AMD IOMMU or SMMU in firmware setup"
        self.check(
            "iommu",
            bool(found["groups"]) == bool(wanted),
            f"{found['groups']} groups",
            "on" if wanted else "off",
            remedy,
        )

    def hugepages(self):
        pools = mapping(mapping(self.facts.get("memory")).get("hugepages"))
        for size, wanted in sorted(mapping(self.policy["hugepages"]).items(), key=lambda item: str(item[0])):
            pool = mapping(pools.get(str(size)))
            total = number(pool.get("total")) or 0
            shown = {"2048": "2M", "1048576": "1G"}.get(str(size), f"{size}K")
            if "memory" not in self.facts:
                self.row(f"hugepages {size} kB", "skip", "unknown", f"at least {wanted}", "gather memory")
            else:
                self.check(
                    f"hugepages {size} kB",
                    total >= int(wanted),
                    total,
                    f"at least {wanted}",
                    f"add hugepagesz={shown} hugepages={wanted} to the kernel command line, or write "
                    f"/sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages",
                )

    def secure(self):
        found = self.facts.get("secure_guests")
        for name in self.policy["secure"]:
            if not isinstance(found, dict):
                self.row(f"secure {name}", "skip", "unknown", "on", "gather secure")
                continue
            key = name.replace("-", "_")
            value = found.get(key)
            good = str(value) in ("1", "Y", "y") and (not name.startswith("sev") or bool(found.get("sev_device")))
            shown = "unknown" if value is None else f"{key}={value}"
            if name.startswith("sev"):
                shown += ", /dev/sev is " + ("there" if found.get("sev_device") else "missing")
            self.check(
                f"secure {name}",
                good,
                shown,
                "on",
                {
                    "tdx": "enable TDX in firmware setup and load kvm_intel with tdx=1",
                    "s390-pv": "add prot_virt=1 to the kernel command line (z15 and newer)",
                }.get(
                    name,
                    f"enable SEV and its ASIDs in firmware setup, load kvm_amd with {key}=1, and load the ccp module",
                ),
            )
        if "sev-es" in self.policy["secure"] and "sev-snp" in self.policy["secure"]:
            self.row(
                "secure",
                "warn",
                "sev-es and sev-snp asked for",
                "one of them",
                "Nova ignores SEV-ES on hosts where SEV-SNP is on",
            )

    def vtpm(self):
        if self.policy["vtpm"]:
            programs = self.facts.get("programs")
            if not isinstance(programs, dict):
                self.row("vtpm", "skip", "unknown", "swtpm and swtpm_setup", "gather qemu")
                return
            missing = [name for name in ("swtpm", "swtpm_setup") if not programs.get(name)]
            self.check(
                "vtpm",
                not missing,
                f"missing: {', '.join(missing)}" if missing else "there",
                "swtpm and swtpm_setup",
                "install swtpm and swtpm-tools: nova-compute refuses to start with swtpm_enabled and without them",
            )

    def devices(self):
        rules = dict(DEVICE_RULES, **mapping(self.policy["devices"]))
        found = self.facts.get("devices")
        for name, rule in rules.items():
            if rule == "skip":
                continue
            if not isinstance(found, dict) or name not in found:
                self.row(name, "skip", "unknown", "present", "gather kvm")
                continue
            module = DEVICE_MODULES.get(name)
            self.check(
                name,
                bool(found[name]),
                "present" if found[name] else "missing",
                "present",
                f"modprobe {module}, or give the container the device" if module else "load its driver",
                bad=rule,
            )

    def release(self):
        release = self.policy["release"]
        if not release:
            return
        floors = FLOORS.get(RELEASE_IDS.get(str(release), str(release)))
        programs = mapping(self.facts.get("programs"))
        for place, (name, version) in enumerate(
            (("libvirt", programs.get("libvirt_version")), ("qemu", programs.get("qemu_version")))
        ):
            if floors is None:
                self.row(
                    f"{name} version",
                    "warn",
                    version or "unknown",
                    f"what {release} needs, which is not known here",
                    f"known releases: {', '.join(FLOORS)}",
                )
            elif not version:
                self.row(
                    f"{name} version",
                    "skip",
                    "not installed yet",
                    f"{floors[place]} or newer",
                    "run again once it is installed",
                )
            else:
                self.check(
                    f"{name} version",
                    parts(version) >= parts(floors[place]),
                    version,
                    f"{floors[place]} or newer for {release}",
                    f"upgrade {name}: nova-compute refuses to start",
                )

    def unread(self):
        for name, error in sorted(mapping(self.facts.get("errors")).items()):
            self.row(f"facts {name}", "warn", error, "readable", "report this as a defect of kvm_facts")

    # -- together -----------------------------------------------------------------------------------------
    def kvm_module(self):
        flag = str(mapping(self.facts.get("cpu")).get("virt_flag"))
        return TECHNOLOGY.get(flag, (None, "kvm"))[1]

    def recommended(self):
        """(virt_type, cpu_mode, cpu_models) as things are now."""
        if self.usable and not self.qemu_denied():
            return "kvm", "host-passthrough" if self.arch == "aarch64" else "host-model", []
        return ("qemu",) + EMULATED_CPU.get(self.arch, ("none", []))

    def qemu_denied(self):
        """QEMU runs as libvirt's user: where that one may not open the node, a KVM guest does not start."""
        users = mapping(self.facts.get("users"))
        results = [mapping(users.get(name)).get("open") for name in ("libvirt-qemu", "qemu") if name in users]
        return any(isinstance(result, str) and result != "ok" for result in results)

    def repairs(self):
        """What can be put right without a reboot: data for the repair tasks."""
        acts = []
        if self.cause in ("module", "node_dead"):
            module = {"ppc64le": "kvm_hv"}.get(self.arch, self.kvm_module())
            acts.append({"act": "module", "name": module})
        if self.cause in ("node_missing", "node_wrong", "node_denied") or self.denied and self.cause != "node_nodev":
            acts.append({"act": "node"})
        if self.denied or self.cause in USABLE + ("node_missing", "node_wrong", "node_denied", "node_dead", "module"):
            users = mapping(self.facts.get("users"))
            acts += [
                {"act": "group", "user": name}
                for name in self.policy["users"]
                if mapping(users.get(name)).get("exists") and not mapping(users[name]).get("open") == "ok"
            ]
        failing = {row["name"]: row for row in self.rows if row["status"] in ("fail", "warn")}
        if "nested" in failing and self.kvm_module() != "kvm":
            acts.append(
                {
                    "act": "parameter",
                    "module": self.kvm_module(),
                    "name": "nested",
                    "value": str(int(bool(self.policy["nested"]))),
                }
            )
        acts += [
            {"act": "module", "name": DEVICE_MODULES[name].replace("-", "_")}
            for name in ("tun", "vhost_net", "vhost_vsock")
            if name in failing
        ]
        return acts


def repairable(evaluation, failing):
    """Whether each failing row is one that repairs() puts right."""
    acts = {act["act"] for act in evaluation.repairs()}
    modules = {act["name"] for act in evaluation.repairs() if act["act"] == "module"}

    def is_repaired(row):
        name = row["name"]
        if name == "acceleration":
            return evaluation.cause in ("module", "node_dead", "node_missing", "node_wrong", "node_denied")
        if name.startswith("access "):
            return row["found"] in ("EACCES", "ENOENT", "ENODEV", "ENXIO") and bool(acts & {"node", "group", "module"})
        return name == "nested" and "parameter" in acts or DEVICE_MODULES.get(name, "").replace("-", "_") in modules

    return bool(failing) and all(is_repaired(row) for row in failing)


def parts(version):
    """(9, 0, 0) from "9.0.0" or "1:9.0-4"."""
    numbers = []
    for piece in str(version).split(":")[-1].replace("-", ".").replace("+", ".").split(".")[:3]:
        digits = "".join(letter for letter in piece if letter.isdigit())
        numbers.append(int(digits) if 0 < len(digits) < 10 else 0)
    return tuple(numbers + [0] * (3 - len(numbers)))


def evaluate(facts, policy):
    """Evaluate one machine."""
    evaluation = Evaluation(facts, policy)
    for rows in (
        evaluation.acceleration,
        evaluation.nested_host,
        evaluation.access,
        evaluation.exit_cost,
        evaluation.real_mode,
        evaluation.guest_interrupts,
        evaluation.guest_tests,
        evaluation.guest_isa,
        evaluation.nested_guests,
        evaluation.max_vcpus,
        evaluation.iommu,
        evaluation.hugepages,
        evaluation.secure,
        evaluation.vtpm,
        evaluation.devices,
        evaluation.release,
        evaluation.unread,
    ):
        rows()
    statuses = {row["status"] for row in evaluation.rows}
    strict = evaluation.policy["warnings_are_errors"]
    failing = [row for row in evaluation.rows if row["status"] == "fail" or strict and row["status"] == "warn"]
    result = "fail" if failing else "warn" if "warn" in statuses else "pass"
    shown = failing or [row for row in evaluation.rows if row["status"] == "warn"]
    virt_type, cpu_mode, cpu_models = evaluation.recommended()
    return {
        "result": result,
        "class": "unmeasured"
        if evaluation.probe is None and evaluation.usable
        else known_class(evaluation.measured.get("class")) or "unusable",
        "cause": evaluation.cause,
        "can_be_enabled": evaluation.cause in CAN_BE_ENABLED or evaluation.usable and evaluation.qemu_denied(),
        "recommended_virt_type": virt_type,
        "recommended": {"cpu_mode": cpu_mode, "cpu_models": cpu_models},
        "checks": evaluation.rows,
        "failed_checks": [row["name"] for row in failing],
        "remedy": shown[0]["remedy"] if shown else "",
        "repairs": evaluation.repairs(),
        "repairable": repairable(evaluation, failing),
        "msg": "; ".join(
            f"{row['name']}: {row['found']}; wanted: {row['wanted']}"
            + (f"; do: {row['remedy']}" if row["remedy"] else "")
            for row in shown
        )
        or f"{evaluation.cause}: {evaluation.found}",
    }


def wrong_policy(policy):
    """What is wrong with a policy that argument types do not tell; None if nothing."""
    known = tuple(DEVICE_RULES) + ("vhost_vsock", "sev", "sgx_vepc", "tpm", "iommufd")
    for name, rule in policy["devices"].items():
        if name not in known:
            return f"devices has {name}; known are {', '.join(known)}."
        if rule not in ("fail", "warn", "skip"):
            return f"devices.{name} is {rule}; choose fail, warn or skip."
    for size, count in policy["hugepages"].items():
        if not (str(size).isdigit() and str(count).isdigit()):
            return f"hugepages has {size}: {count}; give pages by their size in kB, as 2048: 512."
    for name in ("min_vcpus", "max_exit_ns"):
        if policy[name] < 0:
            return f"{name} is {policy[name]}; give 0 or more."
    return None
