# SPDX-License-Identifier: Apache-2.0
"""The test image: what it is built from, when it is built, and what is written."""

from __future__ import annotations

import hashlib
import json
import lzma
import platform
import shutil
import struct
import subprocess

import pytest
from ansible.module_utils.guest import guest_files, guest_init, initramfs
from ansible.module_utils.guest.initramfs import BuildError

ARCH = platform.machine()
DEBIAN = guest_files.ARCHITECTURES[ARCH].debian


def module_elf(depends, wide=True, order="<"):
    """Return a small, complete ELF file with the .modinfo section of a kernel module."""
    names = b"\0.shstrtab\0.modinfo\0"
    info = b"license=GPL\0depends=" + depends.encode() + b"\0name=x\0"
    head, row = (64, 64) if wide else (52, 40)
    at_names, at_info = head, head + len(names)
    table = at_info + len(info)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + b"\0" * 9
    word = "Q" if wide else "I"
    data = ident + struct.pack(f"{order}HHI{word}{word}{word}IHHHHHH", 1, 62, 1, 0, 0, table, 0, head, 0, 0, row, 3, 1)
    data += names + info + b"\0" * row
    for name, start, size in ((1, at_names, len(names)), (11, at_info, len(info))):
        data += struct.pack(f"{order}II{word * 4}II{word * 2}", name, 1, 0, 0, start, size, 0, 0, 1, 0)
    return data


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_dependencies_of_a_module_are_read_in_each_word_size_and_byte_order(wide, order):
    data = module_elf("net_failover,virtio-ring", wide, order)
    assert initramfs.module_depends(data) == ["net_failover", "virtio_ring"]
    assert initramfs.module_depends(module_elf("", wide, order)) == []


def test_a_file_that_is_not_a_module_is_refused():
    with pytest.raises(BuildError, match="is not an ELF file"):
        initramfs.module_depends(b"MZ" + b"\0" * 200)


def test_dependencies_are_loaded_first_and_built_in_modules_not_at_all():
    needs = {
        "virtio_net": ["net_failover", "virtio"],
        "net_failover": ["failover"],
        "failover": [],
        "virtio_blk": ["virtio"],
    }
    order = initramfs.load_order(["virtio_blk", "virtio_net"], {k: lambda v=v: v for k, v in needs.items()}, {"virtio"})
    assert order == ["virtio_blk", "failover", "net_failover", "virtio_net"]


def test_a_missing_module_is_reported_with_its_dependent():
    with pytest.raises(BuildError, match="no module failover, which virtio_net needs"):
        initramfs.load_order(["virtio_net"], {"virtio_net": lambda: ["failover"]}, set())


def test_a_cycle_of_modules_is_an_error():
    with pytest.raises(BuildError, match="a -> b -> a"):
        initramfs.load_order(["a"], {"a": lambda: ["b"], "b": lambda: ["a"]}, set())


def test_compressed_modules_are_decompressed():
    assert initramfs.plain_module("x/virtio.ko.xz", lzma.compress(b"elf")) == b"elf"
    assert initramfs.plain_module("x/virtio.ko", b"elf") == b"elf"
    with pytest.raises(BuildError, match=r"virtio\.ko\.zst"):
        initramfs.plain_module("x/virtio.ko.zst", b"")


def test_only_the_signature_of_a_boot_sector_is_cleared():
    kernel = bytearray(1024)
    kernel[510:512], kernel[0x202:0x206] = b"\x55\xaa", b"HdrS"
    cleared = initramfs.clear_boot_signature(bytes(kernel))
    assert cleared[510:512] == b"\0\0" and cleared[:510] == kernel[:510] and cleared[512:] == kernel[512:]
    kernel[0x202:0x206] = b"none"
    assert initramfs.clear_boot_signature(bytes(kernel)) == kernel


def test_the_scripts_of_the_guest_have_no_syntax_error():
    for name, text in guest_init.SCRIPTS.items():
        run = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
        assert run.returncode == 0, f"{name}: {run.stderr}"


def package(directory, name, version, files, architecture=DEBIAN):
    """Build a real .deb file."""
    root = directory / f"{name}-root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: test\n"
    )
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    argv = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", root, directory / f"{name}_{architecture}.deb"]
    subprocess.run(argv, check=True, capture_output=True)
    shutil.rmtree(root)


@pytest.fixture
def packages(tmp_path):
    """Return a directory with a kernel and a busybox package: small, with the layout of Debian's."""
    directory = tmp_path / "packages"
    directory.mkdir()
    base = "lib/modules/6.1.0-9-cloud"
    modules = {
        "virtio_ring": "",
        "virtio": "virtio_ring",
        "virtio_pci": "virtio",
        "failover": "",
        "virtio_net": "virtio,failover",
        "virtio_blk": "virtio",
        "unwanted": "",
    }
    package(
        directory,
        "linux-image-6.1.0-9-cloud",
        "6.1.9-1",
        {
            "boot/vmlinuz-6.1.0-9-cloud": b"K" * 2048,
            f"{base}/modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
            **{f"{base}/kernel/drivers/{name}.ko": module_elf(needs) for name, needs in modules.items()},
        },
    )
    package(directory, "busybox-static", "1:1.35-4", {"bin/busybox": b"B" * 4096})
    return directory


@pytest.fixture
def build(run_module, tmp_path, packages):
    def run(check=False, **more):
        args = {"path": str(tmp_path / "image"), "packages": str(packages), **more}
        return run_module("guest_image", args, check=check)

    return run


