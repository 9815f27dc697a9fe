"""Senders in other programs: started in a virtual or remote host for a number of datagrams, and done when they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import ProgramError

from .programs import DescribedProgram, ending
from .protocol import ExpectedFailure

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.hosts import Host

__all__ = ["ExternalSender"]


class ExternalSender(DescribedProgram):
    """A sender that is a program, as a description of the kind ``sender`` has it."""

    @property
    def expected_failures(self) -> Sequence[ExpectedFailure]:
        """The known findings in the description."""
        return self.description.expected_failures

    def send(
        self,
        channel: Channel,
        host: Host,
        *,
        payload: str = "pytest-mcast",
        count: int = 1,
        ttl: int = 1,
        interface: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Have it send ``count`` datagrams with that text from an interface (default: the first) of a virtual or remote host.

        Returns when it has ended; raises ``CoreFailure`` when it says that it failed, or goes on for ``timeout`` seconds,
        and ``MissingCapability``.
        """
        place = self.check(channel, host)
        out = place.interface if interface is None else place.find(interface)
        program = self.start(place, channel, out, payload=payload, count=count, ttl=ttl)
        try:
            code = program.wait(timeout)
        except ProgramError:
            program.kill()
            raise self.failure("killed", f"it went on for {timeout:g} s, and was killed", program) from None
        if code != 0:
            raise self.failure("died", f"it ended with {ending(code)}", program)

    def __repr__(self) -> str:
        return f"<ExternalSender {self.name}>"
