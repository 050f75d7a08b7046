# SPDX-License-Identifier: Apache-2.0
"""Check the options of one INI file against a catalog of options. Pure functions, no I/O.

A catalog has what packages declare. Some options are registered only while a service runs: those of keystoneauth
plugins, of privsep contexts, of mediated device types and of named storage backends. They are added here.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ansible.module_utils.config.option_catalog import Catalog, Entry, Option, flatten, group_key
from ansible.module_utils.config.types import Options
from ansible.module_utils.message import Message

MDEV_OPTIONS = ("device_addresses", "mdev_class", "max_instances")
# Sections named by code that registers them when it first runs: (pattern, section of the catalog with the options).
ALIASES = (("privsep_*", "privsep"), ("*_privileged", "privsep"), ("*_sys_admin", "privsep"))
RESERVED_STORES = ("os_glance_staging_store", "os_glance_tasks_store")


class OptionSource(Protocol):
    """Where options are looked up: the installed packages, or the list of a release."""

    @property
    def label(self) -> str:
        """Return the name of the release, for messages."""

    @property
    def catalog(self) -> Catalog:
        """Return the declared options."""

    def plugins(self) -> list[str]:
        """Return the names of all keystoneauth plugins."""

    def plugin_options(self, auth_type: str) -> Sequence[Option] | None:
        """Return the options of a keystoneauth plugin, None for an unknown plugin."""

    def declaring(self, section: str, option: str) -> list[str]:
        """Return the namespaces that declare an option, also those outside the catalog."""


class OptionError(NamedTuple):
    """An error of an option, or of its whole section where `option` is None."""

    section: str
    option: str | None
    message: Message


class Findings(NamedTuple):
    """The result of the check of one file."""

    errors: list[OptionError]
    deprecated: list[Message]


def check_options(options: Options, source: OptionSource) -> Findings:
    """Return the errors and the deprecated options of one file; each message names section and option."""
    return _Check(options, source).run()


class _Check:
    """The check of one file."""

    def __init__(self, options: Options, source: OptionSource) -> None:
        self.options = options
        self.source = source
        self.known: Catalog = dict(source.catalog)
        self.findings = Findings([], [])

    def error(self, section: str, option: str | None, message: Message) -> None:
        self.findings.errors.append(OptionError(section, option, message))

    def run(self) -> Findings:
        """Look up every option."""
        for key, entries in self.run_time_sections():
            self.known[key] = {**self.known.get(key, {}), **entries}
        for section, options in self.options.items():
            entries_of_section = self.known.get(group_key(section))
            if entries_of_section is None:
                advice = self.declared(section, next(iter(options))) or _near(section, self.known)
                self.error(section, None, Message(f"section [{section}] is unknown to {self.source.label}; {advice}"))
                continue
            for option, values in options.items():
                entry = entries_of_section.get(option)
                if entry is None:
                    advice = self.advice(section, option)
                    message = Message(f"[{section}] {option} is unknown to {self.source.label}; {advice}")
                    self.error(section, option, message)
                else:
                    self.look_at(section, option, values, entry)
        return self.findings

    def look_at(self, section: str, option: str, values: list[str], entry: Entry) -> None:
        """Check the values of a known option, and whether it is deprecated."""
        definition = entry.option
        if definition:
            for message in _bad_values(section, option, values, definition):
                self.error(section, option, message)
        if entry.moved:
            self.findings.deprecated.append(Message(f"[{section}] {option} is an old name of {entry.moved}"))
        elif definition and definition.deprecated_for_removal:
            reason = " ".join((definition.deprecated_reason or "no reason is given").split())
            self.findings.deprecated.append(Message(f"[{section}] {option} will be removed: {reason}"))

    # --- options that are registered while a service runs -----------------------------------------------------------

    def run_time_sections(self) -> Iterator[tuple[str, dict[str, Entry]]]:
        """Yield (section, entries) of options that services register while they run."""
        for section in self.options:
            yield from self.plugin_section(section)
            key = group_key(section)
            for pattern, origin in ALIASES:
                if key not in self.source.catalog and origin in self.source.catalog and fnmatch.fnmatch(key, pattern):
                    yield key, self.source.catalog[origin]
        names = {group_key(section) for section in self.options}
        for kind in self.items("devices", "enabled_mdev_types"):
            for prefix in ("mdev_", "vgpu_"):
                if group_key(prefix + kind) in names:
                    yield group_key(prefix + kind), {name: Entry() for name in MDEV_OPTIONS}
        stores = [item.split(":")[0].strip() for item in self.items("DEFAULT", "enabled_backends")]
        if stores:
            # cinder declares the options of a backend as [backend_defaults], glance those of a store as [glance_store]
            catalog = self.source.catalog
            entries = {**catalog.get("glance_store", {}), **catalog.get("backend_defaults", {})}
            for store in [*stores, *RESERVED_STORES]:
                yield group_key(store), entries

    def plugin_section(self, section: str) -> Iterator[tuple[str, dict[str, Entry]]]:
        """Yield the section that holds the options of the keystoneauth plugin which a section chooses."""
        names = {group_key(name): name for name in self.options}
        own = self.source.catalog.get(group_key(section), {})
        target = group_key(self.options[section].get("auth_section", [section])[-1])
        chosen = self.options.get(names.get(target, ""), {}).get("auth_type")
        if not chosen or "auth_type" not in own:
            return
        options = self.source.plugin_options(chosen[-1])
        if options is None:
            message = Message(
                f"[{names[target]}] auth_type = {chosen[-1]} is not a known keystoneauth plugin; "
                f"choose one of {', '.join(self.source.plugins())}"
            )
            self.error(target, "auth_type", message)
        yield target, {"auth_type": own["auth_type"], **flatten([(target, options or [])])[target]}

    def items(self, section: str, option: str) -> list[str]:
        """Return the items of a comma-separated option."""
        values = self.options.get(section, {}).get(option, [])
        return [item.strip() for value in values for item in value.split(",") if item.strip()]

    # --- advice -----------------------------------------------------------------------------------------------------

    def advice(self, section: str, option: str) -> str:
        """Return the likely intention behind an unknown option of a known section."""
        entries = self.known[group_key(section)]
        without_plugin = "auth_type" in entries and not {"auth_type", "auth_section"} & set(self.options[section])
        if without_plugin and option in {each.dest for each in self.source.plugin_options("password") or []}:
            return "the options of an authentication plugin exist only with `auth_type`, which is not set here"
        current = [name for name, entry in entries.items() if not entry.moved]
        if difflib.get_close_matches(option, current, n=1, cutoff=0.85):
            return _near(option, current)
        elsewhere = sorted(name for name, others in self.known.items() if option in others and not others[option].moved)
        declared = self.declared(section, option)
        if elsewhere:
            exists = f"it exists in [{'], ['.join(elsewhere[:3])}]"
            return f"{exists}, and {declared}" if declared else exists
        return declared or _near(option, current)

    def declared(self, section: str, option: str) -> str:
        """Return which namespaces have an option that those of the file do not have."""
        names = self.source.declaring(section, option)
        return f"namespace {' and '.join(names[:3])}, which `validate` does not name, declares it" if names else ""


def _bad_values(section: str, option: str, values: list[str], definition: Option) -> Iterator[Message]:
    """Yield an error for each value that the type of an option rejects; one with $ is only known at run time."""
    if definition.type is None:
        return
    for value in values:
        if "$" in value:
            continue
        try:
            definition.type(value.strip())
        except ValueError as reason:
            if definition.secret:
                yield Message(f"[{section}] {option} has a value that the installed release refuses")
            else:
                yield Message(f"[{section}] {option} = {value} is refused by the installed release: {reason}")


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"the nearest name is {near[0]}" if near else "remove it"