def contents(directory):
    """Return the bytes of the files of a directory by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_an_image_is_built_once_and_then_kept(build, tmp_path):
    first = build()
    made = contents(tmp_path / "image")
    assert first["changed"] and sorted(made) == ["disk", "guest.json", "initramfs", "kernel"]
    assert first["image"]["packages"] == {"linux-image-6.1.0-9-cloud": "6.1.9-1", "busybox-static": "1:1.35-4"}
    assert first["image"]["modules"] == ["virtio_ring", "virtio", "virtio_pci", "failover", "virtio_net", "virtio_blk"]
    for name, file in first["image"]["files"].items():
        assert hashlib.sha256(made[name]).hexdigest() == file["sha256"] and len(made[name]) == file["size"]
    second = build()
    assert not second["changed"] and second["image"] == first["image"]
    assert contents(tmp_path / "image") == made


def test_what_a_killed_build_left_is_removed(build, tmp_path):
    (tmp_path / "image/.packages.x").mkdir(parents=True)
    (tmp_path / "image/.kernel.x1y2").touch()
    build()
    assert sorted(contents(tmp_path / "image")) == ["disk", "guest.json", "initramfs", "kernel"]


def test_equal_packages_give_equal_bytes(build, tmp_path):
    build()
    made = contents(tmp_path / "image")
    shutil.rmtree(tmp_path / "image")
    build()
    assert contents(tmp_path / "image") == made


def test_check_mode_predicts_and_writes_nothing(build, tmp_path):
    result = build(check=True)
    assert result["changed"] and "guest.json is missing" in result["reason"]
    assert not (tmp_path / "image").exists()
    build()
    assert not build(check=True)["changed"]


@pytest.mark.parametrize("damaged", ["kernel", "initramfs", "disk", "guest.json"])
def test_an_image_with_a_damaged_or_missing_file_is_built_again(build, tmp_path, damaged):
    build()
    made, path = contents(tmp_path / "image"), tmp_path / "image" / damaged
    path.write_bytes(path.read_bytes()[:-7])
    assert build(check=True)["changed"]
    assert build()["changed"] and contents(tmp_path / "image") == made
    path.unlink()
    assert build()["changed"] and contents(tmp_path / "image") == made


def test_a_change_of_packages_or_recipe_builds_the_image_again(build, packages):
    before = build()["image"]
    assert build(name="other")["image"]["recipe"]["digest"] != before["recipe"]["digest"]
    (packages / f"busybox-static_{DEBIAN}.deb").unlink()
    package(packages, "busybox-static", "1:1.36-1", {"usr/bin/busybox": b"C" * 4096})
    after = build(name="other")
    assert after["changed"] and after["image"]["packages"]["busybox-static"] == "1:1.36-1"
    assert after["image"]["files"]["initramfs"]["sha256"] != before["files"]["initramfs"]["sha256"]


def test_a_wrong_choice_of_packages_is_reported(build, packages, tmp_path):
    package(packages, "linux-image-6.1.0-10-cloud", "6.1.10-1", {"boot/vmlinuz-6.1.0-10-cloud": b""})
    result = build()
    assert result["failed"] and "expected one package linux-image-VERSION" in result["msg"]
    assert "linux-image-6.1.0-10-cloud" in result["msg"] and "linux-image-6.1.0-9-cloud" in result["msg"]
    for path in packages.glob("linux-image*"):
        path.unlink()
    result = build()
    assert result["failed"] and f"expected one package linux-image-VERSION for {DEBIAN} among 1" in result["msg"]
    (packages / f"busybox-static_{DEBIAN}.deb").unlink()
    assert "has no .deb file" in build()["msg"]
    assert not (tmp_path / "image").exists()


def test_a_damaged_package_is_reported_and_the_old_image_stays(build, packages, tmp_path):
    build()
    made = contents(tmp_path / "image")
    path = packages / f"busybox-static_{DEBIAN}.deb"
    path.write_bytes(path.read_bytes()[:-3000])
    result = build()
    assert result["failed"] and path.name in result["msg"]
    assert contents(tmp_path / "image") == made


def test_a_kernel_without_a_required_driver_is_refused(build, packages):
    (packages / f"linux-image-6.1.0-9-cloud_{DEBIAN}.deb").unlink()
    package(
        packages,
        "linux-image-6.1.0-9-cloud",
        "1",
        {"boot/vmlinuz-6.1.0-9-cloud": b"K" * 2048, "lib/modules/6.1.0-9-cloud/modules.builtin": b"virtio_pci.ko\n"},
    )
    assert "the kernel package has no module virtio_net, which the guest needs" in build()["msg"]


def test_a_package_that_apt_does_not_offer_is_reported(run_module, tmp_path):
    result = run_module("guest_image", {"path": str(tmp_path / "image"), "kernel_package": "linux-image-no-such-thing"})
    assert result["failed"] and "linux-image-no-such-thing" in result["msg"] and "as packages" in result["msg"]
    assert not (tmp_path / "image").exists()


def test_a_stamp_of_another_program_is_not_trusted(build, tmp_path):
    build()
    (tmp_path / "image/guest.json").write_text(json.dumps(["another", "program"]))
    assert build(check=True)["changed"]


def test_compressed_data_has_no_time():
    data = initramfs.compress(b"x" * 100)
    assert data[:2] == b"\x1f\x8b" and data[4:8] == b"\0\0\0\0"
