# SPDX-License-Identifier: Apache-2.0
"""Wait until HTTP endpoints are ready."""

from __future__ import annotations

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypedDict
from urllib.parse import urlsplit

from ansible.module_utils.config.masking import mask_text
from ansible.module_utils.host import http
from ansible.module_utils.message import Message, OperatorError
from ansible.module_utils.plan.in_process import StageModule

LONGEST_TRY = 15.0  # seconds
ONLY_TRY = 5.0
LONGEST_BODY = 65536  # bytes
MOST_AT_ONCE = 32


class Wanted(TypedDict):
    """An endpoint to wait for, as the parameters have it."""

    url: str
    status: list[int]
    name: str | None


class Found(NamedTuple):
    """The last answer of an endpoint; the status is None when there was none.

    text: the status line, or why there was no answer.
    seconds, tries: how long it took, and how often it was tried.
    """

    name: str
    url: str
    status: int | None
    text: str
    seconds: float
    tries: int


def check_url(url: str) -> str:
    """Return the scheme of a URL; raise OperatorError when it is not one of HTTP."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        valid = False
    if not valid:
        raise OperatorError(
            Message(f"{mask_text(url)} is not a valid URL; write http://HOST[:PORT]/PATH, or https://...")
        )
    return parts.scheme


def look(url: str, timeout: float, context: ssl.SSLContext | None) -> tuple[int | None, str]:
    """Send a request, and return the status and its text; without an answer None and the reason."""
    try:
        answer = http.send("GET", url, timeout=timeout, context=context, follow=False, limit=LONGEST_BODY)
    except http.HttpError as error:
        return None, error.reason
    return answer.status, f"{answer.status} {answer.reason}".strip()


def wait_for(wanted: Wanted, timeout: float, interval: float, once: bool, context: ssl.SSLContext | None) -> Found:
    """Send requests until the status is one of the wanted ones or the time is over; return the last answer."""
    began = time.monotonic()
    tries = 0
    while True:
        left = timeout - (time.monotonic() - began)
        status, text = look(wanted["url"], max(0.5, min(ONLY_TRY if once else LONGEST_TRY, left)), context)
        tries += 1
        seconds = time.monotonic() - began
        if status in wanted["status"] or once or seconds + interval >= timeout:
            url = mask_text(wanted["url"])
            return Found(wanted["name"] or url, url, status, text, round(seconds, 2), tries)
        time.sleep(interval)


def failure(found: Found, statuses: list[int]) -> Message:
    """Return the line of the error message about one endpoint."""
    name = "" if found.name == found.url else f"{found.name}: "
    wanted = " or ".join(str(status) for status in statuses)
    return Message(f"{name}{found.url} last gave '{found.text}' instead of {wanted} ({found.tries} tries)")


def argument_spec() -> dict[str, Any]:
    """Return the options, as DOCUMENTATION has them."""
    endpoint = {
        "url": {"type": "str", "required": True},
        "status": {"type": "list", "elements": "int", "default": [200]},
        "name": {"type": "str"},
    }
    return {
        "endpoints": {"type": "list", "elements": "dict", "required": True, "options": endpoint},
        "timeout": {"type": "float", "default": 120},
        "interval": {"type": "float", "default": 0.5},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
    }


ARGUMENT_SPEC = argument_spec()


def run(module: StageModule) -> None:
    """Send requests to all endpoints until each is ready."""
    params = module.params
    wanted: list[Wanted] = params["endpoints"]
    timeout: float = params["timeout"]
    context = None
    try:
        if "https" in [check_url(one["url"]) for one in wanted]:
            context = http.tls_context(params["ca_path"], params["validate_certs"])
    except OperatorError as error:
        module.fail_json(msg=error.message, endpoints=[], not_ready=[])

    def wait(one: Wanted) -> Found:
        return wait_for(one, timeout, params["interval"], module.check_mode, context)

    with ThreadPoolExecutor(max_workers=max(1, min(MOST_AT_ONCE, len(wanted)))) as pool:
        found = list(pool.map(wait, wanted))
    late = [(answer, one["status"]) for answer, one in zip(found, wanted) if answer.status not in one["status"]]
    shown = {"module_args": {**params, "endpoints": [{**one, "url": mask_text(one["url"])} for one in wanted]}}
    result = {
        "changed": False,
        "invocation": shown,
        "endpoints": [answer._asdict() for answer in found],
        "not_ready": [answer.name for answer, _statuses in late],
    }
    if late and not module.check_mode:
        head = Message(f"{len(late)} of {len(found)} endpoints are not ready after {timeout:.0f} s; read their logs:")
        module.fail_json(msg=Message("\n  - ".join([head, *(failure(*one) for one in late)])), **result)
    module.exit_json(**result)
