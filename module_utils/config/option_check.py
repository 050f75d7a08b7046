# SPDX-License-Identifier: Apache-2.0
"""Check INI files against the option catalogue of the installed OpenStack release.

The catalogue is what the installed packages declare under the entry points `oslo.config.opts`, plus what is only
registered at run time: options of keystoneauth plugins, of privsep contexts, of mediated device types and of named
storage backends. Loading it imports a good part of OpenStack, so it happens in child processes, one for each project
(Nova, Neutron, ...), all side by side; nothing is imported into the calling process.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib.metadata
import multiprocessing
import os
import sys
import tempfile
import time
import traceback

PATIENCE = 300  # seconds; loading takes one or two on an idle machine
ENTRY_POINT_GROUP = "oslo.config.opts"
MDEV_OPTIONS = ("device_addresses", "mdev_class", "max_instances")
# Sections named by code that registers them when it first runs: (pattern, section of the catalogue with the options).
ALIASES = (("privsep_*", "privsep"), ("*_privileged", "privsep"), ("*_sys_admin", "privsep"))
LIBRARIES = ("castellan", "glance_store", "keystonemiddleware", "os_brick", "os_vif", "os_win", "osprofiler")
RESERVED_STORES = ("os_glance_staging_store", "os_glance_tasks_store")


def check_files(files: list) -> dict:
    """Check files, each {path, ini (normalised), namespaces}, and return {errors, deprecated, missing}.

    errors and deprecated are texts to show; missing maps a path to its namespaces that are not installed. A namespace
    may be a pattern such as `neutron.*`.
    """
    report = {"errors": [], "deprecated": [], "missing": {}}
    if not files:
        return report
    installed = entry_points()
    families = {}
    for file in files:
        wanted, missing = resolve(file["namespaces"], installed)
        if missing:
            report["missing"][file["path"]] = missing
        else:
            families.setdefault(family(wanted, installed), []).append({**file, "namespaces": wanted})
    parts = list(families.values())
    answers = side_by_side(lambda members: _check_family(members, Namespaces(installed)), parts)
    for members, (answer, problem) in zip(parts, answers):
        paths = ", ".join(file["path"] for file in members)
        report["errors"] += [f"the check of {paths} {problem}"] if problem else answer["errors"]
        report["deprecated"] += [] if problem else answer["deprecated"]
    return report


def list_options(namespaces: list) -> dict:
    """Return what the lists of the role option_lists hold: {errors, namespaces, auth_plugins}.

    The argument has one list for each file, as in check_files. namespaces maps a name to its sections and each option
    there to the place where it stands now, empty unless the option is an old name.
    """
    installed = entry_points()
    families, errors = {}, []
    for names in namespaces:
        wanted, missing = resolve(names, installed)
        errors += [f"no installed package declares the namespace {name}" for name in missing]
        families.setdefault(family(wanted, installed), set()).update(wanted)

    def work(names):
        pairs = Namespaces(installed).pairs
        return {name: places(flatten(pairs(name))) for name in names} if names else _plugins()

    parts = [*families.values(), set()]
    answers = side_by_side(work, parts)
    for names, (_answer, problem) in zip(parts, answers):
        errors += (
            [f"the list of {', '.join(sorted(names)) or 'the plugins of keystoneauth'} {problem}"] if problem else []
        )
    if errors:
        return {"errors": sorted(set(errors)), "namespaces": {}, "auth_plugins": {}}
    found = {name: sections for answer, _problem in answers[:-1] for name, sections in answer.items()}
    return {"errors": [], "namespaces": found, "auth_plugins": answers[-1][0]}


def places(catalogue) -> dict:
    """Return {section: {option: current place}}; of two spellings of one name only that with dashes."""
    return {
        section: {
            name: entry["moved"] or ""
            for name, entry in entries.items()
            if not any("-" in other and other.replace("-", "_") == name for other in entries)
        }
        for section, entries in catalogue.items()
        if entries
    }


def _plugins() -> dict:
    from keystoneauth1 import loading  # only installed where OpenStack is

    names = sorted(loading.get_available_plugin_names())
    return {name: sorted(places(flatten([("own", plugin_options(name)["options"])])).get("own", {})) for name in names}


def side_by_side(work, parts: list) -> list:
    """Call work(part) in a child process for each part; return (answer, None) or (None, why there is no answer)."""
    context = multiprocessing.get_context("fork")  # the child needs no import of its own to run this file's code
    children = []
    for part in parts:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(work, part, sender))
        child.start()
        sender.close()
        children.append((child, receiver))
    end = time.monotonic() + PATIENCE
    answers = []
    for child, receiver in children:
        try:
            if not receiver.poll(max(0.0, end - time.monotonic())):
                child.kill()
                answers.append((None, f"gave no answer in {PATIENCE} s"))
            else:
                answers.append(receiver.recv())
        except EOFError:
            answers.append((None, "died without an answer; is there memory left?"))
        child.join()
    return answers


def resolve(wanted, installed) -> tuple:
    """Return (names of installed namespaces, names or patterns that stand for none)."""
    found = {name: fnmatch.filter(installed, name) for name in wanted}
    return sorted({name for names in found.values() for name in names}), [name for name in wanted if not found[name]]


def family(namespaces, installed) -> tuple:
    """Return the projects whose code declares the namespaces, libraries left out: what they import they share."""
    packages = {installed[name].value.split(":")[0].split(".")[0] for name in namespaces}
    return tuple(sorted(name for name in packages if not name.startswith("oslo") and name not in LIBRARIES))


def _child(work, part, sender):
    """Run in the child process: what the imported packages print must not get into the module's own output."""
    with tempfile.TemporaryFile("w+") as output:
        sys.stdout = sys.stderr = output
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
        try:
            sender.send((work(part), None))
        except BaseException:
            sender.send((None, f"failed: {traceback.format_exc().strip().splitlines()[-1]}"))
    os._exit(0)  # no exit handlers: eventlet and others register some that wait


