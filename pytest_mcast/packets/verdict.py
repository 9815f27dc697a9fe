"""The verdict on a crafted datagram: it compares, and explains itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_mcast.core.errors import Delivered, NotReceived
from pytest_mcast.core.verdicts import Verdict

from .expectations import Expectation, deliver, drop
from .explain import describe_frames
from .shot import Shot, Sight

__all__ = ["ProbeVerdict"]

_SHOWN = 4  # datagrams, and faults


@dataclass(frozen=True)
class ProbeVerdict(Verdict):
    """What a receiver has made of a probe.

    ``expectation`` is what a correct receiver does, if it is known; ``beside`` are the verdicts on the other receivers.
    ``shot`` is what was sent, ``sight`` what the receiver can see of it, ``reasons`` why the kernel dropped it, where it
    says so. As a text it has the frames, and what the kernel has counted since the prober was opened.
    """

    expectation: Expectation | None = None
    shot: Shot = field(default_factory=lambda: Shot(0, "", (), None), compare=False, repr=False)
    sight: Sight = field(default_factory=Sight, compare=False, repr=False)
    reasons: tuple[str, ...] = ()
    counted: Callable[[], str] = field(default=str, compare=False, repr=False)
    beside: tuple[ProbeVerdict, ...] = ()

    def expect(self, expectation: Expectation) -> ProbeVerdict:
        """Return the verdict itself when it is as expected.

        Raises ``NotReceived`` when too few copies were delivered, ``Delivered`` when too many were, or when the receiver
        says of one something else than what was sent.
        """
        copies = len(self.datagrams)
        if copies < expectation.least:
            what = (
                "not delivered" if copies == 0 else f"delivered {_times(copies)} instead of {expectation.least} times"
            )
            raise NotReceived(f"{what}: {self.probe}\n{self.evidence}")
        if copies > expectation.most:
            much = f" {_times(copies)} instead of {_times(expectation.most)}" if expectation.most else ""
            raise Delivered(f"delivered{much}: {self.probe}\n{self.evidence}")
        faults = self.faults(expectation)
        if faults:
            listed = "; ".join(faults[:_SHOWN])
            raise Delivered(f"delivered otherwise than it was sent: {listed}: {self.probe}\n{self.evidence}")
        return self

    def faults(self, expectation: Expectation | None = None) -> list[str]:
        """Say in words what the receiver says otherwise than it was sent; empty when there is nothing wrong."""
        wanted = expectation or self.expectation or deliver()
        found = [fault for one in self.datagrams for fault in self.shot.faults(one, self.sight, wanted)]
        return list(dict.fromkeys(found))

    def expect_delivered(self, copies: int | None = None) -> ProbeVerdict:
        """Expect it as it was sent, so many times (default: as often as it was sent); for what is raised see ``expect``."""
        known = self.expectation
        if copies is None and known is not None and known.delivered:
            return self.expect(known)
        return self.expect(deliver(self.shot.copies if copies is None else copies))

    def expect_not_delivered(self) -> ProbeVerdict:
        """Expect that it was not delivered; raises ``Delivered`` with the evidence when it was."""
        return self.expect(drop())

    def check(self) -> ProbeVerdict:
        """Expect what a correct receiver does; raises as ``expect``, and ``ValueError`` when that is not known."""
        if self.expectation is None:
            raise ValueError("nothing says whether it should be delivered: use expect_delivered() or its opposite")
        return self.expect(self.expectation)

    @property
    def evidence(self) -> str:
        """The evidence in words, a line each: control, fence, receiver, datagrams, frames, counters, reasons."""
        lines = [super().evidence]
        lines += [f"and {len(self.datagrams) - _SHOWN} times more"] if len(self.datagrams) > _SHOWN else []
        lines += [f"wrong: {fault}" for fault in self.faults()[:_SHOWN]]
        lines += [f"the kernel dropped: {reason}" for reason in self.reasons[:_SHOWN]]
        counted = self.counted()
        lines += [counted] if counted else []
        lines += describe_frames(self.shot.frames)
        return "\n".join(lines)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
