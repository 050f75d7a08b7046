# SPDX-License-Identifier: Apache-2.0
"""config_files on real files: the result, the prediction of check mode, and a diff without secrets."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat

import pytest

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
SECRET = "Zw3rgenaufstand"


@pytest.fixture
def files(run_module, tmp_path):
    """Return a function that runs the module on entries, with paths relative to tmp_path, and returns its result."""

    def run(*entries, check=False, secrets=(), **options):
        entries = [{**ME, **entry, "path": str(tmp_path / entry["path"])} for entry in entries]
        return run_module("config_files", {"files": entries, "secrets": list(secrets), **options}, check=check)

    return run


def made_of(options):
    """Return one layer with options."""
    return [{"name": "test", "source": "here", "options": options}]


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_every_kind_of_entry_is_made_and_a_second_run_changes_nothing(files, tmp_path):
    (tmp_path / "packaged").write_text("from the package\n")
    (tmp_path / "old").write_text("x")
    entries = [
        {"path": "d/sub", "state": "directory", "mode": "0750"},
        {"path": "d/sub/a.conf", "layers": made_of({"DEFAULT": {"debug": True}})},
        {"path": "text", "text": "hello\n", "mode": "0600"},
        {"path": "copy", "source": str(tmp_path / "packaged"), "mode": "0644"},
        {"path": "old", "state": "absent"},
    ]
    predicted = files(*entries, check=True)
    assert sorted(os.listdir(tmp_path)) == ["old", "packaged"]
    done = files(*entries)
    assert predicted["changed_paths"] == done["changed_paths"] == [str(tmp_path / e["path"]) for e in entries]
    assert predicted["diff"] == done["diff"]
    assert "[DEFAULT]\ndebug = true\n" in (tmp_path / "d/sub/a.conf").read_text()
    assert (tmp_path / "text").read_text() == "hello\n"
    assert (tmp_path / "copy").read_text() == "from the package\n"
    assert not (tmp_path / "old").exists()
    assert [mode_of(tmp_path / name) for name in ("d/sub", "d/sub/a.conf", "text", "copy")] == [
        0o750,
        0o640,
        0o600,
        0o644,
    ]
    again = files(*entries)
    assert (again["changed"], again["changed_paths"], again["diff"]) == (False, [], [])
    assert sorted(os.listdir(tmp_path)) == ["copy", "d", "packaged", "text"], "no temporary file is left"


def test_a_drifted_mode_alone_is_corrected_and_shown(files, tmp_path):
    files({"path": "a", "text": "x\n"})
    (tmp_path / "a").chmod(0o666)
    result = files({"path": "a", "text": "x\n"})
    assert mode_of(tmp_path / "a") == 0o640
    assert [result["diff"][0][side].split()[-1] for side in ("before", "after")] == ["0666", "0640"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
def test_a_drifted_owner_is_corrected_and_shown(files, tmp_path):
    files({"path": "a", "text": "x\n", "group": "daemon"})
    assert grp.getgrgid((tmp_path / "a").stat().st_gid).gr_name == "daemon"
    daemon = grp.getgrnam("daemon").gr_gid
    for owner, group, shown in ((1, daemon, "daemon:daemon"), (0, 0, "root:root")):
        os.chown(tmp_path / "a", owner, group)
        result = files({"path": "a", "text": "x\n", "group": "daemon"})
        assert result["diff"][0]["before"].startswith(f"# owner {shown} ")
        assert result["diff"][0]["after"].startswith("# owner root:daemon ")
        assert ((tmp_path / "a").stat().st_uid, (tmp_path / "a").stat().st_gid) == (0, daemon)


def test_secrets_never_leave_the_module_old_or_new_listed_or_not(files):
    def entries(secret):
        return [
            {
                "path": "a.conf",
                "layers": made_of(
                    {
                        "database": {"connection": f"mysql+pymysql://nova:{secret}@10.0.0.1/nova"},
                        "keystone_authtoken": {"password": secret},
                        "DEFAULT": {"description": f"holds {secret}"},
                    }
                ),
            },
            {"path": "openrc", "text": f"export OS_PASSWORD={secret}\nexport OS_USERNAME=admin\n"},
        ]

    first = files(*entries(SECRET), secrets=[SECRET])
    second = files(*entries("anewsecret99"), secrets=["anewsecret99", SECRET])
    for result in (first, second):
        assert SECRET not in json.dumps(result) and "anewsecret99" not in json.dumps(result)
    unnamed = files(*entries("unnamed4711x")[1:])
    assert "unnamed4711x" not in json.dumps(unnamed), "an operator's secret that is not listed"
    shown = second["diff"][0]["after"]
    assert "password = *** (changed)" in shown
    assert "connection = mysql+pymysql://nova:***@10.0.0.1/nova (changed)" in shown
    assert "OS_USERNAME" in second["diff"][1]["after"]


def test_no_secret_reaches_the_journal_of_the_target(files, monkeypatch):
    logged = []
    monkeypatch.setattr("config_files.QuietModule.log", lambda _module, text, **_options: logged.append(text))
    files(
        {"path": "a.conf", "layers": made_of({"own": {"password": "unnamed4711x"}})},
        {"path": "b", "text": "key: unnamed4711x"},
    )
    assert len(logged) == 1 and "a.conf" in logged[0] and "unnamed4711x" not in logged[0]


def test_the_diff_of_a_packaged_file_shows_changed_options_not_comments(files, tmp_path):
    (tmp_path / "a.conf").write_text("# long\n# comments\n[DEFAULT]\nsame = 1\nold=2\n")
    result = files({"path": "a.conf", "layers": made_of({"DEFAULT": {"same": 1, "new": 3}})})
    assert "same" not in result["diff"][0]["before"] + result["diff"][0]["after"]
    assert "old = 2" in result["diff"][0]["before"] and "new = 3" in result["diff"][0]["after"]


def test_a_different_layout_is_a_visible_change(files, tmp_path):
    files({"path": "a.conf", "layers": made_of({"DEFAULT": {"a": 1}})})
    (tmp_path / "a.conf").write_text("[DEFAULT]\na=1\n")
    result = files({"path": "a.conf", "layers": made_of({"DEFAULT": {"a": 1}})})
    assert result["changed"] and result["diff"][0]["before"] != result["diff"][0]["after"]


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_kept(files, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    assert files({"path": "a", "text": "x\n"})["changed"]
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "a").is_symlink() and (tmp_path / "a").read_text() == "x\n"


def test_a_link_to_a_directory_on_another_disk_is_kept(files, tmp_path):
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "d").symlink_to(tmp_path / "disk")
    assert not files({"path": "d", "state": "directory", "mode": "0755"})["changed"]
    assert files({"path": "d", "state": "directory", "mode": "0700"})["changed"]
    assert (tmp_path / "d").is_symlink() and mode_of(tmp_path / "disk") == 0o700


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "none/a", "text": "x"}, ["none does not exist", "state: directory"]),
        ({"path": "a", "text": "x", "owner": "nobodyhere"}, ["user nobodyhere does not exist"]),
        ({"path": "a", "text": "x", "group": "nobodyhere"}, ["group nobodyhere does not exist"]),
        ({"path": "a", "text": "x", "mode": "640"}, ["mode 640", '"0640"']),
        ({"path": "a", "text": "x", "mode": "416"}, ["mode 416"]),
        ({"path": "a"}, ["one of layers, text, source"]),
        ({"path": "a", "text": "x", "layers": made_of({})}, ["one of layers, text, source"]),
        ({"path": "a", "text": "x", "validate": ["nova.conf"]}, ["validate needs layers"]),
        ({"path": "a", "text": "x", "optional": True}, ["optional needs layers"]),
        (
            {"path": "a", "layers": made_of({}), "format": "yaml", "validate": ["nova.conf"]},
            ["validate needs layers"],
        ),
        ({"path": "a", "state": "directory", "text": "x"}, ["no content"]),
        ({"path": "a", "state": "link"}, ["state link takes target"]),
        ({"path": "a", "state": "link", "text": "x"}, ["state link takes target"]),
        ({"path": "a", "target": "/x"}, ["one of layers, text, source"]),
        ({"path": "a", "state": "link", "target": "/x", "mode": "0777"}, ["a link has no mode"]),
        ({"path": "full", "state": "link", "target": "/x"}, ["is a directory", "a link is expected"]),
        ({"path": "none/a", "state": "link", "target": "/x"}, ["none does not exist"]),
        ({"path": "a", "layers": made_of({"DEFAULT": {"x": {"y": 1}}})}, ["[DEFAULT] x", "dict"]),
        ({"path": "a", "source": "/no/such/file"}, ["/no/such/file"]),
        ({"path": "full", "state": "absent"}, ["not empty"]),
        ({"path": "full", "text": "x"}, ["is a directory"]),
        ({"path": "full/x", "state": "directory"}, ["is a file"]),
        ({"path": "good", "text": "y"}, ["good is listed more than once"]),
    ],
)
def test_one_wrong_entry_keeps_all_others_from_being_written(files, tmp_path, entry, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    result = files({"path": "good", "text": "x\n"}, entry)
    assert result["failed"] and "Nothing was changed" in result["msg"]
    assert all(word in result["msg"] for word in words), result["msg"]
    assert sorted(os.listdir(tmp_path)) == ["full"]


def test_one_message_has_every_problem(files):
    result = files({"path": "a", "text": "x", "mode": "9"}, {"path": "none/b", "text": "x", "owner": "nobodyhere"})
    assert result["msg"].count("\n  - ") == 3


def test_check_mode_predicts_on_a_machine_without_packages(files, tmp_path):
    entries = [
        {
            "path": "etc/nova/nova.conf",
            "layers": made_of({"DEFAULT": {"a": 1}}),
            "group": "novahere",
            "validate": ["nova.conf"],
        },
        {"path": "etc/nova/api-paste.ini", "source": "/no/such/file"},
    ]
    result = files(*entries, check=True)
    assert result["changed_paths"] == [str(tmp_path / entry["path"]) for entry in entries]
    assert result["not_validated"] == [str(tmp_path / "etc/nova/nova.conf")]
    assert ":novahere mode 0640" in result["diff"][0]["after"]
    assert not os.listdir(tmp_path)


def test_when_a_file_cannot_be_written_no_file_is_replaced(files, tmp_path, monkeypatch):
    files({"path": "a", "text": "old\n"}, {"path": "b", "text": "old\n"})
    real, calls = os.fsync, []

    def full_disk(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_disk)
    result = files({"path": "a", "text": "new\n"}, {"path": "b", "text": "new\n"})
    assert result["failed"] and "free some space" in result["msg"]
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["old\n", "old\n"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_bytes_that_are_not_text_survive_and_can_be_shown(files, tmp_path):
    (tmp_path / "packaged").write_bytes(b"na\xefve\n")
    result = files({"path": "copy", "source": str(tmp_path / "packaged")})
    assert (tmp_path / "copy").read_bytes() == b"na\xefve\n"
    json.dumps(result["diff"]).encode("ascii")
    assert "na?ve" in result["diff"][0]["after"]


def test_a_link_is_made_changed_and_kept(files, tmp_path):
    entry = {"path": "link", "state": "link", "target": "/etc/one"}
    predicted = files(entry, check=True)
    assert not os.listdir(tmp_path)
    done = files(entry)
    assert predicted["diff"] == done["diff"] and done["changed"] and os.readlink(tmp_path / "link") == "/etc/one"
    assert done["diff"][0]["after"] == "-> /etc/one\n"
    assert not files(entry)["changed"] and not files({**entry, "owner": "daemon"})["changed"]
    moved = files({**entry, "target": "/etc/two"})
    assert (moved["diff"][0]["before"], moved["diff"][0]["after"]) == ("-> /etc/one\n", "-> /etc/two\n")
    assert os.readlink(tmp_path / "link") == "/etc/two" and os.listdir(tmp_path) == ["link"]


def test_a_file_in_place_of_a_link_is_replaced_and_shown(files, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").write_text("password = unnamed4711x\nold = 1\n")
    result = files({"path": "link", "state": "link", "target": str(tmp_path / "precious")})
    assert os.readlink(tmp_path / "link") == str(tmp_path / "precious")
    assert (tmp_path / "precious").read_text() == "precious"
    assert "old = 1" in result["diff"][0]["before"] and "unnamed4711x" not in json.dumps(result)
    assert result["diff"][0]["after"] == f"-> {tmp_path / 'precious'}\n"


def test_a_link_in_place_of_a_file_is_shown(files, tmp_path):
    (tmp_path / "a").symlink_to("/nowhere")
    shown = files({"path": "a", "layers": made_of({"DEFAULT": {"x": 1}})})["diff"][0]
    assert shown["before"] == "-> /nowhere\n" and shown["after"].endswith("[DEFAULT]\nx = 1\n")
