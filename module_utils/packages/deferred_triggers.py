# SPDX-License-Identifier: Apache-2.0
"""Do once, after a transaction, what the maintainer scripts of hundreds of packages would each do for themselves.

Two tools are replaced by stand-ins that the scripts find first on their path. Nothing of the system is replaced:
a process without this path, such as another apt at the same time, calls the tools themselves.

- `py3compile -p PACKAGE` starts Python twice for each package with Python code. The stand-in adds the package to a
  list, which outlives a killed run; then the real tool compiles the files of all packages, on all processors.
- `systemctl daemon-reload` makes systemd read all units. One reload is enough for all requests before it; it is done
  before the next other call of systemctl. Only where services are held, since nothing starts units meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence

from ansible.module_utils.host import atomic_file
from ansible.module_utils.host.commands import Done

HOME = "/var/lib/nova-ansible/put-off"  # not /run: Debian mounts it noexec
LIST = f"{HOME}/py3compile.list"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # apt's own default for dpkg
BATCH = 1500  # files for one start of py3compile; the kernel takes 2 MB of arguments
_PUBLIC = re.compile(r"/usr/lib/python3(?:\.\d+)?/(?:site|dist)-packages/.*\.py$")  # what `-p PACKAGE` compiles

PY3COMPILE = """\
#!/bin/sh
# A stand-in during one transaction: the packages in the list are compiled when all are installed.
if [ $# = 2 ] && [ "$1" = -p ] && echo "$2" >>{home}/py3compile.list; then exit 0; fi
exec /usr/bin/py3compile "$@"
"""
SYSTEMCTL = """\
#!/bin/sh
# A stand-in during one transaction: a reload waits for the first call that may need it.
case " $* " in
  " daemon-reload " | " --system daemon-reload ") : >{home}/daemon-reload && exit 0 ;;
  *" --root="* | *" is-"* | *" list-"*) ;; # works on files, or only reads
  *) if rm {home}/daemon-reload 2>/dev/null; then /usr/bin/systemctl daemon-reload; fi ;;
esac
exec /usr/bin/systemctl "$@"
"""


def is_left(home: str = HOME) -> bool:
    """Tell whether there is something to do; outside a transaction, a killed run left it."""
    return os.path.lexists(f"{home}/py3compile.list")


@contextlib.contextmanager
def stand_ins(services_held: bool, home: str = HOME) -> Iterator[str]:
    """Give the path for maintainer scripts while the block runs."""
    tools = f"{home}/bin"
    os.makedirs(tools, mode=0o755, exist_ok=True)
    texts = {"py3compile": PY3COMPILE, **({"systemctl": SYSTEMCTL} if services_held else {})}
    try:
        for name, text in texts.items():  # by a rename: the dpkg of a killed run may be about to call them
            atomic_file.write(f"{tools}/{name}", text.format(home=home), mode=0o755)
        yield f"{tools}:{PATH}"
    finally:  # a killed run leaves them; they are harmless, because no other path leads there
        for name in texts:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{tools}/{name}")


def catch_up(run: Callable[[Sequence[str]], Done], home: str = HOME) -> str:
    """Do the deferred work; return the output of what failed, or "".

    run: runs a command, with its standard error in `out`.
    """
    if os.path.lexists(f"{home}/daemon-reload"):
        os.unlink(f"{home}/daemon-reload")
        run(["systemctl", "daemon-reload"])
    if not is_left(home):
        return ""
    with open(f"{home}/py3compile.list", encoding="utf-8") as file:
        packages = sorted(set(file.read().split()))
    listed = run(["dpkg-query", "--listfiles", "--", *packages]).out  # fails for a package that was removed: no error
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and rarely needed

    processors = len(os.sched_getaffinity(0))
    files = sorted({line for line in listed.splitlines() if _PUBLIC.match(line)})
    with ThreadPoolExecutor(processors) as pool:
        done = pool.map(lambda batch: run(["py3compile", *batch]), split(files, processors))
        failures = [result.out for result in done if result.code != 0]
    if not failures:  # otherwise the next run tries again
        os.unlink(f"{home}/py3compile.list")
    return "\n".join(failures)


def split(files: Sequence[str], processors: int) -> list[list[str]]:
    """Distribute files over a few batches for each processor.

    A directory stays whole: where two processes make its __pycache__ at the same time, one py3compile skips its files.
    """
    directories: dict[str, list[str]] = {}
    for path in files:
        directories.setdefault(os.path.dirname(path), []).append(path)
    number = max(3 * processors, -(-len(files) // BATCH))
    batches: list[list[str]] = [[] for _ in range(min(number, len(directories)))]
    for directory in sorted(directories.values(), key=len, reverse=True):
        min(batches, key=len).extend(directory)
    return batches
