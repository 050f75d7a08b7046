# SPDX-License-Identifier: Apache-2.0
"""Run the code of one module inside another: parameters checked as Ansible does, nothing left behind for the next."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.process import get_bin_path
from ansible.module_utils.errors import UnsupportedError

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Ended(BaseException):
    """How a stage ended. Not an Exception: the handlers of a stage let it pass, as they do SystemExit."""

    def __init__(self, result: dict) -> None:
        super().__init__()
        self.result = result


class StageModule:
    """What a stage gets in place of its AnsibleModule. Commands are run by the module that Ansible started."""

    def __init__(self, outer: Any, check_mode: bool) -> None:
        self.outer = outer
        self.check_mode = check_mode
        self.params: dict = {}
        self.no_log_values: set = set()
        self.warnings: list = []

    def take(self, spec: dict, arguments: dict) -> None:
        """Take the arguments as AnsibleModule would: defaults, types, sub-options, secrets."""
        checked = ArgumentSpecValidator(spec).validate(arguments)
        self.params = checked.validated_parameters
        self.no_log_values.update(checked._no_log_values)  # AnsibleModule reads it there too
        texts = [
            f"{'Unsupported parameters: ' if isinstance(error, UnsupportedError) else ''}{error}"
            for error in checked.errors
        ]
        if texts:
            self.fail_json(msg="; ".join(texts))

    def exit_json(self, **result: Any) -> NoReturn:
        """End the stage."""
        raise Ended({"changed": False, **result})

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        """End the stage with a failure."""
        result.pop("exception", None)
        raise Ended({"changed": False, **result, "failed": True, "msg": str(msg)})

    def run_command(self, args: Any, check_rc: bool = False, **options: Any) -> tuple:
        """Run a command; what goes wrong ends the stage, not the module around it."""
        try:
            code, out, err = self.outer.run_command(args, check_rc=False, handle_exceptions=False, **options)
        except OSError as error:
            self.fail_json(msg=f"'{shown(args)}' cannot be run: {error.strerror or error}", rc=error.errno)
        if check_rc and code != 0:
            self.fail_json(msg=f"'{shown(args)}' failed: {(err or out).strip()}", rc=code)
        return code, out, err

    def get_bin_path(self, arg: str, required: bool = False, opt_dirs: list | None = None) -> str | None:
        """Return the path of a program, or None."""
        try:
            return get_bin_path(arg, opt_dirs=opt_dirs)
        except ValueError as error:
            if required:
                self.fail_json(msg=str(error))
            return None

    def log(self, msg: str, log_args: dict | None = None) -> None:
        """Write to the host's journal, without the stage's secrets."""
        self.outer.no_log_values.update(self.no_log_values)
        self.outer.log(msg, log_args)

    def warn(self, warning: str) -> None:
        """Keep a warning for the one who called the stage."""
        self.warnings.append(warning)

    def deprecate(self, msg: str, **_options: Any) -> None:
        """Keep a deprecation as a warning."""
        self.warnings.append(msg)


def shown(args: Any) -> str:
    """Return a command for a message."""
    return args if isinstance(args, str) else " ".join(str(item) for item in args)


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Put back what a process has only once: environment, folder, umask, handlers of signals."""
    environment, folder, mask = dict(os.environ), os.getcwd(), os.umask(0o022)
    os.umask(mask)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        os.umask(mask)
        os.chdir(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def call(outer: Any, code: ModuleType, arguments: dict, check_mode: bool) -> dict:
    """Return what a stage gave to exit_json or fail_json, its warnings as `notes`; an error in its code is a failure.

    `outer` is the AnsibleModule around it; it learns the stage's secrets, so that nothing it returns shows them.
    """
    module = StageModule(outer, check_mode)
    with nothing_left_behind():
        try:
            module.take(code.ARGUMENT_SPEC, arguments)
            code.run(module)
            result = {"failed": True, "msg": "ended without a result"}
        except Ended as end:
            result = end.result
        except Exception as error:  # any error of a stage is reported with what the others did
            text = f"{type(error).__name__}: {error}"
            result = {"failed": True, "msg": text, "traceback": traceback.format_exc()}
    outer.no_log_values.update(module.no_log_values)
    if module.warnings:
        result["notes"] = module.warnings
    return result
