#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the documents that are made from data: docs/variables.md, docs/releases.md and the tables of roles/*/README.md.

`.venv/bin/python docs/generate.py` writes what is not current; with `--check` it only names it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
# What an operator decides first; the other roles follow by name.
FIRST = ["preflight", "nova", "nova_hypervisor", "kvm_preflight", "nova_client", "neutron"]
BEGIN = "<!-- variables: written by docs/generate.py -->"
END = "<!-- end of variables -->"


def load(path: Path) -> dict:
    """Return what a YAML file of the project holds; an empty dict when there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def load_folder(folder: Path) -> dict:
    """Return the variables of vars/main/ or defaults/: the union of its files."""
    return {key: value for path in sorted(folder.glob("*.yml")) for key, value in load(path).items()}


def spec_of(role: Path) -> dict:
    """Return the argument spec of a role, whatever its entry point is called."""
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


def variable_table(role: Path, seen: dict | None = None) -> str:
    """Return the Markdown table of a role's variables."""
    head = ["| Variable | Type | Default | What it means |", "|---|---|---|---|"]
    return "\n".join(head + rows(spec_of(role).get("options", {}), load_folder(role / "defaults"), seen=seen))


def variables() -> str:
    """Return docs/variables.md."""
    parts = [
        "# Variables\n\nEvery variable that an inventory may set, with its type and default. Written by"
        " `docs/generate.py` from\n`roles/*/meta/argument_specs.yml` and `roles/*/defaults/`; change those, not this"
        " file. A variable with an empty\ndefault that is not required may be left out. `inventory/wiring.yml`"
        " gives those that a role takes from\nanother one.\n"
    ]
    seen: dict = {}
    for role in roles():
        spec = spec_of(role)
        if spec.get("options"):
            parts.append(f"## {role.name}: {spec['short_description']}\n\n{variable_table(role, seen)}\n")
    return "\n".join(parts)


def options_of(config: dict) -> str:
    """Return the options of a layer of nova.conf in one line."""
    return ", ".join(
        f"`[{section}] {option} = {str(value).lower() if isinstance(value, bool) else value}`"
        for section, options in config.items()
        for option, value in options.items()
    )


def releases() -> str:
    """Return docs/releases.md."""
    data = load_folder(ROOT / "roles/nova/vars/main")
    series, known, catalog = data["nova_release_series"], data["nova_releases"], data["nova_service_catalog"]
    lines = [
        "# Releases and components\n",
        "Written by `docs/generate.py` from the catalogue in `roles/nova/vars/main/`; change that, not this file.\n",
        "## Releases that can be deployed\n",
        "| `nova_release` | Nova | Debian | options of every host |",
        "|---|---|---|---|",
    ]
    for name, release in known.items():
        lines.append(f"| `{name}` | {release['version']} | {release['suite']} | {options_of(release['config'])} |")
    lines += ["", "## Where the options that preflight knows come from", ""]
    lines += ["| `nova_release` | Packages |", "|---|---|"]
    for name in known:
        packages = json.loads((ROOT / f"roles/option_lists/files/{name}.json").read_text(encoding="utf-8"))["packages"]
        listed = (f"`{package}` {version}" for package, version in packages.items())
        lines.append(f"| `{name}` | {', '.join(listed)} |")
    lines += ["", "## Components", "", "| Component | Packages | Unit | Runs on |", "|---|---|---|---|"]
    for name, row in catalog.items():
        if "last_release" not in row:
            packages = ", ".join(f"`{package}`" for package in row["packages"])
            where = "controller" if "controller" in row["layers"] else "compute"
            lines.append(f"| `{name}` | {packages} | `{row['unit_current']['name']}` | {where} |")
    lines += [
        "",
        "## Components that no release of today has",
        "",
        "| Component | Last release with it | First release without it | Instead |",
        "|---|---|---|---|",
    ]
    for name, row in catalog.items():
        if "last_release" in row:
            after = series[series.index(row["last_release"]) + 1]
            lines.append(f"| `{name}` | {row['last_release']} | {after} | {cell(row['instead'])} |")
    hypervisors = load_folder(ROOT / "roles/nova_hypervisor/vars/main")["nova_hypervisor_types"]
    lines += ["", "## Hypervisors", "", "| `nova_hypervisor_type` | Packages |", "|---|---|"]
    for name, row in hypervisors.items():
        lines.append(f"| `{name}` | {', '.join(f'`{package}`' for package in row['packages'])} |")
    mechanisms = load_folder(ROOT / "roles/neutron/vars/main")["neutron_mechanisms"]
    lines += ["", "## Network mechanisms", "", "| `neutron_mechanism` | ML2 driver | Firewall |", "|---|---|---|"]
    lines += [f"| `{name}` | `{row['driver']}` | `{row['firewall']}` |" for name, row in mechanisms.items()]
    return "\n".join(lines) + "\n"


def readme(role: Path) -> str:
    """Return a role's README with a current table between its two marks."""
    text = (role / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n{variable_table(role)}\n{END}{after}"


def documents() -> dict[Path, str]:
    """Return every generated document: its path and the text it should have."""
    wanted = {ROOT / "docs/variables.md": variables(), ROOT / "docs/releases.md": releases()}
    for role in roles():
        path = role / "README.md"
        if path.exists() and BEGIN in path.read_text(encoding="utf-8"):
            wanted[path] = readme(role)
    return wanted


def stale() -> dict[Path, str]:
    """Return the documents that are not what the data says."""
    return {p: t for p, t in documents().items() if not p.exists() or p.read_text(encoding="utf-8") != t}


def main() -> int:
    old = stale()
    check = "--check" in sys.argv[1:]
    for path, text in old.items():
        print(f"{'not current' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
