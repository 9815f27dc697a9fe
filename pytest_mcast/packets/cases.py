"""The edge cases: what is different from a legitimate datagram, and what a correct receiver does.

"Correct" is what the RFC of the case asks for, and what Linux does, where the two agree.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_mcast.core.channels import FAMILIES, MODES

from .expectations import Expectation, deliver, drop

__all__ = ["CASES", "Case", "case", "cases"]


@dataclass(frozen=True)
class Case:
    """One edge case.

    ``changes`` are those fields of ``Packet`` that differ from a legitimate datagram; the value ``"other"`` stands for
    another source, group or port than the receiver's. ``packet`` is what is sent where that does not say it: all that a
    ``Prober`` takes. With a ``neighbour`` another receiver of the same host does want the datagram, so that the host lets
    it in and the receiver alone can keep it out. ``delivered`` is what a correct receiver does with it, ``expect`` says
    that more exactly; ``reference`` says who asks for that, ``reason`` why.
    """

    id: str
    changes: Mapping[str, object] = field(hash=False)
    delivered: bool
    reference: str
    reason: str
    neighbour: bool = False
    families: tuple[str, ...] = FAMILIES
    modes: tuple[str, ...] = MODES
    packet: Any = None
    expect: Expectation | None = None

    def __post_init__(self) -> None:
        if self.expect is not None and self.expect.delivered != self.delivered:
            raise ValueError(f"{self.id}: delivered={self.delivered} and expect={self.expect} contradict each other")
        object.__setattr__(self, "changes", MappingProxyType(dict(self.changes)))

    @property
    def expectation(self) -> Expectation:
        """What a correct receiver does with it."""
        return self.expect or (deliver() if self.delivered else drop())

    def __str__(self) -> str:
        return self.id


CASES = (
    Case("legitimate", {}, True, "RFC 1112 section 7.2, RFC 4291 section 2.7", "the group, the port, a source let in"),
    Case(
        "ssm.wrong-source",
        {"source": "other"},
        False,
        "RFC 4607 section 4.2",
        "a source-specific receiver gets its source only",
        modes=("ssm",),
    ),
    Case(
        "ssm.wrong-source-with-neighbour",
        {"source": "other"},
        False,
        "RFC 4607 section 4.2",
        "though another receiver of the host wants any source",
        neighbour=True,
        modes=("ssm",),
    ),
    Case(
        "asm.any-source",
        {"source": "other"},
        True,
        "RFC 1112 section 7.2, RFC 4291 section 2.7",
        "an any-source receiver gets every source",
        modes=("asm",),
    ),
    Case(
        "group.other",
        {"group": "other"},
        False,
        "RFC 1112 section 7.2, RFC 4291 section 2.7",
        "another group on the same port, which another receiver of the host has joined",
        neighbour=True,
    ),
    Case(
        "port.other",
        {"port": "other"},
        False,
        "RFC 1122 section 4.1.3.1, RFC 768",
        "another port of the same group, which another receiver of the host has bound",
        neighbour=True,
    ),
    Case(
        "checksum.bad",
        {"checksum": "bad"},
        False,
        "RFC 1122 section 4.1.3.4, RFC 8200 section 8.1",
        "a datagram whose UDP checksum is wrong is discarded",
    ),
    Case(
        "ttl.zero",
        {"ttl": 0},
        True,
        "RFC 1122 section 3.2.1.7, RFC 8200 section 3",
        "a TTL or hop limit of 0 is the business of routers, not of the destination",
    ),
    Case(
        "size.fragmented",
        {"size": 4000},
        True,
        "RFC 1122 section 3.3.2, RFC 8200 section 4.5",
        "a datagram larger than the MTU is put together again",
    ),
    Case(
        "size.largest",
        {"size": 65507},
        True,
        "RFC 1122 section 3.3.2, RFC 8200 section 4.5",
        "the largest IPv4 datagram is put together again, though the RFCs ask for 576 and 1500 bytes only",
    ),
)


def case(id: str) -> Case:  # noqa: A002 - the field's word
    """Return the case of that id; raises ``LookupError`` with the ids there are."""
    found = next((one for one in CASES if one.id == id), None)
    if found is None:
        ids = [one.id for one in CASES]
        near = difflib.get_close_matches(str(id), ids, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise LookupError(f"there is no case {id!r}; {hint}there are {', '.join(ids)}")
    return found


def cases(family: str, mode: str) -> Iterator[Case]:
    """Yield the cases for a kind of channel; raises ``ValueError`` when there is no such kind."""
    for value, choices in ((family, FAMILIES), (mode, MODES)):
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return (one for one in CASES if family in one.families and mode in one.modes)
