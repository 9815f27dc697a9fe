"""What rules, and the entries of ``matrix.include``, say of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mcast.documents import Document, name_of, show

from .model import Expectation

__all__ = ["Said", "check_marks", "read_said"]

# pytest's own, which change what an outcome means or need arguments; the language has words for the first.
_NO_MARKS = ("filterwarnings", "parametrize", "skip", "skipif", "usefixtures", "xfail")


@dataclass(frozen=True)
class Said:
    """What is said of a cell; None and nothing where nothing is said."""

    expectation: Expectation | None = None
    planned: str | None = None
    requires: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    notes: str | None = None


def read_said(document: Document, where: Sequence[Any], item: Mapping[str, Any]) -> Said:
    """Read the attributes of a rule or entry; raises ``ScenarioError`` for those that contradict each other."""
    name = name_of(where)
    expect, status, reason = item.get("expect"), item.get("status"), item.get("reason")
    sometimes = item.get("sometimes", False)
    if expect is not None and status is not None:
        raise document.failure([*where, "status"], f"{name}: what is {status} has no key 'expect'", of_key=True)
    if reason is None and (expect == "fail" or status is not None):
        key, value = ("expect", expect) if status is None else ("status", status)
        raise document.failure([*where, key], f"{name}: {key}: {value} needs the key 'reason'")
    if reason is not None and expect is None and status is None:
        text = f"{name}: {show(reason)} is the reason of nothing: neither 'expect' nor 'status' is there"
        raise document.failure([*where, "reason"], text)
    if sometimes and expect == "pass":
        raise document.failure([*where, "sometimes"], f"{name}: sometimes: true belongs to expect: fail or unsupported")
    marks = tuple(item.get("marks", ()))
    check_marks(document, [*where, "marks"], marks)
    return Said(
        expectation=None if expect is None else Expectation(expect, reason or "", sometimes),
        planned=reason if status is not None else None,
        requires=tuple(item.get("requires", ())),
        marks=marks,
        notes=item.get("notes"),
    )


def check_marks(document: Document, where: Sequence[Any], marks: Sequence[str]) -> None:
    """Raise ``ScenarioError`` for a mark that pytest gives a meaning of its own."""
    for number, mark in enumerate(marks):
        if mark in _NO_MARKS:
            at = [*where, number]
            text = f"{name_of(at)}: {show(mark)} is a mark with a meaning; use rules with expect, status and requires"
            raise document.failure(at, text)
