# SPDX-License-Identifier: Apache-2.0
"""A test guest without disk or network: its program, its description for libvirt, and what its output means. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

# arm64: write "RUNS" to the serial port of QEMU's virt board, then wait without end
ARM_TEXT = "RUNS"
ARM_UART = 0x09000000
# What the guest writes to its serial port when it runs: by architecture; elsewhere only its state is visible.
EXPECTED_OUTPUT = {"x86_64": "SeaBIOS", "aarch64": ARM_TEXT}


class Comparison(NamedTuple):
    """Whether libvirt offers what kvm_verify recommends, and a sentence about it."""

    agrees: bool
    text: str


def arm_program() -> bytes:
    """Return the kernel image of the arm64 guest."""
    code = [0xD2A12001]  # mov x1, #0x09000000
    for letter in ARM_TEXT:
        code += [0x52800000 | ord(letter) << 5, 0x39000020]  # mov w0, #letter; strb w0, [x1]
    code += [0xD503205F, 0x17FFFFFF]  # wfe; b .-4
    return struct.pack(f"<{len(code)}I", *code)


def expected_output(arch: str) -> str | None:
    """Return the start of what a guest writes when it runs; None where only its state is visible."""
    return EXPECTED_OUTPUT.get(arch)


def first_line(text: str, start: str | None) -> str | None:
    """Return the line that starts so once all of it has come; None until then."""
    rest = text[text.index(start) :] if start and start in text else ""
    return rest.splitlines()[0][:120] if rest == start or "\n" in rest else None


def cpu_element(mode: str | None, models: Sequence[str]) -> str:
    """Return the CPU of the guest, as Nova writes it for cpu_mode and cpu_models."""
    if mode in ("host-model", "host-passthrough", "maximum"):
        return f"<cpu mode={quoteattr(mode)}/>"
    if mode == "custom" and models:
        return f'<cpu mode="custom" match="exact"><model fallback="forbid">{escape(models[0])}</model></cpu>'
    return ""


def domain_xml(
    name: str,
    arch: str,
    virt_type: str,
    serial: str,
    kernel: str | None = None,
    cpu_mode: str | None = None,
    cpu_models: Sequence[str] = (),
) -> str:
    """Return the description of the guest for libvirt; serial is the file of its output."""
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


def compare(libvirt: dict[str, Any], recommended: str) -> Comparison:
    """Compare what libvirt offers (facts.domain_capabilities) with the recommended virt_type."""
    if not libvirt.get("answers", True):
        return Comparison(False, "libvirt does not list what it offers")
    offered = bool((libvirt.get("virt_types") or {}).get("kvm", {}).get("offered"))
    if offered == (recommended == "kvm"):
        return Comparison(True, f"libvirt {'offers' if offered else 'does not offer'} kvm, as recommended here")
    if offered:
        return Comparison(
            False,
            "libvirt offers kvm, which does not count: it only opens /dev/kvm, with more rights than its guests have, "
            "and runs nothing",
        )
    return Comparison(
        False,
        "libvirt does not offer kvm although it works here: install this architecture's QEMU, then restart libvirtd "
        "(it remembers what it once found)",
    )


def summary(result: dict[str, Any], virt_type: str) -> str:
    """Return the result of kvm_test_guest in one sentence."""
    if "seconds" not in result:
        ran = "No guest was started"
    elif result["serial_line"]:
        ran = f"A guest with virt_type {virt_type} ran: it wrote '{result['serial_line']}' after {result['seconds']} s"
    else:
        ran = f"A guest with virt_type {virt_type} was started; its output is not visible on this architecture"
    return f"{ran}; {result['comparison']}."
