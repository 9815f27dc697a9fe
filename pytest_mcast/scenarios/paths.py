"""The ways from link to link through the routers of a file; pure data, so that a file with no way is refused when it is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Cell, HostSpec, RouterSpec

__all__ = ["NOT_FORWARDED", "Hop", "Paths", "Way", "names_of"]

#: Scopes whose groups no router forwards (RFC 4291 section 2.7).
NOT_FORWARDED = ("interface-local", "link-local")


@dataclass(frozen=True)
class Hop:
    """A router on the way: by which of its interfaces datagrams come in, and by which they go out."""

    router: str
    incoming: str
    outgoing: str


#: The routers on the way, in order; none where no router is needed.
Way = tuple[Hop, ...]


class Paths:
    """The shortest ways between links; of two that are equally short that of the routers that are declared first."""

    def __init__(self, routers: Mapping[str, RouterSpec]) -> None:
        self._routers = routers
        self._from: dict[str, dict[str, Way]] = {}  # a file may have a hundred thousand cells

    def find(self, start: str, end: str) -> Way | None:
        """Return the way from a link to another one; None when there is none."""
        if start not in self._from:
            self._from[start] = self._search(start)
        return self._from[start].get(end)

    def between(self, one: HostSpec, other: HostSpec) -> Way | None:
        """Return the way from the interface that a host uses to that of another one; None when both are virtual and there is none."""
        if one.name == other.name or not one.kind == other.kind == "virtual":
            return ()
        start, end = one.link, other.link
        return None if start is None or end is None else self.find(start, end)

    def of(self, cell: Cell, hosts: Mapping[str, HostSpec]) -> dict[str, Way]:
        """Return the ways of what is sent in a cell, by the host that sends; empty where there is none."""
        receiver = hosts[cell.receiver.host]
        senders = dict.fromkeys([cell.sender.host, *(step.origin for step in cell.steps if step.origin)])
        return {name: self.between(hosts[name], receiver) or () for name in senders}

    def _search(self, start: str) -> dict[str, Way]:
        """Go from link to link, breadth first."""
        found: dict[str, Way] = {start: ()}
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            for router in self._routers.values():
                for incoming, link in router.interfaces.items():
                    if link != here:
                        continue
                    for outgoing, there in router.interfaces.items():
                        if there not in found:
                            found[there] = (*found[here], Hop(router.name, incoming, outgoing))
                            waiting.append(there)
        return found


def names_of(way: Way) -> str:
    """Name the routers, as in a sentence."""
    names = [hop.router for hop in way]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))
