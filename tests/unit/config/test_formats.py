# SPDX-License-Identifier: Apache-2.0
"""Every format: its own reader sees the options of the layers, overrides reach it, a second run changes nothing."""

from __future__ import annotations

import configparser
import grp
import json
import os
import pwd
import re
import shutil
import subprocess

import pytest
import yaml
from ansible.module_utils.config import formats, layers
from ansible.module_utils.config.ini_file import HEADER

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
SECRET = 'Zw3r"gen$auf`st\\and'


def read_ini(path):
    reader = configparser.RawConfigParser(strict=False, default_section="none")
    reader.optionxform = str
    reader.read(path)
    return {section: dict(reader[section]) for section in reader.sections()}


def read_systemd(path):
    """Read a unit as systemd does: an empty value resets a list, a repeated key adds to it."""
    result, section = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = result.setdefault(line[1:-1], {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section[key] = [*section.get(key, []), value] if value else []
    return result


def read_properties(path):
    lines = [line.split(" = ", 1) for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: value for name, value in lines}


def read_shell(path):
    """Read variables with a real shell."""
    script = f"set -a; . {path}; exec env -0"
    output = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    found = dict(row.split("=", 1) for row in output.split("\0") if row)
    return {name: value for name, value in found.items() if name not in ("PWD", "OLDPWD", "_")}


def read_flags(path):
    return [tuple(line.split(None, 1)) for line in path.read_text().splitlines() if not line.startswith("#")]


def read_yaml(path):
    return yaml.safe_load(path.read_text())


NESTED = {"default": {"auth": {"password": "it's: #1 \u00fc\U0001f600\x85\u2028", "l": [1, [2], {"a": [{}]}]}}}
# format: (reader, our options, those of the operator, what the reader sees)
CASES = {
    "ini": (
        read_ini,
        {"vnc": {"enabled": True, "listen": "10.0.0.1"}, "DEFAULT": {"debug": False, "old": 1}},
        {"DEFAULT": {"debug": True, "old": None}, "own": {"x": "a = b"}},
        {"DEFAULT": {"debug": "true"}, "own": {"x": "a = b"}, "vnc": {"enabled": "true", "listen": "10.0.0.1"}},
    ),
    "systemd": (
        read_systemd,
        {"Socket": {"ListenStream": ["", "127.0.0.1:4369"], "Backlog": 5}, "Unit": {"After": "a.service"}},
        {"Socket": {"ListenStream": ["", "[::1]:4369", "10.0.0.1:4369"]}, "Unit": {"Wants": "b.service"}},
        {
            "Unit": {"After": ["a.service"], "Wants": ["b.service"]},
            "Socket": {"ListenStream": ["[::1]:4369", "10.0.0.1:4369"], "Backlog": ["5"]},
        },
    ),
    "properties": (
        read_properties,
        {"listeners.tcp.1": "10.0.0.1:5672", "loopback_users.guest": True, "host_uuid_source": '"machine-id"'},
        {"listeners.tcp.1": "[::1]:5672", "log.file.level": "debug", "loopback_users.guest": None},
        {"listeners.tcp.1": "[::1]:5672", "host_uuid_source": '"machine-id"', "log.file.level": "debug"},
    ),
    "shell": (
        read_shell,
        {"ARGS": "--ini /etc/x y.ini", "NODENAME": "r@localhost", "GONE": 1, "export TRICKY": "{127,0} $(id) `id` #"},
        {"GONE": None, "QUOTED": 'say "it\'s" \\ done', "NODENAME": "$HOME!", "EMPTY": ""},
        {
            "ARGS": "--ini /etc/x y.ini",
            "NODENAME": "$HOME!",
            "TRICKY": "{127,0} $(id) `id` #",
            "QUOTED": 'say "it\'s" \\ done',
            "EMPTY": "",
        },
    ),
    "flags": (
        read_flags,
        {"-d": True, "logfile": "/var/log/memcached.log", "-m": 64, "-v": True, "-l": ["10.0.0.1", "::1"]},
        {"-m": 128, "-v": False, "-d": None, "-A": True},
        [("logfile", "/var/log/memcached.log"), ("-m", "128"), ("-l", "10.0.0.1"), ("-l", "::1"), ("-A",)],
    ),
    "yaml": (
        read_yaml,
        {
            "clouds": NESTED,
            "os_compute_api:servers:create": "rule:x or\nrole:y",
            "gone": 1,
            "on": "yes",
        },
        {"gone": None, "number": "012", "none": {"a": None}, "list": [], "float": 1e22, "truth": True, "on": "no"},
        {
            "clouds": NESTED,
            "os_compute_api:servers:create": "rule:x or\nrole:y",
            "number": "012",
            "none": {"a": None},
            "list": [],
            "float": 1e22,
            "truth": True,
            "on": "no",
        },
    ),
}
# format: options with a secret where the name of the option shows it, and where it does not
SECRETS = {
    "ini": lambda secret: {"a": {"password": secret, "other": f"x {secret} y", "same": 1}},
    "systemd": lambda secret: {"Service": {"Environment": f"'PASSWORD={secret}'", "Other": f"x {secret} y", "same": 1}},
    "properties": lambda secret: {"default_pass": secret, "other": f"x {secret} y", "same": 1},
    "shell": lambda secret: {"OS_PASSWORD": secret, "OTHER": f"x {secret} y", "same": 1},
    "flags": lambda secret: {"--password": secret, "--other": f"x {secret} y", "same": 1},
    "yaml": lambda secret: {"a": {"password": secret, "l": [f"x {secret} y"]}, "other": f"x {secret} y", "same": 1},
}


def stack(*options):
    """Return layers named a, b, ... with these options."""
    return [{"name": name, "source": f"{name}.yml", "options": each} for name, each in zip("abc", options)]


@pytest.fixture
def write(run_module, tmp_path):
    """Return a function that writes tmp_path/file from layers of options and returns the result of the module."""

    def run(file_format, *options, secrets=(), check=False, **entry):
        entry = {**ME, "path": str(tmp_path / "file"), "format": file_format, "layers": stack(*options), **entry}
        return run_module("config_files", {"files": [entry], "secrets": list(secrets)}, check=check)

    return run


def test_every_format_has_a_case():
    assert set(CASES) == set(SECRETS) == set(formats.FORMATS) == set(formats.NAMES)


@pytest.mark.parametrize("file_format", CASES)
def test_the_reader_sees_the_options_of_the_layers_and_a_second_run_changes_nothing(write, tmp_path, file_format):
    reader, ours, theirs, seen = CASES[file_format]
    predicted = write(file_format, ours, theirs, check=True)
    done = write(file_format, ours, theirs)
    assert predicted["diff"] == done["diff"] and done["changed"], done
    assert (tmp_path / "file").read_text().startswith(HEADER)
    assert reader(tmp_path / "file") == seen
    assert not write(file_format, ours, theirs)["changed"]


@pytest.mark.parametrize("file_format", CASES)
def test_no_secret_is_shown_but_its_change_is(write, file_format):
    options = SECRETS[file_format]
    first = write(file_format, options(SECRET), secrets=[SECRET])
    second = write(file_format, options("another4711x"), secrets=["another4711x", SECRET])
    for result in (first, second):
        text = json.dumps(result)
        assert "Zw3r" not in text and "another4711x" not in text and "***" in text, text
    assert "(changed)" in second["diff"][0]["after"]
    assert file_format == "yaml" or "same" not in second["diff"][0]["after"], "only what differs is shown"


@pytest.mark.parametrize(
    ("file_format", "make"),
    [
        ("ini", lambda secret: {"a": {"password": secret}}),
        ("systemd", lambda secret: {"Service": {"Environment": f'"A=1" "OS_PASSWORD={secret} x"'}}),
        ("properties", lambda secret: {"default_pass": secret}),
        ("shell", lambda secret: {"export OS_PASSWORD": secret}),
        ("flags", lambda secret: {"--password": secret}),
        ("yaml", lambda secret: {"clouds": {"a": {"auth": {"password": secret}}}}),
    ],
)
def test_a_secret_that_is_not_listed_is_recognized_by_the_name_of_its_option(write, file_format, make):
    for secret in ("unnamed4711x", "another4711x"):
        result = write(file_format, make(secret))
        assert "unnamed4711x" not in json.dumps(result) and secret not in json.dumps(result)
        assert "***" in result["diff"][0]["after"]


@pytest.mark.parametrize("file_format", CASES)
def test_a_packaged_file_with_comments_makes_a_short_diff(write, tmp_path, file_format):
    _reader, ours, _theirs, _seen = CASES[file_format]
    write(file_format, ours)
    (tmp_path / "file").write_text("# a packaged comment\n\n" + (tmp_path / "file").read_text())
    result = write(file_format, ours)
    assert result["diff"][0]["before"] == "# the same options in another layout\n"
    assert result["diff"][0]["after"] == "# the layout of nova-ansible\n"


def test_systemd_sections_are_in_the_order_of_systemd_and_options_in_that_of_the_layers(write, tmp_path):
    write(
        "systemd",
        {"Install": {"WantedBy": "x.target"}, "Service": {"Type": "simple", "ExecStart": ["", "/bin/b"]}},
        {"Unit": {"After": "a"}, "Service": {"Environment": "A=1"}},
    )
    assert (tmp_path / "file").read_text() == HEADER + (
        "\n[Unit]\nAfter=a\n\n[Service]\nType=simple\nExecStart=\nExecStart=/bin/b\nEnvironment=A=1\n"
        "\n[Install]\nWantedBy=x.target\n"
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_itself_accepts_a_unit(write, tmp_path):
    options = {"Service": {"ExecStart": ["", "/bin/true"], "TimeoutStopSec": 65}, "Unit": {"Description": "x"}}
    write("systemd", options, {"Service": {"Restart": "on-failure"}})
    (tmp_path / "file").rename(tmp_path / "x.service")
    done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / "x.service")], capture_output=True, text=True)
    assert str(tmp_path) not in done.stderr and "x.service" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("file_format", "options", "words"),
    [
        ("ini", {"a]": {"b": 1}}, ["[a]]", "section name"]),
        ("ini", {"a": {"b = c": 1}}, ["[a] b = c", "name"]),
        ("ini", {"a": {"b\nc": 1}}, ["b\\nc", "name"]),
        ("ini", {"a": {"b": {"from_host": "cpus"}}}, ["[a] b", "decided on the host: cpus", "resolved"]),
        ("yaml", {"a": {"b": [{"from_host": "cpus"}]}}, ["a is decided on the host: cpus", "resolved"]),
        ("systemd", {"Service": {"ExecStart": "/bin/x \\"}}, ["[Service] ExecStart", "backslash"]),
        ("systemd", {"Service": {"Exec Start": "x"}}, ["[Service] Exec Start", "name"]),
        ("properties", {"a b": 1}, ["a b", "name"]),
        ("shell", {"A-B": 1}, ["A-B", "name"]),
        ("shell", {"A": [1, 2]}, ["A holds a list"]),
        ("shell", {"A": "x\ny"}, ["A holds a line break"]),
        ("flags", {"# a": 1}, ["# a", "name"]),
        ("flags", {"-m": {"a": 1}}, ["-m holds a dict"]),
        ("yaml", {"a": float("nan")}, ["nan", "YAML"]),
    ],
)
def test_an_option_that_the_format_cannot_hold_is_refused_and_nothing_is_written(
    write, tmp_path, file_format, options, words
):
    result = write(file_format, options)
    assert result["failed"] and str(tmp_path / "file") in result["msg"]
    assert all(word in result["msg"] for word in words), result["msg"]
    assert os.listdir(tmp_path) == []


