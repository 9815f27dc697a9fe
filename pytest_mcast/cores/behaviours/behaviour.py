"""Behaviours as data: what a receive core is to do, who says so, and the function that looks whether it does."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from pytest_mcast.core.channels import FAMILIES, MODES

from .bench import Bench

__all__ = ["BEHAVIOURS", "Behaviour", "behaviour", "find_behaviour"]


@dataclass(frozen=True)
class Behaviour:
    """One behaviour. ``run`` returns when the core behaves, and raises ``AssertionError`` when not.

    It raises ``Unsupported`` for what the core does not claim, ``NoVerdict`` when nothing is established.
    """

    id: str
    title: str
    reference: str
    run: Callable[[Bench], None]
    families: tuple[str, ...] = FAMILIES
    modes: tuple[str, ...] = MODES


#: All of them, in the order of the table.
BEHAVIOURS: list[Behaviour] = []


def behaviour(
    id: str,  # noqa: A002 - the field's word
    title: str,
    reference: str,
    *,
    families: tuple[str, ...] = FAMILIES,
    modes: tuple[str, ...] = MODES,
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Declare a function to be what looks at a behaviour; the arguments are those of ``Behaviour``."""

    def declare(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        BEHAVIOURS.append(Behaviour(id, title, reference, run, families, modes))
        return run

    return declare


def find_behaviour(id: str) -> Behaviour:  # noqa: A002 - the field's word
    """Return the behaviour of that id; raises ``LookupError`` with the ids there are."""
    found = next((one for one in BEHAVIOURS if one.id == id), None)
    if found is None:
        ids = [one.id for one in BEHAVIOURS]
        near = difflib.get_close_matches(id, ids, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise LookupError(f"there is no behaviour {id!r}; {hint}there are {', '.join(ids)}")
    return found
