# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os

import pytest
from ansible.module_utils.host import atomic_file
from ansible.module_utils.host.atomic_file import NewFile, replace_all, replace_link, write


def test_a_file_gets_its_content_and_mode_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    write(str(path), "new\n", mode=0o600)
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_while_writing_leaves_every_file_as_it_was(tmp_path):
    first = tmp_path / "first"
    first.write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_all([NewFile(str(first), b"new"), NewFile(str(tmp_path / "missing/second"), b"new")])
    assert first.read_text() == "old"
    assert os.listdir(tmp_path) == ["first"]


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    seen = []
    replace = os.replace
    monkeypatch.setattr(atomic_file.os, "replace", lambda *names: (seen.append(path.read_text()), replace(*names)))
    write(str(path), "new")
    assert seen == ["old"] and path.read_text() == "new"


def test_a_link_takes_the_place_of_a_file(tmp_path):
    path = tmp_path / "link"
    path.write_text("a file")
    replace_link(str(path), "target")
    assert os.readlink(path) == "target"
    assert os.listdir(tmp_path) == ["link"]
