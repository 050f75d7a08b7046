# SPDX-License-Identifier: Apache-2.0
"""A guest without disk or network whose first words prove that it runs: its description, and what it says. Pure."""

from __future__ import annotations

import struct
from xml.sax.saxutils import escape, quoteattr

# arm64: write "RUNS" to the serial port of QEMU's virt board, then wait for ever
ARM_TEXT = "RUNS"
ARM_UART = 0x09000000


def arm_program():
    code = [0xD2A12001]  # mov x1, #0x09000000
    for letter in ARM_TEXT:
        code += [0x52800000 | ord(letter) << 5, 0x39000020]  # mov w0, #letter; strb w0, [x1]
    code += [0xD503205F, 0x17FFFFFF]  # wfe; b .-4
    return struct.pack(f"<{len(code)}I", *code)


def expected_output(arch):
    """What the guest writes to its serial port when it runs; None where only its state can be looked at."""
    return {"x86_64": "SeaBIOS", "aarch64": ARM_TEXT}.get(arch)


def first_line(text, start):
    """The whole line that begins with the start, once all of it has come; None until then."""
    rest = text[text.index(start) :] if start and start in text else ""
    return rest.splitlines()[0][:120] if rest == start or "\n" in rest else None


def cpu_element(mode, models):
    if mode in ("host-model", "host-passthrough", "maximum"):
        return f"<cpu mode={quoteattr(mode)}/>"
    if mode == "custom" and models:
        return f'<cpu mode="custom" match="exact"><model fallback="forbid">{escape(models[0])}</model></cpu>'
    return ""


def domain_xml(name, arch, virt_type, serial, kernel=None, cpu_mode=None, cpu_models=()):
    """libvirt's description of the guest."""
    loader = '<bios useserial="yes"/>' if arch == "x86_64" else f"<kernel>{escape(kernel)}</kernel>" if kernel else ""
    machine = ' machine="virt"' if arch == "aarch64" else ""
    return (
        f'<domain type={quoteattr(virt_type)}><name>{escape(name)}</name><memory unit="MiB">128</memory><vcpu>1</vcpu>'
        f"<os><type arch={quoteattr(arch)}{machine}>hvm</type>{loader}</os>"
        f"{cpu_element(cpu_mode, cpu_models)}<on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash><devices>"
        f'<controller type="usb" model="none"/><memballoon model="none"/>'
        f'<serial type="file"><source path={quoteattr(serial)}/><target port="0"/></serial>'
        "</devices></domain>"
    )


def compare(libvirt, recommended):
    """(agrees, text): our recommendation beside what libvirt offers."""
    if not (libvirt or {}).get("answers", True):
        return False, "libvirt does not say what it offers"
    offered = bool(((libvirt or {}).get("virt_types") or {}).get("kvm", {}).get("offered"))
    if offered == (recommended == "kvm"):
        return True, f"libvirt {'offers' if offered else 'does not offer'} kvm, as recommended here"
    if offered:
        return False, (
            "libvirt offers kvm, and is not believed: it only opens /dev/kvm, with more rights than its guests have, "
            "and runs nothing"
        )
    return False, (
        "libvirt does not offer kvm although it works here: install this architecture's QEMU, then restart libvirtd "
        "(it remembers what it once found)"
    )


def summary(answer, virt_type):
    """What became of the trial, in one sentence."""
    if "seconds" not in answer:
        ran = "No guest was started"
    elif answer["serial_line"]:
        ran = f"A guest with virt_type {virt_type} ran: it wrote '{answer['serial_line']}' after {answer['seconds']} s"
    else:
        ran = f"A guest with virt_type {virt_type} was started; what it does cannot be seen on this architecture"
    return f"{ran}; {answer['comparison']}."
