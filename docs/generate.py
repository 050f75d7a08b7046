#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the documents that are made from data: docs/variables.md and docs/releases.md.

`.venv/bin/python docs/generate.py` writes what is not current; with `--check` it only names it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/unit"))

import project  # noqa: E402  renders the data of roles as a run does

# What an operator decides first; the other roles follow by name.
FIRST = ["cloud", "nova", "nova_hypervisor", "kvm_preflight", "neutron"]
WRITTEN = "Written by `docs/generate.py` from"


def load(path: Path) -> dict:
    """Return what a YAML file of the project holds; an empty dict when there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def spec_of(role: Path) -> dict:
    """Return the first argument spec of a role: what an operator sets, whatever its entry point is called."""
    return next(iter(load(role / "meta/argument_specs.yml").get("argument_specs", {}).values()), {})


def roles() -> list[Path]:
    """Return the roles that have variables, the ones an operator meets first in front."""
    found = [path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    return sorted(found, key=lambda role: (FIRST.index(role.name) if role.name in FIRST else len(FIRST), role.name))


def cell(text: str) -> str:
    """Return text that stands in one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def text_of(description: str | list) -> str:
    """Return a description as Markdown: V(x) and C(x) are Ansible's marks for values and code."""
    text = " ".join(description) if isinstance(description, list) else description
    for mark in ("V(", "C("):
        while mark in text:
            before, rest = text.split(mark, 1)
            inside, after = rest.split(")", 1)
            text = f"{before}`{inside}`{after}"
    return text


def shown(value: object) -> str:
    """Return a default as it would be typed."""
    if value is None or isinstance(value, (bool, int, float, list, dict)):
        flow = yaml.safe_dump(value, default_flow_style=True, width=1000)
        return f"`{cell(flow.replace('...', '').strip())}`"
    return f"`{cell(value)}`"


def rows(options: dict, defaults: dict, prefix: str = "", seen: dict | None = None) -> list[str]:
    """Return the table rows of options, sub-options below their parent, unless an earlier variable has the same."""
    lines = []
    seen = {} if seen is None else seen
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        if not prefix and name in defaults:
            default = shown(defaults[name])
        else:
            default = "required" if option.get("required") else ""
        text = text_of(option["description"])
        if "choices" in option:
            text += " One of: " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        if option.get("no_log"):
            text += " Secret."
        keys = option.get("options", {})
        first = seen.setdefault(str(keys), f"{prefix}{name}") if keys else ""
        if keys and first != f"{prefix}{name}":
            text += f" Its keys are those of `{first}`."
            keys = {}
        lines.append(f"| `{prefix}{name}` | {kind} | {default} | {cell(text)} |")
        lines += rows(keys, {}, f"{prefix}{name}.", seen)
    return lines


def is_secret(name: str) -> bool:
    """Return whether a variable is one of the secrets that playbooks/secrets.yml writes."""
    return name in project.SECRETS


def variable_table(role: Path, seen: dict) -> str:
    """Return the Markdown table of a role's variables, empty where it has none."""
    options = {name: option for name, option in spec_of(role).get("options", {}).items() if not is_secret(name)}
    head = ["| Variable | Type | Default | What it means |", "|---|---|---|---|"]
    return "\n".join(head + rows(options, project.role_data(role.name, "defaults"), seen=seen)) if options else ""


def secret_table() -> str:
    """Return the Markdown table of the secrets."""
    options = {name: option for role in roles() for name, option in spec_of(role).get("options", {}).items()}
    lines = ["| Secret | What it is |", "|---|---|"]
    lines += [
        f"| `{name}` | {cell(text_of(options[name]['description']).replace(' From secrets.yml.', ''))} |"
        for name in project.SECRETS
    ]
    return "\n".join(lines)


def file_rows(name: str, part) -> list[str]:
    """Return a row for each file of a component that takes options."""
    return [
        f"| `{entry['path']}` | {entry.get('format', 'ini')} | {name} |"
        for entry in part.plan()["files"]
        if "layers" in entry or entry.get("optional")
    ]


def components() -> dict:
    """Return every component as a host of all groups has it: name to Component."""
    plan = project.plan_of("all-in-one", list(project.RELEASES)[-1])
    declared, common = plan.value("deploy_plan_components"), plan.value("deploy_plan_common")
    return {name: project.Component(name, declared[name], plan.shape.host, plan.cloud, common) for name in declared}


def path_table() -> str:
    """Return the Markdown table of the files that config_overrides can change."""
    found = [row for name, part in components().items() for row in file_rows(name, part)]
    return "\n".join(["| Path | Format | Component |", "|---|---|---|", *dict.fromkeys(found)])


