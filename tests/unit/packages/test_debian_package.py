# SPDX-License-Identifier: Apache-2.0
"""Reading .deb files that a real dpkg-deb built."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible.module_utils.packages import debian_package

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return the path of a package with two files and a link."""
    root = tmp_path_factory.mktemp("package")
    (root / "DEBIAN").mkdir()
    control = {"Package": "thing", "Version": "1:2-3", "Architecture": "all", "Maintainer": "x", "Description": "x"}
    (root / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    (root / "boot").mkdir()
    (root / "boot/vmlinuz").write_bytes(b"kernel\0")
    (root / "boot/config").write_text("config")
    (root / "boot/link").symlink_to("vmlinuz")
    path = root.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "--build", str(root), str(path)], check=True, stdout=subprocess.DEVNULL)
    return str(path)


def test_fields_are_read(package):
    assert debian_package.fields(package) == {"Package": "thing", "Version": "1:2-3", "Architecture": "all"}


def test_wanted_regular_files_are_read(package):
    assert debian_package.files(package, lambda name: name != "boot/config") == {"boot/vmlinuz": b"kernel\0"}


def test_a_file_that_is_no_package_is_refused(tmp_path):
    path = tmp_path / "x.deb"
    path.write_text("no package")
    with pytest.raises(ValueError, match="x.deb is not a readable Debian package: dpkg-deb: error: "):
        debian_package.fields(str(path))