class Namespaces:
    """The installed namespaces, each loaded once and only when asked for."""

    def __init__(self, installed):
        self.installed = installed
        self.loaded = {}

    def pairs(self, name) -> list:
        if name not in self.loaded:
            try:
                self.loaded[name] = [(group, list(options)) for group, options in self.installed[name].load()()]
            except Exception as error:
                raise ImportError(f"namespace {name} does not load: {type(error).__name__}: {error}") from error
        return self.loaded[name]

    def declaring(self, section, option) -> list:
        """Return the names of all namespaces that have an option, for a message; what does not load is passed over."""
        names = []
        for name in sorted(self.installed):
            try:
                catalogue = flatten(self.pairs(name))
            except ImportError:
                continue
            if option in catalogue.get(group_key(section), {}):
                names.append(name)
        return names


def _check_family(files, namespaces) -> dict:
    report = {"errors": [], "deprecated": []}
    catalogues = {}
    for file in files:
        names = tuple(file["namespaces"])
        if names not in catalogues:
            catalogues[names] = flatten([pair for name in names for pair in namespaces.pairs(name)])
        errors, deprecated = check_ini(file["ini"], catalogues[names], plugin_options, namespaces.declaring)
        report["errors"] += [f"{file['path']}: {error['text']}" for error in errors]
        report["deprecated"] += [f"{file['path']}: {text}" for text in deprecated]
    return report


def entry_points() -> dict:
    """Return the installed namespaces: name -> entry point."""
    if sys.version_info >= (3, 10):
        found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    else:
        found = importlib.metadata.entry_points().get(ENTRY_POINT_GROUP, [])
    return {point.name: point for point in found}


def plugin_options(auth_type: str):
    """Return the options of a keystoneauth plugin, or the list of names of all plugins when there is no such."""
    from keystoneauth1 import exceptions, loading  # only installed where OpenStack is

    try:
        return {"options": loading.get_auth_plugin_conf_options(auth_type)}
    except exceptions.NoMatchingPlugin:
        return {"known": sorted(loading.get_available_plugin_names())}


def group_key(name) -> str:
    """Return the name under which oslo.config looks a section up: only DEFAULT has to be in capitals."""
    name = getattr(name, "name", name) or "DEFAULT"
    return name if name == "DEFAULT" else name.lower()


def flatten(pairs) -> dict:
    """Turn [(group, [option, ...]), ...] into {section: {name: entry}}.

    entry is {option, moved}: moved names the current [section] option when the name is a deprecated one.
    """
    catalogue = {}
    pairs = [(group, list(options)) for group, options in pairs]
    for group, options in pairs:
        section = catalogue.setdefault(group_key(group), {})
        for option in options:
            section[option.dest] = section[option.name] = {"option": option, "moved": None}
    for group, options in pairs:
        for option in options:
            for old in getattr(option, "deprecated_opts", None) or []:
                if not old.name and not old.group:
                    continue
                section = catalogue.setdefault(group_key(old.group or group), {})
                moved = {"option": option, "moved": f"[{group_key(group)}] {option.dest}"}
                section.setdefault(old.name or option.dest, moved)
                section.setdefault((old.name or option.dest).replace("-", "_"), moved)
    return catalogue


