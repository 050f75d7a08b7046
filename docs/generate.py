#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the documents that are made from data: variables.md, releases.md and decisions/README.md in docs/.

`.venv/bin/python docs/generate.py` writes those that are not current; with `--check` it only names them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/unit"))

# It renders the data of roles as a run does, and is found only on the path that was just added.
import project  # type: ignore[import-not-found]  # noqa: E402

# The roles whose variables an operator sets first; the others follow by name.
FIRST = ["cloud", "nova", "nova_hypervisor", "kvm_preflight", "neutron"]
WRITTEN = "Written by `docs/generate.py` from"


def load(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file; an empty dict where there is no file."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def spec_of(role: Path) -> dict[str, Any]:
    """Return the first entry point of a role's argument spec."""
    return next(iter(load(role / "meta/argument_specs.yml").get("argument_specs", {}).values()), {})


def roles() -> list[Path]:
    """Return the roles with variables, those of FIRST in front."""
    found = [path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    return sorted(found, key=lambda role: (FIRST.index(role.name) if role.name in FIRST else len(FIRST), role.name))


def cell(text: str) -> str:
    """Return a text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def text_of(description: str | list) -> str:
    """Return a description as Markdown: values, code, options and modules, which Ansible writes V(x), are code."""
    text = " ".join(description) if isinstance(description, list) else description
    return re.sub(r"\b[VCOM]\(([^)]+)\)", r"`\1`", text)


def shown(value: object) -> str:
    """Return a default as it would be typed."""
    if isinstance(value, str):
        return f"`{cell(value)}`"
    flow = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{cell(flow.replace('...', '').strip())}`"


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
    head = ["| Variable | Type | Default | Description |", "|---|---|---|---|"]
    return "\n".join(head + rows(options, project.role_data(role.name, "defaults"), seen=seen)) if options else ""


def secret_table() -> str:
    """Return the Markdown table of the secrets."""
    options = {name: option for role in roles() for name, option in spec_of(role).get("options", {}).items()}
    lines = ["| Secret | Description |", "|---|---|"]
    lines += [
        f"| `{name}` | {cell(text_of(options[name]['description']).replace(' From secrets.yml.', ''))} |"
        for name in project.SECRETS
    ]
    return "\n".join(lines)


def file_rows(name: str, part: project.Component) -> list[str]:
    """Return a row for each file of a component that takes options."""
    return [
        f"| `{entry['path']}` | {entry.get('format', 'ini')} | {name} |"
        for entry in part.plan()["files"]
        if "layers" in entry or entry.get("optional")
    ]


def components() -> dict:
    """Return every component, by name, for a host in all groups."""
    plan = project.plan_of("all-in-one", list(project.RELEASES)[-1])
    declared, common = plan.value("deploy_plan_components"), plan.value("deploy_plan_common")
    place = project.Place(plan.shape.host, plan.cloud, common)
    return {name: project.Component(name, declared[name], place) for name in declared}


def path_table() -> str:
    """Return the Markdown table of the files that config_overrides can change."""
    found = [row for name, part in components().items() for row in file_rows(name, part)]
    return "\n".join(["| Path | Format | Component |", "|---|---|---|", *dict.fromkeys(found)])


def variables() -> str:
    """Return docs/variables.md."""
    parts = [
        f"# Variables\n\nEvery variable that an inventory can set, with its type and default. {WRITTEN}\n"
        "`roles/*/meta/argument_specs.yml` and `roles/*/defaults/`; change those, not this file. A variable that is not"
        "\nrequired can be left out. [configure.md](configure.md) explains where to set a variable.\n"
    ]
    seen: dict = {}
    for role in roles():
        table = variable_table(role, seen)
        if table:
            parts.append(f"## {role.name}\n\n{spec_of(role)['short_description']}.\n\n{table}\n")
    parts.append(
        "## Files of config_overrides\n\nThe paths that `config_overrides` takes. Files of the formats ini and systemd"
        " have sections,\n`{path: {section: {option: value}}}`; the others are flat, `{path: {option: value}}`.\n\n"
        f"{path_table()}\n"
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
    """Return the lines about the releases, and about the packages of their lists of options."""
    lines = [
        "## Releases that can be deployed",
        "",
        "| `nova_release` | Nova | Debian | nova.conf of every host |",
        "|---|---|---|---|",
    ]
    for name, row in project.RELEASES.items():
        lines.append(f"| `{name}` | {row['nova']['version']} | {row['suite']} | {options_of(row['nova']['options'])} |")
    lines += ["", "## Packages of the option lists", ""]
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


def decisions() -> str:
    """Return docs/decisions/README.md, the index of the decisions; raise ValueError for one without a title."""
    lines = [
        "# Decisions",
        "",
        "Why the project is built as it is, one record for each decision. A superseded record stays.",
        f"{WRITTEN} the headings of the records.",
        "",
        "| Number | Decision |",
        "|--:|---|",
    ]
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        text = path.read_text(encoding="utf-8")
        title = re.match(r"# (\d+)\. (.+)\n", text)
        if not title:
            raise ValueError(f"{path.name} has no title such as '# 7. molecule'")
        superseded = re.search(r"^Superseded by \[(decision \d+)\]\((\S+)\)", text, re.MULTILINE)
        note = f" (superseded by [{superseded[1]}]({superseded[2]}))" if superseded else ""
        lines.append(f"| {title[1]} | [{title[2]}]({path.name}){note} |")
    return "\n".join(lines) + "\n"


def documents() -> dict[Path, str]:
    """Return every generated document: its path and its current text."""
    return {
        ROOT / "docs/variables.md": variables(),
        ROOT / "docs/releases.md": releases(),
        ROOT / "docs/decisions/README.md": decisions(),
    }


def stale() -> dict[Path, str]:
    """Return the documents whose files differ from the data."""
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
