# SPDX-License-Identifier: Apache-2.0
"""Wait until HTTP services answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from ansible.module_utils.config.masking import mask_text

LONGEST_TRY = 15.0
ONLY_TRY = 5.0


def parse_url(url: str):
    """Return (scheme, host, port, path with query) or raise ValueError saying what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is no address to ask; give http://HOST[:PORT]/PATH or https://...")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, parts.port, path


def ask(url: str, patience: float, context=None) -> tuple:
    """Ask once and return (status or None, what was said)."""
    scheme, host, port, path = parse_url(url)
    if scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=patience, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=patience)
    try:
        connection.request("GET", path, headers={"Connection": "close", "User-Agent": "nova-ansible"})
        answer = connection.getresponse()
        answer.read(65536)
        return answer.status, f"{answer.status} {answer.reason}".strip()
    except socket.timeout:
        return None, f"no answer within {patience:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return None, str(error) or type(error).__name__
    finally:
        connection.close()


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
        "endpoints": {"type": "list", "elements": "dict", "required": True, "options": answer_spec},
        "timeout": {"type": "float", "default": 120},
        "interval": {"type": "float", "default": 0.5},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
    }


ARGUMENT_SPEC = argument_spec()


def run(module) -> None:
    """Ask all addresses until each has answered."""
    wanted, timeout = module.params["endpoints"], module.params["timeout"]
    context = None
    try:
        schemes = [parse_url(answer["url"])[0] for answer in wanted]
        if "https" in schemes:
            context = ssl.create_default_context(cafile=module.params["ca_path"])
            if not module.params["validate_certs"]:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"Cannot ask: {error}", endpoints=[], not_ready=[])

    def wait(answer):
        return wait_for(answer, timeout, module.params["interval"], module.check_mode, context)

    with ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        answers = list(pool.map(wait, wanted))
    late = [(answer, one["status"]) for answer, one in zip(answers, wanted) if not answer.pop("answered")]
    shown = {"module_args": {**module.params, "endpoints": [{**one, "url": mask_text(one["url"])} for one in wanted]}}
    result = {
        "changed": False,
        "invocation": shown,
        "endpoints": answers,
        "not_ready": [answer["name"] for answer, _statuses in late],
    }
    if late and not module.check_mode:
        lines = [f"{len(late)} of {len(answers)} did not answer within {timeout:.0f} s; read their logs:"]
        module.fail_json(msg="\n  - ".join(lines + [complaint(*one) for one in late]), **result)
    module.exit_json(**result)
