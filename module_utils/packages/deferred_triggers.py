# SPDX-License-Identifier: Apache-2.0
"""Do once, after a transaction, what the maintainer scripts of hundreds of packages would each do for themselves.

Two tools are put off by stand-ins that the scripts find first on their path. Nothing of the system is replaced: whoever
does not have our path, such as an operator at the same time, calls the tools themselves.

- `py3compile -p PACKAGE`: two starts of Python for each package with Python code. What it was asked for is written to
  a list, which outlives a killed run; then the same tool compiles the files of all packages, on all processors.
- `systemctl daemon-reload`: systemd reads all units anew. One reload serves all that came before it; whatever else is
  asked of systemctl finds it done. Only where services are held back, else others may start units meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re

HOME = "/var/lib/nova-ansible/put-off"  # not /run: Debian mounts it noexec
LIST = f"{HOME}/py3compile.list"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # apt's own default for dpkg
BATCH = 1500  # files for one start of py3compile; the kernel takes 2 MB of arguments
_PUBLIC = re.compile(r"/usr/lib/python3(?:\.\d+)?/(?:site|dist)-packages/.*\.py$")  # what `-p PACKAGE` compiles

PY3COMPILE = """\
#!/bin/sh
# A stand-in for the time of one transaction: the file beside it is worked off when all packages are there.
if [ $# = 2 ] && [ "$1" = -p ] && echo "$2" >>{home}/py3compile.list; then exit 0; fi
exec /usr/bin/py3compile "$@"
"""
SYSTEMCTL = """\
#!/bin/sh
# A stand-in for the time of one transaction: a reload waits for the first call that may need it.
case " $* " in
  " daemon-reload " | " --system daemon-reload ") : >{home}/daemon-reload && exit 0 ;;
  *" --root="* | *" is-"* | *" list-"*) ;; # works on files, or only asks
  *) if rm {home}/daemon-reload 2>/dev/null; then /usr/bin/systemctl daemon-reload; fi ;;
esac
exec /usr/bin/systemctl "$@"
"""


def is_left(home: str = HOME) -> bool:
    """Tell whether there is something to do; outside a transaction, what a killed one left."""
    return os.path.lexists(f"{home}/py3compile.list")


@contextlib.contextmanager
def stand_ins(services_held: bool, home: str = HOME):
    """Yield the path for maintainer scripts. Each tool is put off only where the system has it."""
    tools = f"{home}/bin"
    os.makedirs(tools, mode=0o755, exist_ok=True)
    texts = {"py3compile": PY3COMPILE, **({"systemctl": SYSTEMCTL} if services_held else {})}
    try:
        for name, text in texts.items():
            place(f"{tools}/{name}", text.format(home=home))
        yield f"{tools}:{PATH}"
    finally:  # a killed run leaves them: they do no harm where nobody's path leads
        for name in texts:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{tools}/{name}")


def place(path: str, text: str) -> None:
    """Write an executable by a rename: the dpkg of a killed run may be about to call it."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o755)
    os.rename(f"{path}.new", path)


def catch_up(run, home: str = HOME) -> str:
    """Do what was put off; return what went wrong, or nothing. `run` takes a command, returns (rc, output)."""
    if os.path.lexists(f"{home}/daemon-reload"):
        os.unlink(f"{home}/daemon-reload")
        run(["systemctl", "daemon-reload"])
    if not is_left(home):
        return ""
    with open(f"{home}/py3compile.list", encoding="utf-8") as file:
        packages = sorted(set(file.read().split()))
    code, output = run(["dpkg-query", "--listfiles", "--", *packages])  # one of them may be gone again: not an error
    from concurrent.futures import ThreadPoolExecutor  # not needed where nothing was put off, and dear to import

    processors = len(os.sched_getaffinity(0))
    files = sorted({line for line in output.splitlines() if _PUBLIC.match(line)})
    batches = split(files, processors)
    with ThreadPoolExecutor(processors) as pool:
        failures = [text for code, text in pool.map(lambda batch: run(["py3compile", *batch]), batches) if code != 0]
    if not failures:  # else the next run tries again
        os.unlink(f"{home}/py3compile.list")
    return "\n".join(failures)


def split(files: list, processors: int) -> list:
    """Deal files out, a few batches for each processor.

    A folder stays whole: of two processes that make its __pycache__ at once, py3compile lets one pass over its files.
    """
    folders: dict = {}
    for path in files:
        folders.setdefault(os.path.dirname(path), []).append(path)
    number = max(3 * processors, -(-len(files) // BATCH))
    batches: list = [[] for _ in range(min(number, len(folders)))]
    for folder in sorted(folders.values(), key=len, reverse=True):
        min(batches, key=len).extend(folder)
    return batches
