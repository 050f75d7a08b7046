# SPDX-License-Identifier: Apache-2.0
"""Work of maintainer scripts that is done once: real calls through the stand-ins, and the real py3compile."""

from __future__ import annotations

import os
import re
import subprocess
import threading

import pytest
from ansible.module_utils.host import commands
from ansible.module_utils.host.commands import Done
from ansible.module_utils.packages import deferred_triggers


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "put-off")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Record the calls of the real tools, which the stand-ins call by their whole path."""
    directory = tmp_path / "real"
    directory.mkdir()
    for name in ("py3compile", "systemctl"):
        (directory / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{directory}/calls\n')
        (directory / name).chmod(0o755)
    for name in ("PY3COMPILE", "SYSTEMCTL"):
        monkeypatch.setattr(
            deferred_triggers, name, getattr(deferred_triggers, name).replace("/usr/bin", str(directory))
        )

    def calls():
        return (directory / "calls").read_text().splitlines() if (directory / "calls").exists() else []

    return calls


def call(path, *words):
    subprocess.run(words, env={"PATH": path}, check=True)


def test_a_package_is_added_to_the_list_and_not_compiled(home, tools):
    with deferred_triggers.stand_ins(True, home) as path:
        call(path, "py3compile", "-p", "python3-nova")
        call(path, "py3compile", "-p", "python3-glance")
        assert tools() == [] and deferred_triggers.is_left(home)
    with open(f"{home}/py3compile.list") as file:
        assert file.read() == "python3-nova\npython3-glance\n"


def test_private_directories_and_versions_are_compiled_immediately(home, tools):
    with deferred_triggers.stand_ins(True, home) as path:
        call(path, "py3compile", "-p", "crudini", "/usr/share/crudini", "-V", "3.8-")
    assert tools() == ["py3compile -p crudini /usr/share/crudini -V 3.8-"] and not deferred_triggers.is_left(home)


def test_the_tool_itself_runs_where_the_list_cannot_be_written(home, tools):
    with deferred_triggers.stand_ins(True, home) as path:
        os.mkdir(f"{home}/py3compile.list")  # what root cannot write to
        call(path, "py3compile", "-p", "python3-nova")
    assert tools() == ["py3compile -p python3-nova"]


def test_reloads_wait_for_the_first_call_that_may_need_one(home, tools):
    with deferred_triggers.stand_ins(True, home) as path:
        call(path, "systemctl", "daemon-reload")
        call(path, "systemctl", "--system", "daemon-reload")
        call(path, "systemctl", "--quiet", "is-active", "sysinit.target")
        call(path, "systemctl", "--root=/", "--quiet", "enable", "keystone")
        assert tools() == ["systemctl --quiet is-active sysinit.target", "systemctl --root=/ --quiet enable keystone"]
        call(path, "systemctl", "enable", "keystone")
        call(path, "systemctl", "start", "keystone")
    assert tools()[2:] == ["systemctl daemon-reload", "systemctl enable keystone", "systemctl start keystone"]


def test_a_reload_that_no_call_needed_is_done_once_at_the_end(home, tools):
    calls = []
    with deferred_triggers.stand_ins(True, home) as path:
        call(path, "systemctl", "daemon-reload")
    for _time in range(2):
        assert deferred_triggers.catch_up(lambda command: (calls.append(command), Done(0, ""))[1], home) == ""
    assert calls == [["systemctl", "daemon-reload"]]


def test_reloads_are_not_deferred_where_services_are_not_held(home, tools):
    with deferred_triggers.stand_ins(False, home) as path:
        assert not os.path.exists(f"{home}/bin/systemctl")
        assert path.startswith(f"{home}/bin:")


def test_stand_ins_are_removed_after_a_failure(home):
    with pytest.raises(RuntimeError), deferred_triggers.stand_ins(True, home):
        raise RuntimeError
    assert os.listdir(f"{home}/bin") == []


def run(command):
    return commands.run(command, merge=True)


@pytest.fixture
def package(tmp_path, home, monkeypatch):
    """Return the directory of a package with Python code, a runner of the real py3compile, and its calls."""
    root = tmp_path / "usr/lib/python3/dist-packages"
    for number in range(20):
        directory = root / f"thing/part{number}"
        directory.mkdir(parents=True)
        for name in ("one", "two"):
            (directory / f"{name}.py").write_text(f"{name} = {number}\n")
    (tmp_path / "other.py").write_text("other = 1\n")
    monkeypatch.setattr(deferred_triggers, "_PUBLIC", re.compile(f"{root}/.*\\.py$"))
    os.makedirs(home)
    with open(f"{home}/py3compile.list", "w") as file:
        file.write("python3-thing\npython3-gone\npython3-thing\n")
    calls = []
    lock = threading.Lock()

    def listing(command):
        if command[0] == "dpkg-query":
            assert command[-2:] == ["python3-gone", "python3-thing"]
            files = "\n".join(map(str, tmp_path.rglob("*.py")))
            return Done(1, f"{files}\ndpkg-query: package 'python3-gone' is not there")
        with lock:
            calls.append(command)
        return run(command)

    return root, listing, calls


needs_py3compile = pytest.mark.skipif(not os.path.exists("/usr/bin/py3compile"), reason="Debian's python3 is not here")


@needs_py3compile
def test_every_public_file_of_the_packages_is_compiled_once(package, home, monkeypatch):
    root, listing, calls = package
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    assert deferred_triggers.catch_up(listing, home) == ""
    sources = sorted(root.rglob("*.py"))
    compiled = sorted(path.parent.parent / f"{path.name.split('.')[0]}.py" for path in root.rglob("*.pyc"))
    assert compiled == sources and len(sources) == 40
    assert not list(root.parents[3].glob("__pycache__")), "a file outside of the public directories was compiled"
    files = [path for command in calls for path in command[1:]]
    assert sorted(files) == sorted(map(str, sources)) and len(calls) == 6
    assert not deferred_triggers.is_left(home)


@needs_py3compile
def test_code_that_cannot_be_compiled_is_reported_and_tried_again(package, home):
    root, listing, _calls = package
    (root / "thing/part3/one.py").write_text("one =\n")
    assert "SyntaxError" in deferred_triggers.catch_up(listing, home)
    assert deferred_triggers.is_left(home)
    (root / "thing/part3/one.py").write_text("one = 3\n")
    assert deferred_triggers.catch_up(listing, home) == "" and not deferred_triggers.is_left(home)


def test_a_directory_is_never_split_and_no_batch_is_too_long():
    files = [f"/x/d{number}/{name}.py" for number in range(7) for name in range(1000)]
    batches = deferred_triggers.split(files, 1)
    assert sorted(path for batch in batches for path in batch) == sorted(files)
    homes = [{os.path.dirname(path) for path in batch} for batch in batches]
    assert sum(map(len, homes)) == 7 and max(map(len, batches)) <= 2 * deferred_triggers.BATCH
    assert deferred_triggers.split([], 8) == []
