from typing import Any

CONFIG_FILE: str | None

def __getattr__(name: str) -> Any: ...
