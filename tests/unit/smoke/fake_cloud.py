# SPDX-License-Identifier: Apache-2.0
"""A cloud without HTTP: it gives fixed answers and keeps the requests."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.host.http import HttpError


class FakeCloud:
    """Answers by path: what a request returns, or a function of the query that returns it; 404 for other paths."""

    project_id = "p1"
    context = None

    def __init__(self, answers: dict) -> None:
        self.answers = answers
        self.requests: list = []

    def connect(self) -> None:
        """Log in."""

    def call(self, service: str, method: str, path: str, body: dict | None = None, query: dict | None = None) -> Any:
        """Return the answer to a request."""
        self.requests.append((method, path, body))
        if path not in self.answers:
            raise HttpError(f"{method} {path} -> 404", 404)
        answer = self.answers[path]
        return answer(query or {}) if callable(answer) else answer

    def get(self, service: str, path: str, **query: object) -> Any:
        """Return the answer to a GET request."""
        return self.call(service, "GET", path, query=query)

    def remove(self, service: str, path: str) -> bool:
        """Keep the request."""
        self.requests.append(("DELETE", path, None))
        return True

    def upload(self, image_id: str, path: str) -> None:
        """Keep the request."""
        self.requests.append(("UPLOAD", image_id, path))

    @property
    def removed(self) -> list[str]:
        """Return the paths of what was removed."""
        return [path for method, path, _body in self.requests if method == "DELETE"]
