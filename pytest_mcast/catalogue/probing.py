"""Cases in which a crafted datagram is sent, and what the receiver makes of it is established by control and fence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import Unsupported
from pytest_mcast.packets import Expectation, Prober, deliver, drop

from .case import Case, Probe, Setup

if TYPE_CHECKING:
    from pytest_mcast.cores import CoreReceiver
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.lab import VirtualHost

__all__ = ["LEGITIMATE", "ProbeCase"]

#: The evidence that comes first: what follows is about the probe.
LEGITIMATE = "a legitimate datagram was delivered, once and as it was sent"


@dataclass(frozen=True, eq=False)
class ProbeCase(Case):
    """A case that sends ``probe`` after what is in ``before``, and expects ``expect`` of the probe.

    ``probe`` and ``before`` are what ``Prober`` takes. ``before`` is sent without a verdict, such as the datagram whose
    fragments get into the way. ``setup`` is done to the hosts first. With a ``neighbour``, another receiver of the host
    wants the probe and gets it. ``direct``: over a cable, because a switch may drop it. ``groups``: the channel's group is
    one of these, such as ``ff0e::/16``; with ``refusable`` a core may refuse to join it, and the case is unsupported then.
    """

    probe: Probe = None
    before: Sequence[Probe] = ()
    expect: Expectation = drop()  # noqa: RUF009 - a frozen value
    setup: Sequence[Setup] = ()
    neighbour: bool = False
    direct: bool = False
    groups: str | None = None
    refusable: bool = False

    @property
    def expected(self) -> str:
        """What a correct receiver does, in words."""
        return str(self.expect)

    @property
    def expected_here(self) -> Expectation:
        """What a correct receiver does on this system."""
        difference = self.differences.get(sys.platform)
        return self.expect if difference is None else difference.expect

    def look(self, bench: Bench) -> None:
        """Send it, and judge."""
        bench.need(*self.needs)
        rx, tx = bench.lab.direct() if self.direct else bench.lab.hosts(2)
        for prepare in self.setup:
            prepare(bench, rx, tx)
        receiver = self._receiver(bench, rx, tx)
        with Prober(receiver, tx, rx, timeout=bench.timeout, drops=bench.drops) as probe:
            probe().expect(deliver())  # or nothing that is not delivered would mean anything
            bench.evidence.append(LEGITIMATE)
            for other in self.before:
                probe(other)
            verdict = probe(self.probe, neighbour=self.neighbour, expect=self.expected_here)
            verdict.check()
        bench.evidence.append(
            f"{'delivered' if verdict.delivered else 'not delivered'}: {verdict.control}; fence arrived"
        )
        bench.evidence += [f"the kernel dropped: {reason}" for reason in verdict.reasons]

    def _receiver(self, bench: Bench, rx: VirtualHost, tx: VirtualHost) -> CoreReceiver:
        channel = bench.channel(tx) if self.groups is None else bench.channel_in(self.groups, tx)
        try:
            return bench.open(channel, rx)
        except CoreFailure as failure:
            if not self.refusable or failure.kind != "refused":
                raise
            raise Unsupported(str(failure)) from failure
