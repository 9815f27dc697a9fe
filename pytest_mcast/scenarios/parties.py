"""The ends of cells: HOST or SUBJECT@HOST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_mcast.documents import Document, name_of, show

from .declarations import Declarations
from .errors import one_of
from .model import Party

__all__ = ["Parties"]


class Parties:
    """Reads the ends of cells."""

    def __init__(self, declared: Declarations) -> None:
        self._declared = declared
        self._found: dict[tuple[str, str], Party] = {}  # the same few come again and again

    def find(self, document: Document, where: Sequence[Any], text: str, role: str) -> Party:
        """Return the ``sender`` or ``receiver`` of that name.

        Raises ``ScenarioError`` for an unknown host or subject, and for a subject that cannot play the role.
        """
        if (text, role) not in self._found:
            self._found[text, role] = self._read(document, where, text, role)
        return self._found[text, role]

    def _read(self, document: Document, where: Sequence[Any], text: str, role: str) -> Party:
        subject, at, host = text.rpartition("@")
        if not at and host not in self._declared.hosts and host in self._declared.subjects:
            said = f"{name_of(where)}: {show(text)} is a subject, which needs a host: {text}@{next(iter(self._declared.hosts))}"
            raise document.failure(where, said)
        one_of(document, where, "host", host, self._declared.hosts)
        if not at:
            return Party(host)
        one_of(document, where, "subject", subject, self._declared.subjects)
        if getattr(self._declared.subjects[subject], role) is None:
            said = f"{name_of(where)}: {show(text)} is no {role}: subjects.{subject} has no key {role!r}"
            raise document.failure(where, said)
        return Party(host, subject)
