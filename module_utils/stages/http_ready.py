# SPDX-License-Identifier: Apache-2.0
"""Wait until HTTP services answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from ansible.module_utils.config.masking import mask_text
from ansible.module_utils.host import http
from ansible.module_utils.message import Message, OperatorError

LONGEST_TRY = 15.0
ONLY_TRY = 5.0


def check_url(url: str) -> str:
    """Return the scheme of a URL; raise OperatorError when it is not one."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is not a number
        valid = False
    if not valid:
        raise OperatorError(
            Message(f"{mask_text(url)} is not a valid URL; write http://HOST[:PORT]/PATH or https://...")
        )
    return parts.scheme


def ask(url: str, patience: float, context=None) -> tuple:
    """Send one request and return status (or None) and text."""
    try:
        answer = http.send("GET", url, timeout=patience, context=context, follow=False, limit=65536)
    except http.HttpError as error:
        return None, error.reason
    return answer.status, f"{answer.status} {answer.reason}".strip()


def wait_for(answer: dict, timeout: float, interval: float, once: bool, context=None) -> dict:
    """Ask until the status is a wanted one or the time is over."""
    begin = time.monotonic()
    tries = 0
    while True:
        left = timeout - (time.monotonic() - begin)
        status, said = ask(answer["url"], max(0.5, min(ONLY_TRY if once else LONGEST_TRY, left)), context)
        tries += 1
        answered = status in answer["status"]
        seconds = time.monotonic() - begin
        if answered or once or seconds + interval >= timeout:
            name = answer["name"] or mask_text(answer["url"])
            shown = {"name": name, "url": mask_text(answer["url"]), "status": status, "said": said}
            return {**shown, "seconds": round(seconds, 2), "tries": tries, "answered": answered}
        time.sleep(interval)


def complaint(answer: dict, wanted: list) -> str:
    """Return the line of the error message about one address."""
    statuses = " or ".join(str(status) for status in wanted)
    name = "" if answer["name"] == answer["url"] else f"{answer['name']}: "
    return f"{name}{answer['url']} last said '{answer['said']}' instead of {statuses} ({answer['tries']} tries)"


def argument_spec() -> dict:
    """Return the options, as DOCUMENTATION has them."""
    answer_spec = {
        "url": {"type": "str", "required": True},
        "status": {"type": "list", "elements": "int", "default": [200]},
        "name": {"type": "str"},
    }
    return {
        "answers": {"type": "list", "elements": "dict", "required": True, "options": answer_spec},
        "timeout": {"type": "float", "default": 120},
        "interval": {"type": "float", "default": 0.5},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
    }


ARGUMENT_SPEC = argument_spec()


def run(module) -> None:
    """Ask all addresses until each has answered."""
    wanted, timeout = module.params["answers"], module.params["timeout"]
    context = None
    try:
        schemes = [check_url(answer["url"]) for answer in wanted]
        if "https" in schemes:
            context = http.tls_context(module.params["ca_path"], module.params["validate_certs"])
    except OperatorError as error:
        module.fail_json(msg=f"Cannot ask: {error}", answers=[], unanswered=[])

    def wait(answer):
        return wait_for(answer, timeout, module.params["interval"], module.check_mode, context)

    with ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        answers = list(pool.map(wait, wanted))
    late = [(answer, one["status"]) for answer, one in zip(answers, wanted) if not answer.pop("answered")]
    shown = {"module_args": {**module.params, "answers": [{**one, "url": mask_text(one["url"])} for one in wanted]}}
    result = {
        "changed": False,
        "invocation": shown,
        "answers": answers,
        "unanswered": [answer["name"] for answer, _statuses in late],
    }
    if late and not module.check_mode:
        lines = [f"{len(late)} of {len(answers)} did not answer within {timeout:.0f} s; read their logs:"]
        module.fail_json(msg="\n  - ".join(lines + [complaint(*one) for one in late]), **result)
    module.exit_json(**result)
