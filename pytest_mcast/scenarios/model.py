"""What a scenario file says, once it has been read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .impairments import ImpairmentSpec
from .paths import Paths

__all__ = [
    "AXES",
    "DELIVER",
    "Cell",
    "Expectation",
    "HostSpec",
    "LinkSpec",
    "Party",
    "RouterSpec",
    "Scenario",
    "Step",
    "SubjectSpec",
    "parse_id",
]

#: The axes that a cell has only if the file gives them, in the order in which they stand in its id.
AXES = ("scope", "size", "ttl", "loopback", "steps")

_PARTY = r"[A-Za-z][\w.-]*(?:@[A-Za-z][\w.-]*)?"
_ID = re.compile(
    rf"(?P<family>ipv[46])-(?P<mode>asm|ssm)\[(?P<sender>{_PARTY})->(?P<receiver>{_PARTY})(?P<more>(?:,[a-z]+=[\w.-]+)*)\]",
    re.ASCII,
)


@dataclass(frozen=True)
class LinkSpec:
    """A layer-2 segment between virtual hosts. With ``snooping`` its switch listens to IGMP and MLD, and has a querier.

    ``impair`` has what happens on the cables of hosts and routers there, by their names.
    """

    name: str
    snooping: bool = False
    igmp_version: int = 3
    mld_version: int = 2
    mtu: int | None = None
    impair: Mapping[str, ImpairmentSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class HostSpec:
    """A host by its name in the file; ``kind`` is ``local``, ``virtual``, ``remote`` or ``planned``.

    ``interface`` is the one that is used: of a virtual host one of ``interfaces`` (name to link) or ``lo``; of the others
    a name on that machine, None for the one that was named elsewhere or fits best. ``remote`` is the specification of
    execnet; ``system`` is ``linux``, ``macos`` or ``windows`` where the local machine has to be one.
    """

    name: str
    kind: str
    interface: str | None = None
    interfaces: Mapping[str, str] = field(default_factory=dict)
    sysctl: Mapping[str, str] = field(default_factory=dict)
    remote: str = ""
    system: str = ""
    requires: tuple[str, ...] = ()
    notes: str = ""
    reason: str = ""

    @property
    def link(self) -> str | None:
        """The link that a virtual host uses; None if that is no link."""
        return self.interfaces.get(self.interface or "")


@dataclass(frozen=True)
class RouterSpec:
    """A multicast router between virtual hosts; ``interfaces`` are names of its interfaces to links."""

    name: str
    interfaces: Mapping[str, str]


@dataclass(frozen=True)
class SubjectSpec:
    """An implementation; ``receiver`` and ``sender`` name a core or sender of the package, or are absolute paths of descriptions.

    Either may be None: it takes no part then. ``version`` is what has to run, in the notation of Python packages.
    """

    name: str
    receiver: str | None = None
    sender: str | None = None
    version: str = ""
    requires: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class Party:
    """An end of a cell: a host, and the subject on it (None: that of this package)."""

    host: str
    subject: str | None = None

    def __str__(self) -> str:
        return self.host if self.subject is None else f"{self.subject}@{self.host}"


@dataclass(frozen=True)
class Step:
    """One step of a sequence.

    ``action`` is ``join``, ``leave``, ``send``, ``block``, ``unblock`` or ``link``. ``count`` datagrams are sent by the
    host ``origin`` (empty: the cell's sender), and ``arrives`` says whether they must be delivered. ``source`` is the host
    that is blocked (empty: the cell's sender), ``state`` the new one of the link, ``up`` or ``down``.
    """

    action: str
    count: int = 3
    arrives: bool = True
    origin: str = ""
    source: str = ""
    state: str = ""

    def __str__(self) -> str:
        if self.action == "send":
            whom = f" from {self.origin}" if self.origin else ""
            return f"send {self.count}{whom}, {'delivered' if self.arrives else 'not delivered'}"
        return " ".join(filter(None, (self.action, self.source, self.state)))


#: The steps of a cell that names none.
DELIVER = (Step("join"), Step("send"))


@dataclass(frozen=True)
class Expectation:
    """What is to happen: ``pass``, ``fail`` or ``unsupported``, and why. ``sometimes``: a pass is no surprise either."""

    outcome: str = "pass"
    reason: str = ""
    sometimes: bool = False


@dataclass(frozen=True)
class Cell:
    """One sender, one receiver and their parameters.

    ``axes`` has those of ``AXES`` that the file gives, as text; ``steps`` is the sequence. ``size`` is in bytes of payload.
    ``line`` and ``column`` are where ``path`` declares it. ``planned`` is the reason why there is no machine yet.
    """

    sender: Party
    receiver: Party
    family: str
    mode: str
    path: Path
    line: int
    column: int = 1
    axes: Mapping[str, str] = field(default_factory=dict)
    scope: str | None = None
    size: int | None = None
    ttl: int | None = None
    loopback: bool | None = None
    steps: tuple[Step, ...] = DELIVER
    expectation: Expectation = Expectation()
    requires: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    notes: str = ""
    planned: str | None = None

    @property
    def id(self) -> str:
        """The stable name of the cell: ``ipv4-ssm[one->two]``, ``ipv4-ssm[one->mcrx@two,size=1472]``."""
        more = "".join(f",{name}={self.axes[name]}" for name in AXES if name in self.axes)
        return f"{self.family}-{self.mode}[{self.sender}->{self.receiver}{more}]"

    def as_dict(self) -> dict[str, str]:
        """Return the key of the cell as plain data."""
        key = {"sender": str(self.sender), "receiver": str(self.receiver), "family": self.family, "mode": self.mode}
        return {**key, **self.axes}


@dataclass(frozen=True)
class Scenario:
    """A file: what it declares, by name, and its cells in order."""

    path: Path
    title: str
    hosts: Mapping[str, HostSpec]
    cells: tuple[Cell, ...]
    links: Mapping[str, LinkSpec] = field(default_factory=dict)
    routers: Mapping[str, RouterSpec] = field(default_factory=dict)
    subjects: Mapping[str, SubjectSpec] = field(default_factory=dict)
    notes: str = ""

    @cached_property
    def paths(self) -> Paths:
        """The ways from link to link."""
        return Paths(self.routers)


def parse_id(text: str) -> dict[str, str] | None:
    """Return the key in the id of a cell; None if it is none."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    key = match.groupdict()
    more = key.pop("more").split(",")[1:]
    return {**key, **dict(pair.split("=", 1) for pair in more)}
