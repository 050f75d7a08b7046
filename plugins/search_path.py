# SPDX-License-Identifier: Apache-2.0
"""Let the plugins of this checkout import its module_utils/ and plugins/plugin_utils/.

Ansible offers module_utils/ only to modules, and plugin_utils/ only inside a collection. A plugin cannot import its
neighbors by a relative name either, because Ansible loads each by its path. Every plugin therefore runs this file
before its own imports.
"""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
import ansible.plugins

ROOT = Path(__file__).resolve().parents[1]
for package, directory in ((ansible.module_utils, ROOT / "module_utils"), (ansible.plugins, ROOT / "plugins")):
    if str(directory) not in package.__path__:
        package.__path__.append(str(directory))
