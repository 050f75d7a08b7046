# SPDX-License-Identifier: Apache-2.0
"""Run the code of a stage module inside another module.

Parameters are checked as Ansible checks them, and the process is left as it was for the next stage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn, Protocol

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.process import get_bin_path
from ansible.module_utils.errors import UnsupportedError
from ansible.module_utils.message import Message

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class StageModule(Protocol):
    """The part of AnsibleModule that the code of a stage may use; AnsibleModule and InnerModule both have it."""

    params: dict[str, Any]
    check_mode: bool
    no_log_values: set[str]

    def exit_json(self, **kwargs: Any) -> NoReturn:
        """End the stage with a result."""

    def fail_json(self, msg: Message, **kwargs: Any) -> NoReturn:
        """End the stage with a failure."""

    def warn(self, warning: Message) -> None:
        """Add a warning to the result."""

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        """Write to the journal of the host."""

    def get_bin_path(self, arg: str, required: bool = False, opt_dirs: list[str] | None = None) -> str | None:
        """Return the path of a program, or None."""

    def run_command(self, args: list[str], **kwargs: Any) -> tuple[int, str, str]:
        """Run a command and return its status, output and error output."""


class Ended(BaseException):
    """End a stage. Not an Exception, so that a stage's own handlers let it pass, as they do SystemExit."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


class InnerModule:
    """Stand in for AnsibleModule inside a stage; the outer module, which Ansible started, runs the commands."""

    def __init__(self, outer: StageModule, check_mode: bool) -> None:
        self.outer = outer
        self.check_mode = check_mode
        self.params: dict[str, Any] = {}
        self.no_log_values: set[str] = set()
        self.warnings: list[Message] = []

    def take(self, spec: dict[str, Any], arguments: dict[str, Any]) -> None:
        """Check the arguments as AnsibleModule does: defaults, types, suboptions, secrets."""
        checked = ArgumentSpecValidator(spec).validate(arguments)
        self.params = checked.validated_parameters
        self.no_log_values.update(checked._no_log_values)  # AnsibleModule reads the same attribute
        errors = [
            f"{'Unsupported parameters: ' if isinstance(error, UnsupportedError) else ''}{error}"
            for error in checked.errors
        ]
        if errors:
            self.fail_json(Message("; ".join(errors)))

    def exit_json(self, **kwargs: Any) -> NoReturn:
        """End the stage."""
        raise Ended({"changed": False, **kwargs})

    def fail_json(self, msg: Message, **kwargs: Any) -> NoReturn:
        """End the stage with a failure."""
        kwargs.pop("exception", None)
        raise Ended({"changed": False, **kwargs, "failed": True, "msg": str(msg)})

    def run_command(self, args: list[str], check_rc: bool = False, **kwargs: Any) -> tuple[int, str, str]:
        """Run a command; a failure ends the stage, not the outer module."""
        try:
            code, out, err = self.outer.run_command(args, check_rc=False, handle_exceptions=False, **kwargs)
        except OSError as error:
            self.fail_json(Message(f"'{shown(args)}' cannot be run: {error.strerror or error}"), rc=error.errno)
        if check_rc and code != 0:
            self.fail_json(Message(f"'{shown(args)}' failed: {(err or out).strip()}"), rc=code)
        return code, out, err

    def get_bin_path(self, arg: str, required: bool = False, opt_dirs: list[str] | None = None) -> str | None:
        """Return the path of a program, or None."""
        try:
            return get_bin_path(arg, opt_dirs=opt_dirs)
        except ValueError as error:
            if required:
                self.fail_json(Message(str(error)))
            return None

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        """Write to the journal of the host, with the secrets of the stage masked."""
        self.outer.no_log_values.update(self.no_log_values)
        self.outer.log(msg, log_args)

    def warn(self, warning: Message) -> None:
        """Keep a warning for the caller of the stage."""
        self.warnings.append(warning)

    def deprecate(self, msg: str, **_options: Any) -> None:
        """Keep a deprecation as a warning; Ansible's own code may call it."""
        self.warnings.append(Message(msg))


def shown(args: list[str] | str) -> str:
    """Return a command for a message."""
    return args if isinstance(args, str) else " ".join(str(item) for item in args)


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Restore what a process has only once: environment, working directory, umask, signal handlers."""
    environment, directory, mask = dict(os.environ), os.getcwd(), os.umask(0o022)
    os.umask(mask)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        os.umask(mask)
        os.chdir(directory)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def call(outer: StageModule, code: ModuleType, arguments: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return what a stage passed to exit_json or fail_json, with its warnings as `notes`.

    An exception in the code of the stage is a failure with its traceback. `outer` learns the secrets of the stage, so
    that they are masked in everything that it returns.
    """
    module = InnerModule(outer, check_mode)
    with process_restored():
        try:
            module.take(code.ARGUMENT_SPEC, arguments)
            code.run(module)
            result: dict[str, Any] = {"failed": True, "msg": Message("the stage ended without a result")}
        except Ended as end:
            result = end.result
        except Exception as error:  # any error of a stage is reported with the results of the others
            text = Message(f"unexpected {type(error).__name__}: {error}")
            result = {"failed": True, "msg": text, "traceback": traceback.format_exc()}
    outer.no_log_values.update(module.no_log_values)
    if module.warnings:
        result["notes"] = module.warnings
    return result