def variables() -> str:
    """Return docs/variables.md."""
    parts = [
        f"# Variables\n\nEvery variable that an inventory may set, with its type and default. {WRITTEN}\n"
        "`roles/*/meta/argument_specs.yml` and `roles/*/defaults/`; change those, not this file. A variable with an"
        " empty\ndefault that is not required may be left out.\n"
    ]
    seen: dict = {}
    for role in roles():
        table = variable_table(role, seen)
        if table:
            parts.append(f"## {role.name}\n\n{spec_of(role)['short_description']}.\n\n{table}\n")
    parts.append(
        "## Files of config_overrides\n\nThe paths that `config_overrides` takes. Files of the formats ini and systemd"
        " have sections:\n`{path: {section: {option: value}}}`; the others are flat: `{path: {option: value}}`. A"
        f" null removes an option.\n\n{path_table()}\n"
    )
    parts.append(
        "## Secrets\n\n`playbooks/secrets.yml` writes those that an inventory does not have yet into"
        f" `group_vars/all/secrets.yml`.\n\n{secret_table()}\n"
    )
    return "\n".join(parts)


def options_of(config: dict) -> str:
    """Return the options of a release in one line."""
    return ", ".join(
        f"`[{section}] {option} = {str(value).lower() if isinstance(value, bool) else value}`"
        for section, options in config.items()
        for option, value in options.items()
    )


def release_tables() -> list[str]:
    """Return the lines about the releases, and about what their lists of options were made from."""
    lines = [
        "## Releases that can be deployed",
        "",
        "| `nova_release` | Nova | Debian | nova.conf of every host |",
        "|---|---|---|---|",
    ]
    for name, row in project.RELEASES.items():
        lines.append(f"| `{name}` | {row['nova']['version']} | {row['suite']} | {options_of(row['nova']['options'])} |")
    lines += ["", "## Where the options that preflight knows come from", ""]
    lines += ["| `nova_release` | Packages |", "|---|---|"]
    for name in project.RELEASES:
        packages = json.loads((ROOT / f"roles/option_lists/files/{name}.json").read_text(encoding="utf-8"))["packages"]
        listed = (f"`{package}` {version}" for package, version in packages.items())
        lines.append(f"| `{name}` | {', '.join(listed)} |")
    return lines


def service_table() -> list[str]:
    """Return the lines about the services of every component."""
    lines = ["## Services", "", "| Component | Service | Packages | Unit | Runs on |", "|---|---|---|---|---|"]
    for name, part in components().items():
        for service, row in part.declared["catalog"].items():
            if "removed_after" in row:
                continue
            groups = [f"`{group}`" for group in part.declared["services"] if service in part.services_of(group)]
            where = ", ".join(groups) or "where `nova_controller_services` names it"
            packages = ", ".join(f"`{package}`" for package in row["packages"])
            unit = f"`{row['unit']}`" if "unit" in row else ""
            lines.append(f"| {name} | `{service}` | {packages} | {unit} | {where} |")
    return lines


def removed_table() -> list[str]:
    """Return the lines about services that Nova no longer has."""
    series = project.role_data("cloud", "vars")["cloud_release_series"]
    lines = [
        "## Services that no supported release has",
        "",
        "| Service | Last release with it | First release without it | Replaced by |",
        "|---|---|---|---|",
    ]
    for name, row in project.SERVICES.items():
        if "removed_after" in row:
            after = series[series.index(row["removed_after"]) + 1]
            lines.append(f"| `{name}` | {row['removed_after']} | {after} | {cell(row['replaced_by'])} |")
    return lines


def choice_tables() -> list[str]:
    """Return the lines about hypervisors and network mechanisms."""
    lines = ["## Hypervisors", "", "| `nova_hypervisor_type` | Packages |", "|---|---|"]
    for name, row in project.role_data("nova_hypervisor", "vars")["nova_hypervisor_types"].items():
        lines.append(f"| `{name}` | {', '.join(f'`{package}`' for package in row['packages'])} |")
    mechanisms = project.role_data("neutron", "vars")["neutron_mechanisms"]
    lines += ["", "## Network mechanisms", "", "| `neutron_mechanism` | ML2 driver | Firewall |", "|---|---|---|"]
    return lines + [f"| `{name}` | `{row['driver']}` | `{row['firewall']}` |" for name, row in mechanisms.items()]


def releases() -> str:
    """Return docs/releases.md."""
    head = [
        "# Releases and services",
        "",
        f"{WRITTEN} `roles/cloud/vars/main/releases.yml` and the components of the",
        "roles; change those, not this file.",
    ]
    parts = [head, release_tables(), service_table(), removed_table(), choice_tables()]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def documents() -> dict[Path, str]:
    """Return every generated document: its path and the text it should have."""
    return {ROOT / "docs/variables.md": variables(), ROOT / "docs/releases.md": releases()}


def stale() -> dict[Path, str]:
    """Return the documents that are not what the data says."""
    return {p: t for p, t in documents().items() if not p.exists() or p.read_text(encoding="utf-8") != t}


def main() -> int:
    """Write the documents that are not current, or name them."""
    old = stale()
    check = "--check" in sys.argv[1:]
    for path, text in old.items():
        print(f"{'not current' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
