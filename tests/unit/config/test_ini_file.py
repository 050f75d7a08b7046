# SPDX-License-Identifier: Apache-2.0
"""INI files: their text does not depend on the order of the options, and a diff shows only differences."""

from __future__ import annotations

import configparser

from ansible.module_utils.config import ini_file, layers

INI = {
    "vnc": {"enabled": True, "server_listen": "10.0.0.1"},
    "AGENT": {"x": 1},
    "empty": {},
    "nothing": None,
    "dropped": {"option": None},
    "DEFAULT": {"workers": 2, "debug": False, "alias": ["a", None, "b"], "ratio": 1.5, "blank": ""},
}


def one_layer(options):
    return layers.merge([{"name": "test", "source": "here", "options": options}])


def test_rendering_sorts_drops_nulls_repeats_lists_and_spells_booleans():
    text = ini_file.render(one_layer(INI))
    assert text == ini_file.HEADER + (
        "\n[DEFAULT]\nalias = a\nalias = b\nblank =\ndebug = false\nratio = 1.5\nworkers = 2\n\n[AGENT]\nx = 1\n"
        "\n[vnc]\nenabled = true\nserver_listen = 10.0.0.1\n"
    )


def test_a_rendered_text_parses_to_the_same_options():
    normal = one_layer(INI)
    assert ini_file.parse(ini_file.render(normal)) == normal


def test_another_reader_of_ini_files_sees_the_same_options():
    reader = configparser.RawConfigParser(strict=False, default_section="none")
    reader.read_string(ini_file.render(one_layer(INI)))
    assert dict(reader["vnc"]) == {"enabled": "true", "server_listen": "10.0.0.1"}
    assert reader["DEFAULT"]["workers"] == "2"


def test_parse_reads_files_of_people_and_packages():
    text = "lone\n# c\n[DEFAULT]\n; c\na=1\nb : x = y\nlong = one\n  two\n\na = 2\n[s]\nskip-name-resolve\n"
    assert ini_file.parse(text) == {
        "": {"lone": [""]},
        "DEFAULT": {"a": ["1", "2"], "b": ["x = y"], "long": ["one two"]},
        "s": {"skip-name-resolve": [""]},
    }


def test_only_options_that_differ_are_shown_by_section_and_masked():
    before = {"DEFAULT": {"a": ["1"], "same": ["x"]}, "s": {"password": ["old"], "l": ["1", "2"]}, "gone": {"x": ["y"]}}
    after = {"DEFAULT": {"a": ["2"], "same": ["x"]}, "s": {"password": ["new"], "l": ["1", "3"]}, "come": {"x": ["z"]}}
    old, new = ini_file.show_changes(before, after)
    assert old == "[DEFAULT]\na = 1\n[gone]\nx = y\n[s]\nl = 1\nl = 2\npassword = ***\n"
    assert new == "[DEFAULT]\na = 2\n[come]\nx = z\n[s]\nl = 1\nl = 3\npassword = *** (changed)\n"


def test_a_difference_in_layout_alone_is_not_shown():
    assert ini_file.show_changes(ini_file.parse("[a]\nb=1\n"), ini_file.parse("# x\n[a]\nb = 1\n")) == ("", "")
