# SPDX-License-Identifier: Apache-2.0
"""Shared by all unit tests: the module_utils of the project, and a way to run a module in the test process."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import ansible.module_utils
import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).resolve().parents[2]

for directory in [ROOT / "module_utils", *sorted(ROOT.glob("roles/*/module_utils"))]:
    ansible.module_utils.__path__.append(str(directory))


@pytest.fixture
def run_module(capsys):
    """Return a function that runs a module and returns the dict that it passed to exit_json or fail_json.

    `module` is an imported module or its name. The result of a failed module has `failed: true`.
    """

    def run(module: ModuleType | str, args: dict, check: bool = False, diff: bool = True) -> dict:
        module = importlib.import_module(module) if isinstance(module, str) else module
        capsys.readouterr()
        with patch_module_args({**args, "_ansible_check_mode": check, "_ansible_diff": diff}):
            with pytest.raises(SystemExit):
                module.main()
        return json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    return run
