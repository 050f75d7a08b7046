# SPDX-License-Identifier: Apache-2.0
"""Check the files of a host against the list of options of its release, where nothing is installed yet.

A list is what `option_list` read on a machine with the packages of the release. The verdict is that of
option_catalogue; only values are not judged, as a list has names.
"""

from __future__ import annotations

from types import SimpleNamespace

from ansible.module_utils.config import layers
from ansible.module_utils.config.option_check import check_ini, group_key, resolve


def check_host(files: list, listed: dict, release: str, installed: dict, variables: list, besides: list) -> list:
    """Return a text for each option of a host's files that the release does not have.

    files are as config_files takes them; installed maps packages of this host to their version; variables are the
    operator's, those that win first, each {name, options, file}; besides are options, as "[section] name", that newer
    packages than the list's have.
    """
    errors = []
    for file in files:
        namespaces, missing = resolve(file.get("validate") or [], listed["namespaces"])
        if not namespaces or missing or judged_later(namespaces, listed, installed):
            continue
        path = file["path"]
        try:
            ini = layers.merge(file["layers"], path=path)
        except ValueError as error:
            errors.append(str(error))
            continue
        known = catalogue(listed, namespaces)
        found, _deprecated = check_ini(ini, known, plugin_options(listed), declaring(listed), release)
        rows = [row for row in variables if row["file"] == path]
        errors += [
            f"{source(error, rows) or path}: {error['text']}"
            for error in found
            if f"[{error['section']}] {error['option']}" not in besides
        ]
    return errors


def judged_later(namespaces: list, listed: dict, installed: dict) -> bool:
    """Tell whether a host has the packages in another version than the list: the installed catalogue judges."""
    packages = {listed["namespaces"][name]["package"] for name in namespaces}
    return packages <= set(installed) and any(installed[name] != listed["packages"][name] for name in packages)


def catalogue(listed: dict, namespaces: list) -> dict:
    """Return the options of namespaces as option_catalogue.flatten gives them, with no definitions."""
    known = {}
    for name in namespaces:
        for section, options in listed["namespaces"][name]["sections"].items():
            for option, place in options.items():
                for spelling in (option, option.replace("-", "_")):
                    entries = known.setdefault(section, {})
                    if not place or spelling not in entries:
                        entries[spelling] = {"option": None, "moved": place or None}
    return known


def plugin_options(listed: dict):
    """Return what gives the options of a keystoneauth plugin, like option_catalogue.plugin_options."""

    def get(auth_type: str) -> dict:
        names = listed["auth_plugins"].get(auth_type)
        if names is None:
            return {"known": sorted(listed["auth_plugins"])}
        return {"options": [SimpleNamespace(name=name, dest=name.replace("-", "_")) for name in names]}

    return get


def declaring(listed: dict):
    """Return what gives the namespaces that have an option, for a message."""

    def get(section: str, option: str) -> list:
        rows = listed["namespaces"].items()
        return sorted(name for name, row in rows if option in row["sections"].get(group_key(section), {}))

    return get


def source(error: dict, variables: list) -> str:
    """Return the name of the operator's variable that an option comes from."""
    for row in variables:
        for section, options in row["options"].items():
            same = group_key(section) == group_key(error["section"])
            if same and (error["option"] is None or error["option"] in (options or {})):
                return row["name"]
    return ""
