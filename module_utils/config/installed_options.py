# SPDX-License-Identifier: Apache-2.0
"""The options that the installed OpenStack packages declare under the entry points `oslo.config.opts`.

Loading them imports a good part of OpenStack, so it happens in child processes, one for each project (Nova, Neutron,
...); nothing is imported into the calling process.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.config.children import Failed, run_each
from ansible.module_utils.config.option_catalog import Catalog, Option, flatten, group_key, places, resolve
from ansible.module_utils.config.option_check import check_options
from ansible.module_utils.config.types import CheckReport, FileToCheck
from ansible.module_utils.message import Message, OperatorError, located

if TYPE_CHECKING:  # Python 3.8 has no TypeAlias
    from typing import TypeAlias

ENTRY_POINT_GROUP = "oslo.config.opts"
# Projects import these, so that their namespaces need no child process of their own.
LIBRARIES = ("castellan", "glance_store", "keystonemiddleware", "os_brick", "os_vif", "os_win", "osprofiler")

EntryPoints: TypeAlias = "Mapping[str, importlib.metadata.EntryPoint]"


class OptionList(NamedTuple):
    """The content of a list of options: of each namespace and of each keystoneauth plugin."""

    namespaces: dict[str, dict[str, dict[str, str]]]  # name -> section -> option -> current place of an old name
    auth_plugins: dict[str, list[str]]


class Namespaces:
    """The installed namespaces, each loaded once and only when needed."""

    def __init__(self, installed: EntryPoints) -> None:
        self.installed = installed
        self.loaded: dict[str, list[tuple[Any, list[Option]]]] = {}

    def load(self, name: str) -> list[tuple[Any, list[Option]]]:
        """Return the groups and options of a namespace; raise OperatorError when its package does not load."""
        if name not in self.loaded:
            try:
                self.loaded[name] = [(group, list(options)) for group, options in self.installed[name].load()()]
            except Exception as error:  # whatever the code of the package raises
                message = Message(f"namespace {name} does not load: {type(error).__name__}: {error}")
                raise OperatorError(message) from error
        return self.loaded[name]

    def catalog(self, names: Iterable[str]) -> Catalog:
        """Return the catalog of several namespaces."""
        return flatten([pair for name in names for pair in self.load(name)])

    def declaring(self, section: str, option: str) -> list[str]:
        """Return the names of all namespaces that have an option; one that does not load is passed over."""
        names = []
        for name in sorted(self.installed):
            try:
                catalog = self.catalog([name])
            except OperatorError:
                continue
            if option in catalog.get(group_key(section), {}):
                names.append(name)
        return names


class InstalledOptions:
    """The options of installed namespaces, as a source for check_options."""

    label = "the installed release"

    def __init__(self, namespaces: Namespaces, names: Iterable[str]) -> None:
        self.catalog = namespaces.catalog(names)
        self.declaring = namespaces.declaring

    def plugins(self) -> list[str]:
        """Return the names of all keystoneauth plugins."""
        return plugins()

    def plugin_options(self, auth_type: str) -> list[Option] | None:
        """Return the options of a keystoneauth plugin, None for an unknown plugin."""
        return plugin_options(auth_type)


def entry_points() -> EntryPoints:
    """Return the entry points of the installed namespaces by name."""
    if sys.version_info >= (3, 10):
        found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    else:
        found = importlib.metadata.entry_points().get(ENTRY_POINT_GROUP, [])
    return {point.name: point for point in found}


def plugins() -> list[str]:
    """Return the names of all keystoneauth plugins."""
    from keystoneauth1 import loading  # only installed where OpenStack is

    return sorted(loading.get_available_plugin_names())


def plugin_options(auth_type: str) -> list[Option] | None:
    """Return the options of a keystoneauth plugin, None for an unknown plugin."""
    from keystoneauth1 import exceptions, loading  # only installed where OpenStack is

    try:
        return loading.get_auth_plugin_conf_options(auth_type)
    except exceptions.NoMatchingPlugin:
        return None


def family(namespaces: Iterable[str], installed: EntryPoints) -> tuple[str, ...]:
    """Return the projects whose code declares the namespaces, without the libraries that they share."""
    packages = {installed[name].value.split(":")[0].split(".")[0] for name in namespaces}
    return tuple(sorted(name for name in packages if not name.startswith("oslo") and name not in LIBRARIES))


def check_files(files: list[FileToCheck]) -> CheckReport:
    """Look up the options of files; a namespace may be a pattern such as `neutron.*`."""
    report = CheckReport([], [], {})
    installed = entry_points()
    families: dict[tuple[str, ...], list[FileToCheck]] = {}
    for file in files:
        names, missing = resolve(file.namespaces, installed)
        if missing:
            report.missing[file.path] = missing
        else:
            families.setdefault(family(names, installed), []).append(file._replace(namespaces=names))
    parts = list(families.values())
    for members, result in zip(parts, run_each(lambda members: _check_family(members, installed), parts)):
        if isinstance(result, Failed):
            paths = ", ".join(file.path for file in members)
            report.errors.append(Message(f"the options of {paths} cannot be checked: {result.reason}"))
        else:
            report.errors.extend(result.errors)
            report.deprecated.extend(result.deprecated)
    return report


def _check_family(files: list[FileToCheck], installed: EntryPoints) -> CheckReport:
    """Look up the options of the files of one project."""
    report = CheckReport([], [], {})
    namespaces = Namespaces(installed)
    sources: dict[tuple[str, ...], InstalledOptions] = {}
    for file in files:
        names = tuple(file.namespaces)
        if names not in sources:
            sources[names] = InstalledOptions(namespaces, names)
        errors, deprecated = check_options(file.options, sources[names])
        report.errors.extend(located(file.path, error.message) for error in errors)
        report.deprecated.extend(located(file.path, message) for message in deprecated)
    return report


def list_options(files: Iterable[Iterable[str]]) -> OptionList:
    """Return the options of the namespaces of each file; raise OperatorError unless the list is complete."""
    installed = entry_points()
    errors: list[Message] = []
    families: dict[tuple[str, ...], set[str]] = {}
    for namespaces in files:
        names, missing = resolve(namespaces, installed)
        errors += [
            Message(f"no installed package declares the namespace {name}; install the package") for name in missing
        ]
        families.setdefault(family(names, installed), set()).update(names)

    def work(names: set[str]) -> OptionList:
        loaded = Namespaces(installed)
        if not names:
            return OptionList({}, {name: _names_of(name) for name in plugins()})
        return OptionList({name: places(loaded.catalog([name])) for name in names}, {})

    found = OptionList({}, {})
    parts = [*families.values(), set()]  # the empty set is for the plugins
    for names_of_part, result in zip(parts, run_each(work, parts)):
        if isinstance(result, Failed):
            what = ", ".join(sorted(names_of_part)) or "the plugins of keystoneauth"
            errors.append(Message(f"the options of {what} cannot be listed: {result.reason}"))
        else:
            found.namespaces.update(result.namespaces)
            found.auth_plugins.update(result.auth_plugins)
    if errors:
        raise OperatorError(Message("; ".join(sorted(set(errors)))))
    return found


def _names_of(auth_type: str) -> list[str]:
    """Return the names of the options of a keystoneauth plugin, old names included."""
    return sorted(places(flatten([("own", plugin_options(auth_type) or [])])).get("own", {}))
