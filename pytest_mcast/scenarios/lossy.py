"""Delivery over impaired cables: what these have not lost arrives, and as it came in; and what does not is proved there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.errors import NoVerdict
from pytest_mcast.core.verdicts import read_until

from .checks import TapControl, Unwanted

if TYPE_CHECKING:
    from pytest_mcast.core.datagrams import Datagram

    from .ends import Member
    from .stage import Station
    from .wires import Wires

__all__ = ["Arrived", "WireControl", "collect"]

_LOST = "lost on the way"
_LOOK = 0.05  # seconds after which it is looked again what the cables have done


class Arrived:
    """What came in, of some datagrams that a host sent: their ``payloads``, and what was ``got`` of them.

    ``in_order``: it is known in which order they came in.
    """

    def __init__(self, payloads: list[bytes], got: list[Datagram], *, in_order: bool) -> None:
        self.payloads = payloads
        self.got = got
        self._in_order = in_order

    def matched(self, member: Member) -> list[bytes]:
        """Return for each that was got the payload that it should have."""
        if self._in_order:
            return self.payloads
        left = list(self.payloads)
        found = []
        for datagram in self.got:
            payload = next((one for one in left if member.is_it(datagram, one)), left[0])
            left.remove(payload)
            found.append(payload)
        return found


def collect(
    member: Member,
    wires: Wires,
    sender: Station,
    payloads: Sequence[bytes],
    tap: TapControl,
    deadline: Deadline,
    *,
    is_help: Callable[[bytes], bool],
    nudge: Callable[[], object],
) -> Arrived:
    """Have the receiver deliver what the cables did not lose of what was just sent, up to the deadline.

    ``nudge`` sends a datagram after which one can come that is to come after the next one. Raises ``NoVerdict`` when not all of it
    has come to the cables.
    """
    copies = Counter(payloads)
    got: list[Datagram] = []
    while True:
        coming = {payload: wires.arrivals(sender, payload, count) for payload, count in copies.items()}
        known = [count for count in coming.values() if count is not None]
        if len(known) == len(coming) and len(got) >= sum(known):
            break
        if deadline.passed():
            break
        if wires.holds(sender):
            nudge()
        before, last = read_until(member, lambda _: True, Deadline(_LOOK))
        got += [one for one in (*before, *([last] if last else [])) if not is_help(one.payload)]
    if len(known) < len(coming):
        raise NoVerdict(f"no verdict: {len(coming) - len(known)} of {len(coming)} datagrams have not come to a cable")
    right = Counter({payload: count for payload, count in coming.items() if count})
    came = tap.came(payloads)
    in_order = Counter(came) == right  # else one was changed so that it looks like another one
    return Arrived(came if in_order else list(right.elements()), got, in_order=in_order)


class WireControl:
    """A control that sees what came in, and knows of the rest that it was lost on the way; for ``nudge`` see ``collect``."""

    strong = True

    def __init__(self, tap: TapControl, wires: Wires, sender: Station, nudge: Callable[[], object]) -> None:
        self._tap = tap
        self._nudge = nudge
        self._wires = wires
        self._sender = sender
        self._asked: Counter[bytes] = Counter()
        self._seen: Counter[bytes] = Counter()

    def pull(self) -> None:
        """Fetch what there is to see."""
        self._tap.pull()

    def sighting(self, payload: bytes, deadline: Deadline) -> str | None:
        """Say where the datagram was seen, or that it was lost on the way; None when neither is known up to the deadline."""
        self._asked[payload] += 1
        while True:
            came = len(self._tap.came([payload]))
            if came > self._seen[payload]:
                self._seen[payload] += 1
                return self._tap.sighting(payload, deadline)
            coming = self._wires.arrivals(self._sender, payload, self._asked[payload])
            if coming is not None and came >= coming:
                return _LOST
            if deadline.passed():
                return None
            if self._wires.holds(self._sender):
                self._nudge()
            self._tap.wait(Deadline(_LOOK))

    def unwanted(self, what: str, payloads: Sequence[bytes], deadline: Deadline) -> Unwanted:
        """Ask for what was just sent; raises ``NoVerdict`` when all of it was lost on the way."""
        found = Unwanted.sent(what, payloads, self, deadline)
        seen = [one for one in found.sightings if one != _LOST]
        lost = len(payloads) - len(seen)
        if not seen:
            account = self._wires.account(self._sender, payloads)
            raise NoVerdict("\n".join([f"no verdict on {what}: nothing came over the impaired cables", *account]))
        if lost and seen[0] is not None:
            seen[0] += f"; {lost} of {len(payloads)} lost on the way"
        return Unwanted(what, found.payloads, tuple(seen), found.strong)
