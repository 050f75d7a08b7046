# SPDX-License-Identifier: Apache-2.0
"""Layers of options: a later one wins, whatever the earlier ones hold, and the deciding one can be named."""

from __future__ import annotations

import copy
import itertools

import pytest
from ansible.module_utils.config import layers

ON_HOST = {"from_host": "cpus", "divide_by": 2}


def stack(*options):
    """Return layers named a, b, c, ... with these options."""
    return [{"name": name, "source": f"{name}.yml", "options": each} for name, each in zip("abcdef", options)]


def conductor(workers):
    return {"conductor": {"workers": workers}}


@pytest.mark.parametrize("order", sorted(set(itertools.permutations([4, 4, 8, 8]))))
def test_the_last_layer_wins_also_when_it_equals_an_earlier_one(order):
    assert layers.merge(stack(*map(conductor, order))) == {"conductor": {"workers": [str(order[-1])]}}


def test_values_have_one_shape_and_host_values_stay_as_they_are():
    given = stack(
        {"DEFAULT": {"debug": True, "gone": 1, "ratio": 1.5, "alias": ["a", None, "b"]}, "s": {"x": 1}, "none": None},
        {"DEFAULT": {"gone": None, "workers": ON_HOST, "debug": False}, "s": {"x": None}},
        None,
    )
    before = copy.deepcopy(given)
    assert layers.merge(given) == {
        "DEFAULT": {"debug": ["false"], "ratio": ["1.5"], "alias": ["a", "b"], "workers": [ON_HOST]}
    }
    assert given == before


def test_a_later_layer_can_set_an_option_that_an_earlier_one_removes():
    assert layers.merge(stack(conductor(1), conductor(None), conductor(2))) == {"conductor": {"workers": ["2"]}}
    assert layers.merge(stack(conductor(1), conductor([]))) == {}


def test_flat_formats_have_no_sections():
    given = stack({"-m": 64, "-d": True, "listen": ["a", "b"]}, {"-m": None, "-U": 0})
    assert layers.merge(given, "flags") == {"": {"-d": ["true"], "listen": ["a", "b"], "-U": ["0"]}}


def test_yaml_keeps_values_as_they_are():
    given = stack({"a": {"b": [1, None]}, "c": [], "d": 1}, {"a": {"e": False}, "d": None})
    assert layers.merge(given, "yaml") == {"": {"a": [{"e": False}], "c": [[]]}}


@pytest.mark.parametrize(
    ("options", "file_format", "words"),
    [
        ({"DEFAULT": {"a": {"b": 1}}}, "ini", ["[DEFAULT] a", "dict", "key:value"]),
        ({"DEFAULT": {"a": [[1]]}}, "ini", ["[DEFAULT] a", "list"]),
        ({"DEFAULT": {"a": "x\ny = injected"}}, "ini", ["[DEFAULT] a", "line break"]),
        ({"DEFAULT": "text"}, "ini", ["[DEFAULT]", "a dict", "a str"]),
        ({"DEFAULT": ON_HOST}, "ini", ["[DEFAULT]", "a dict", "from_host"]),
        (["DEFAULT"], "ini", ["sections", "a list"]),
        ({"DEFAULT": {True: 1}}, "ini", ["True", "quotes"]),
        ({"a": {"b": 1}}, "shell", ["a holds a dict"]),
        ("text", "yaml", ["options must be a dict", "a str"]),
    ],
)
def test_a_wrong_shape_is_named_with_file_layer_section_and_option(options, file_format, words):
    for given in (stack(options), stack({}, options)):
        with pytest.raises(ValueError) as error:
            layers.merge(given, file_format, "/etc/x.conf")
        for word in ["/etc/x.conf", f'layer "{given[-1]["name"]}"', *words]:
            assert word in str(error.value)


@pytest.mark.parametrize(
    ("given", "file_format", "words"),
    [
        ([{"options": {}}], "ini", ["/x", "name, source, options"]),
        ([{"name": "a", "opts": {}}], "ini", ["/x", "name, source, options", "opts"]),
        (["a"], "ini", ["/x", "a str"]),
        ({"name": "a"}, "ini", ["/x", "list of layers"]),
        ([], "json", ["/x", "json", "properties"]),
    ],
)
def test_anything_but_a_layer_is_refused(given, file_format, words):
    with pytest.raises(ValueError) as error:
        layers.merge(given, file_format, "/x")
    assert all(word in str(error.value) for word in words), error.value


