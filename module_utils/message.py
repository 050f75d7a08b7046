# SPDX-License-Identifier: Apache-2.0
"""Messages for the operator.

A text that can reach the operator as an error, a problem of a host or a warning is marked where it is written:
`Message(f"port {port} is taken by {process}")`. The mark costs nothing at run time. It lets the type checker refuse
an unmarked text as the message of an error, and lets the tests compare docs/troubleshoot/ with the source.
"""

from __future__ import annotations

from typing import NewType

Message = NewType("Message", str)


class OperatorError(Exception):
    """An error that the operator can act on; its text names the problem, the value and the remedy."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)

    @property
    def message(self) -> Message:
        """Return the text."""
        return Message(str(self))


def located(place: str, error: object) -> Message:
    """Return the text of an error with the place in front of it, unless it is there already or there is no place."""
    text = str(error)
    return Message(text if not place or text.startswith(f"{place}: ") else ": ".join([place, text]))
