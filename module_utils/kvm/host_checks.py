# SPDX-License-Identifier: Apache-2.0
"""Check what a host has besides KVM: IOMMU, memory, secure guests, devices, programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.module_utils.kvm.classify import listing, mapping, number
from ansible.module_utils.kvm.comparison import Comparison, Row, check, row
from ansible.module_utils.kvm.policy import DEVICE_RULES, FLOORS, RELEASE_IDS

DEVICE_MODULES = {"tun": "tun", "vhost_net": "vhost_net", "vhost_vsock": "vhost_vsock", "vfio": "vfio-pci"}
SECURE_REMEDIES = {
    "tdx": "enable TDX in firmware setup and load kvm_intel with tdx=1",
    "s390-pv": "add prot_virt=1 to the kernel command line (z15 and newer)",
}


def iommu(host: Comparison) -> Iterator[Row]:
    """Check that the IOMMU is on or off."""
    required = host.policy["iommu"]
    if required is None:
        return
    found, wanted = mapping(host.facts.get("iommu")), "on" if required else "off"
    if number(found.get("groups")) is None:
        yield row("iommu", "skip", "unknown", wanted, "gather iommu")
        return
    tables = [str(name) for name in listing(found.get("firmware_tables"))]
    if not required:
        remedy = "take iommu options off the kernel command line, or switch it off in firmware setup"
    elif tables:
        option = "intel_iommu=on iommu=pt" if "DMAR" in tables else "iommu=pt"
        remedy = f"firmware publishes {'/'.join(tables)}, the kernel has it off: add {option} to its command line"
    else:
        remedy = "firmware publishes no IOMMU: enable VT-d, AMD IOMMU or SMMU in firmware setup"
    good = bool(found["groups"]) == bool(required)
    yield check("iommu", good, f"{found['groups']} groups", wanted, remedy)


def hugepages(host: Comparison) -> Iterator[Row]:
    """Check the number of huge pages of each size."""
    pools = mapping(mapping(host.facts.get("memory")).get("hugepages"))
    for size, least in sorted(mapping(host.policy["hugepages"]).items(), key=lambda item: str(item[0])):
        name, wanted = f"hugepages {size} kB", f"at least {least}"
        if "memory" not in host.facts:
            yield row(name, "skip", "unknown", wanted, "gather memory")
            continue
        total = number(mapping(pools.get(str(size))).get("total")) or 0
        shown = {"2048": "2M", "1048576": "1G"}.get(str(size), f"{size}K")
        remedy = (
            f"add hugepagesz={shown} hugepages={least} to the kernel command line, or write "
            f"/sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages"
        )
        yield check(name, total >= int(least), total, wanted, remedy)


def secure(host: Comparison) -> Iterator[Row]:
    """Check that the host offers each kind of secure guests."""
    found = host.facts.get("secure_guests")
    for name in host.policy["secure"]:
        if not isinstance(found, dict):
            yield row(f"secure {name}", "skip", "unknown", "on", "gather secure")
            continue
        key, is_sev = name.replace("-", "_"), name.startswith("sev")
        value, device = found.get(key), bool(found.get("sev_device"))
        shown = "unknown" if value is None else f"{key}={value}"
        if is_sev:
            shown += ", /dev/sev is " + ("there" if device else "missing")
        sev_remedy = f"enable SEV and its ASIDs in firmware setup, load kvm_amd with {key}=1, and load the ccp module"
        good = str(value) in ("1", "Y", "y") and (device or not is_sev)
        yield check(f"secure {name}", good, shown, "on", SECURE_REMEDIES.get(name, sev_remedy))
    if "sev-es" in host.policy["secure"] and "sev-snp" in host.policy["secure"]:
        remedy = "Nova ignores SEV-ES on hosts where SEV-SNP is on"
        yield row("secure", "warn", "sev-es and sev-snp requested", "one of them", remedy)


def vtpm(host: Comparison) -> Iterator[Row]:
    """Check that the programs of virtual TPMs are installed."""
    if not host.policy["vtpm"]:
        return
    programs, wanted = host.facts.get("programs"), "swtpm and swtpm_setup"
    if not isinstance(programs, dict):
        yield row("vtpm", "skip", "unknown", wanted, "gather qemu")
        return
    missing = ", ".join(name for name in ("swtpm", "swtpm_setup") if not programs.get(name))
    remedy = "install swtpm and swtpm-tools: nova-compute refuses to start with swtpm_enabled and without them"
    yield check("vtpm", not missing, f"missing: {missing}" if missing else "there", wanted, remedy)


def devices(host: Comparison) -> Iterator[Row]:
    """Check the companion devices of KVM."""
    found = host.facts.get("devices")
    for name, rule in {**DEVICE_RULES, **mapping(host.policy["devices"])}.items():
        if rule == "skip":
            continue
        if not isinstance(found, dict) or name not in found:
            yield row(name, "skip", "unknown", "present", "gather kvm")
            continue
        module = DEVICE_MODULES.get(name)
        remedy = f"modprobe {module}, or give the container the device" if module else "load its driver"
        yield check(name, bool(found[name]), "present" if found[name] else "missing", "present", remedy, bad=rule)


def release(host: Comparison) -> Iterator[Row]:
    """Check that libvirt and QEMU are as new as the Nova release needs."""
    wanted = host.policy["release"]
    if not wanted:
        return
    floors = FLOORS.get(RELEASE_IDS.get(str(wanted), str(wanted)), ("", ""))
    programs = mapping(host.facts.get("programs"))
    for name, floor in zip(("libvirt", "qemu"), floors):
        title, version = f"{name} version", programs.get(f"{name}_version")
        if not floor:
            known = f"known releases: {', '.join(FLOORS)}"
            yield row(title, "warn", version or "unknown", f"what {wanted} needs, which is not known here", known)
        elif not version:
            yield row(title, "skip", "not installed yet", f"{floor} or newer", "run again once it is installed")
        else:
            good = version_numbers(version) >= version_numbers(floor)
            remedy = f"upgrade {name}: nova-compute refuses to start"
            yield check(title, good, version, f"{floor} or newer for {wanted}", remedy)


def unread(host: Comparison) -> Iterator[Row]:
    """Warn of facts that could not be gathered."""
    for name, error in sorted(mapping(host.facts.get("errors")).items()):
        yield row(f"facts {name}", "warn", error, "readable", "report this as a defect of kvm_facts")


def version_numbers(version: object) -> tuple[int, ...]:
    """Return (9, 0, 0) for "9.0.0" or "1:9.0-4"."""
    numbers = []
    for piece in str(version).split(":")[-1].replace("-", ".").replace("+", ".").split(".")[:3]:
        digits = "".join(letter for letter in piece if letter.isdigit())
        numbers.append(int(digits) if 0 < len(digits) < 10 else 0)
    return tuple(numbers + [0] * (3 - len(numbers)))