def test_the_message_about_a_wrong_shape_shows_no_secret():
    for options in ({"password": "Zw3rgenaufstand"}, "Zw3rgenaufstand", {"a": {"b": {"c": "Zw3rgenaufstand"}}}):
        for given in (stack(options), [{"name": "a", "opts": options}], [options], options):
            with pytest.raises(ValueError) as error:
                layers.merge(given)
            assert "Zw3rgenaufstand" not in str(error.value)


def test_the_deciding_layer_comes_first_then_the_layers_that_it_overrides():
    given = stack(conductor(1), {"x": {"y": 1}}, conductor(None), conductor(["2", "3"]))
    found = layers.history(given, "conductor", "workers")
    assert found == [("d", "d.yml", ["2", "3"]), ("c", "c.yml", []), ("a", "a.yml", ["1"])]
    assert [setting.removed for setting in found] == [False, True, False]
    assert layers.history(given, "conductor", "worker") == []
    assert layers.history(given, "x", "y") == [("b", "b.yml", ["1"])]


def test_a_removal_and_a_host_value_are_explained_in_every_format():
    removed, _set = layers.history(stack(conductor(1), conductor(None)), "conductor", "workers")
    assert (removed.name, removed.removed, removed.values) == ("b", True, [])
    assert layers.history(stack(conductor(ON_HOST)), "conductor", "workers")[0].values == [ON_HOST]
    assert layers.history(stack({"-m": 64}), "", "-m", "flags")[0].values == ["64"]
    assert layers.names(stack(conductor(1), {"a": {"b": None}}, conductor(2))) == [("conductor", "workers"), ("a", "b")]


FILES = [
    {"path": "/ini", "layers": stack({"DEFAULT": {"a": 1}})},
    {"path": "/flags", "layers": stack({"-m": 64}), "format": "flags"},
    {"path": "/text", "text": "x"},
]


def test_overrides_are_appended_in_their_order_and_unknown_paths_are_returned():
    overrides = [
        {"name": "all", "source": "cloud.yml:3", "files": {"/ini": {"DEFAULT": {"a": 2}}, "/no": {"x": 1}}},
        {"name": "host", "source": "hosts.yml:9", "files": {"/flags": {"-m": 128}, "/ini": None, "/no": {}}},
        {"name": "extra", "source": None, "files": None},
    ]
    before = copy.deepcopy(FILES)
    entries, unknown = layers.add_overrides(FILES, overrides)
    assert unknown == ["/no"] and FILES == before
    assert [entry["path"] for entry in entries] == ["/ini", "/flags", "/text"] and entries[2] == FILES[2]
    assert layers.history(entries[0]["layers"], "DEFAULT", "a")[0] == ("all", "cloud.yml:3", ["2"])
    assert layers.merge(entries[1]["layers"], "flags") == {"": {"-m": ["128"]}}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"/text": {"a": 1}}, ["/text", '"host"', "given as text"]),
        ({"/ini": {"DEFAULT": 1}}, ["/ini", '"host"', "[DEFAULT]"]),
        ({"/flags": {"-m": {"a": 1}}}, ["/flags", '"host"', "-m"]),
        (["/ini"], ['"host"', "map paths"]),
    ],
)
def test_overrides_of_a_wrong_shape_are_refused(files, words):
    with pytest.raises(ValueError) as error:
        layers.add_overrides(FILES, [{"name": "host", "source": "x", "files": files}])
    assert all(word in str(error.value) for word in words), error.value


def test_a_value_of_the_wrong_type_is_named_as_in_yaml_and_not_by_the_class_that_ansible_uses():
    class Tagged(list):
        pass

    with pytest.raises(ValueError, match=r"\[libvirt\] must be a dict of names and values, not a list"):
        layers.merge([{"name": "cloud", "source": "x", "options": {"libvirt": Tagged(["x"])}}], "ini", "/etc/nova.conf")
