"""The error of scenario files, and the steps from a file to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_mcast.documents import Document, DocumentError, choices, name_of, show

__all__ = ["ScenarioError", "one_of"]


class ScenarioError(DocumentError):
    """A scenario file that cannot be used; the text starts with ``file:line:column``."""


def one_of(
    document: Document, where: Sequence[Any], what: str, value: str, known: Iterable[str], *, of_key: bool = False
) -> None:
    """Raise the error about the value at ``where`` unless it is one of what is known."""
    known = list(known)
    if value not in known:
        text = f"{name_of(where)}: there is no {what} {show(value)}; {choices(value, known or ['none'])}"
        raise document.failure(where, text, of_key=of_key)
