# SPDX-License-Identifier: Apache-2.0
"""Write the plan and files of each shape of a cloud for reviewers: tests/unit/golden/<release>/<shape>/.

`.venv/bin/python tests/unit/golden.py` lists the files that differ from the current roles; `--write` writes them.
Values that only the host knows are those of a host with four processors (project.FACTS) in configuration files, and as
they are declared in plans. Secrets are placeholders.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import project
import yaml

HEAD = "---\n# Written by tests/unit/golden.py.\n# yamllint disable rule:line-length\n"
DIRECTORY = project.ROOT / "tests/unit/golden"
# The third host of the hyperconverged cloud equals the second one but for its address; test_catalog compares them.
SHAPES = [*(shape for shape in project.SHAPES if shape != "hyperconverged-3"), *project.TLS_SHAPES]
# Configuration files as the host writes them.
RENDERED = {
    "nova.conf": "/etc/nova/nova.conf",
    "neutron.conf": "/etc/neutron/neutron.conf",
}
# More files of a cloud with TLS.
RENDERED_TLS = {
    **RENDERED,
    "keystone-uwsgi.ini": "/etc/keystone/keystone-uwsgi.ini",
    "placement-api-uwsgi.ini": "/etc/placement/placement-api-uwsgi.ini",
}


class Dumper(yaml.SafeDumper):
    """YAML in the style of the linter, without anchors: each value is shown where it is used."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        """Write every value in full."""
        return True


def text_node(dumper: Dumper, text: str) -> yaml.ScalarNode:
    """Return a text as YAML: one of several lines as a block."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, text_node)


def as_yaml(value: object) -> str:
    """Return a value as YAML, its keys in their order."""
    plain = json.loads(json.dumps(value))
    return HEAD + yaml.dump(plain, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)


def documents(release: str, shape: str) -> dict[str, str]:
    """Return the text of each golden file of a shape by its name."""
    plan = project.plan_of(shape, release)
    tls = plan.shape.tls is not None
    found = {"plan.yml": as_yaml(plan.parts)}
    if tls:
        shown = [key for key in plan.cloud if key not in ("release", "overrides", "secret_paths")]
        found = {"cloud.yml": as_yaml({key: plan.cloud[key] for key in shown})}
    rendered = RENDERED_TLS if tls else RENDERED
    return found | {name: plan.text(path) for name, path in rendered.items() if path in plan.files}


def wanted() -> dict[Path, str]:
    """Return path and expected text of every golden file."""
    return {
        DIRECTORY / release / shape / name: text
        for release in project.RELEASES
        for shape in SHAPES
        for name, text in documents(release, shape).items()
    }


def main() -> int:
    """Write the golden files, or list those that are not current."""
    texts = wanted()
    old = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    extra = [path for path in sorted(DIRECTORY.rglob("*")) if path.is_file() and path not in texts]
    for path in [*old, *extra]:
        print(project.short(path))
        if "--write" in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if path in extra else path.write_text(texts[path], encoding="utf-8")
    return 0 if "--write" in sys.argv[1:] else bool(old or extra)


if __name__ == "__main__":
    sys.exit(main())