def test_an_optional_file_is_made_for_the_first_option_and_then_stays(write, tmp_path):
    """A service that has read a policy answers 500 when the file vanishes, and keeps a rule that is only removed."""
    path = tmp_path / "file"
    assert not write("yaml", {}, optional=True)["changed"] and not path.exists()
    assert write("yaml", {}, {"rule": "x"}, optional=True)["changed"] and path.exists()
    removed = write("yaml", {}, {"rule": None}, optional=True)
    assert removed["changed_paths"] == [str(path)] and read_yaml(path) == {}
    assert 'rule: "x"' in removed["diff"][0]["before"] and removed["diff"][0]["after"] == "{}\n"
    assert not write("yaml", {}, optional=True)["changed"] and path.exists()


def test_an_optional_file_of_an_operator_is_left_until_there_are_options(write, tmp_path):
    path = tmp_path / "file"
    path.write_text("by: hand\n")
    path.chmod(0o600)
    assert not write("yaml", {}, optional=True)["changed"] and path.read_text() == "by: hand\n"
    assert write("yaml", {"rule": "x"}, optional=True)["changed"] and "by:" not in path.read_text()
    path.unlink()
    path.symlink_to("/nowhere")
    assert not write("yaml", {}, optional=True)["changed"] and path.is_symlink()


def test_without_options_a_file_that_is_not_optional_is_an_empty_one(write, tmp_path):
    write("yaml", {})
    assert read_yaml(tmp_path / "file") == {}
    write("ini", {})
    assert (tmp_path / "file").read_text() == HEADER


def test_overrides_reach_every_format():
    for file_format, (_reader, ours, theirs, _seen) in CASES.items():
        files = [{"path": "/x", "format": file_format, "layers": stack(ours)}]
        override = {"name": "host", "source": "hosts.yml", "files": {"/x": theirs}}
        (entry,), unknown = layers.add_overrides(files, [override])
        assert unknown == []
        assert layers.merge(entry["layers"], file_format) == layers.merge(stack(ours, theirs), file_format)


def test_a_header_is_a_comment_in_every_format():
    assert re.fullmatch(r"# .*\n", HEADER)