def check_ini(ini: dict, catalogue: dict, get_plugin_options, get_declaring, release="the installed release") -> tuple:
    """Return (errors, deprecated) of one file: errors are {section, option, text}, deprecated are texts.

    The texts name section and option and say what to do. In an entry without a definition (option is None) the name is
    all that is judged.
    """
    errors, deprecated = [], []
    known = dict(catalogue)

    def add(section, option, text):
        errors.append({"section": section, "option": option, "text": text})

    for key, options, error in _run_time_sections(ini, catalogue, get_plugin_options):
        if error:
            add(key, "auth_type", error)
        known[key] = {**known.get(key, {}), **options}
    for section, options in ini.items():
        entries = known.get(group_key(section))
        if entries is None:
            advice = _declared(section, next(iter(options)), get_declaring) or _near(section, known)
            add(section, None, f"section [{section}] is unknown to {release}{advice}")
            continue
        for option, values in options.items():
            entry = entries.get(option)
            if entry is None:
                advice = _advice(section, option, ini, known, get_plugin_options, get_declaring)
                add(section, option, f"[{section}] {option} is unknown to {release}{advice}")
                continue
            for text in _bad_values(section, option, values, entry["option"]):
                add(section, option, text)
            if entry["moved"]:
                deprecated.append(f"[{section}] {option} is an old name of {entry['moved']}")
            elif getattr(entry["option"], "deprecated_for_removal", False):
                reason = " ".join((getattr(entry["option"], "deprecated_reason", None) or "").split())
                deprecated.append(f"[{section}] {option} will be removed{': ' + reason if reason else ''}")
    return errors, deprecated


def _run_time_sections(ini, catalogue, get_plugin_options):
    """Yield (section, entries, error) for sections whose options are registered while the service runs."""
    names = {group_key(section): section for section in ini}
    for section, options in ini.items():
        key = group_key(section)
        target = group_key(options.get("auth_section", [section])[-1])
        chosen = ini.get(names.get(target), {}).get("auth_type")
        if chosen and "auth_type" in catalogue.get(key, {}):
            plugin = get_plugin_options(chosen[-1])
            error = None
            if "known" in plugin:
                error = (
                    f"[{names[target]}] auth_type = {chosen[-1]} is no known keystoneauth plugin; "
                    f"choose one of {', '.join(plugin['known'])}"
                )
            own = flatten([(target, plugin.get("options", []))]).get(target, {})
            yield target, {"auth_type": catalogue[key]["auth_type"], **own}, error
        for pattern, source in ALIASES:
            if key not in catalogue and source in catalogue and fnmatch.fnmatch(key, pattern):
                yield key, catalogue[source], None
    for kind in _items(ini, "devices", "enabled_mdev_types"):
        for prefix in ("mdev_", "vgpu_"):
            if group_key(prefix + kind) in names:
                yield group_key(prefix + kind), {name: {"option": None, "moved": None} for name in MDEV_OPTIONS}, None
    stores = [item.split(":")[0].strip() for item in _items(ini, "DEFAULT", "enabled_backends")]
    if stores:
        # cinder declares the options of a backend as [backend_defaults], glance those of a store as [glance_store]
        options = {**catalogue.get("glance_store", {}), **catalogue.get("backend_defaults", {})}
        for store in [*stores, *RESERVED_STORES]:
            yield group_key(store), options, None


def _items(ini, section, option) -> list:
    values = ini.get(section, {}).get(option, [])
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


def _bad_values(section, option, values, definition) -> list:
    """Return an error for each value that the option's own type refuses; a value with $ is only known at run time."""
    kind = getattr(definition, "type", None)
    errors = []
    for value in values if callable(kind) else []:
        if "$" in value:
            continue
        try:
            kind(value.strip())
        except ValueError as reason:
            if getattr(definition, "secret", False):
                errors.append(f"[{section}] {option} has a value that the installed release refuses")
            else:
                errors.append(f"[{section}] {option} = {value} is refused by the installed release: {reason}")
    return errors


def _advice(section, option, ini, known, get_plugin_options, get_declaring) -> str:
    """Return what may be meant by an unknown option of a known section."""
    key = group_key(section)
    plain = "auth_type" in known[key] and not {"auth_type", "auth_section"} & set(ini[section])
    if plain and option in {name.dest for name in get_plugin_options("password").get("options", [])}:
        return "; the options of an authentication plugin exist only beside `auth_type`, which is not set here"
    current = {name for name, entry in known[key].items() if not entry["moved"]}
    if difflib.get_close_matches(option, list(current), n=1, cutoff=0.85):
        return _near(option, current)
    elsewhere = sorted(name for name, entries in known.items() if option in entries and not entries[option]["moved"])
    declared = _declared(section, option, get_declaring)
    if elsewhere:
        return f"; it exists in [{'], ['.join(elsewhere[:3])}]{declared.replace(';', ', and', 1)}"
    return declared or _near(option, current)


def _declared(section, option, get_declaring) -> str:
    names = get_declaring(section, option)
    return f"; namespace {' and '.join(names[:3])}, which `validate` does not name, declares it" if names else ""


def _near(name, names) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; the nearest name is {near[0]}" if near else "; remove it"
