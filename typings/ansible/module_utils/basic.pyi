from typing import Any, NoReturn

from ansible.module_utils.message import Message

class AnsibleModule:
    params: dict[str, Any]
    check_mode: bool
    _diff: bool
    no_log_values: set[str]
    def __init__(
        self,
        argument_spec: dict[str, Any],
        *,
        supports_check_mode: bool = ...,
        mutually_exclusive: list[Any] | None = ...,
        required_together: list[Any] | None = ...,
        required_one_of: list[Any] | None = ...,
        required_if: list[Any] | None = ...,
        required_by: dict[str, Any] | None = ...,
    ) -> None: ...
    def exit_json(self, **kwargs: Any) -> NoReturn: ...
    def fail_json(self, msg: Message, **kwargs: Any) -> NoReturn: ...
    def warn(self, warning: Message) -> None: ...
    def log(self, msg: str, log_args: dict[str, Any] | None = ...) -> None: ...
    def get_bin_path(self, arg: str, required: bool = ..., opt_dirs: list[str] | None = ...) -> str | None: ...
    def run_command(self, args: list[str], **kwargs: Any) -> tuple[int, str, str]: ...

def missing_required_lib(library: str, reason: str | None = ..., url: str | None = ...) -> Message: ...
