"""A receiver as others see it: with the fences that it keeps to itself, and as the control of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional

from .deadline import Deadline
from .errors import NotReceived
from .verdicts import is_sent, read_until

if TYPE_CHECKING:
    from .datagrams import Datagram, Sent
    from .receiver import Receiver

__all__ = ["Beside", "WithFences"]


class WithFences:
    """A receiver that delivers fences as well, as proofs need it."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.channel = receiver.channel

    def recv(self, timeout: Optional[float] = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived``."""
        datagram = self._receiver._next(Deadline(timeout))  # noqa: SLF001 - a part of it
        if datagram is None:
            raise NotReceived(f"nothing for {self._receiver.channel}")
        return datagram

    def __repr__(self) -> str:
        return repr(self._receiver)


class Beside:
    """A receiver as the control of another one."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        tap = receiver.control
        self.immediate = receiver.interface.loopback or (tap is not None and tap.immediate)

    def pull(self) -> None:
        """Leave it to the receiver beside."""

    def sighting(self, sent: Sent, deadline: Deadline) -> Optional[str]:
        """Say that the receiver beside has got the datagram; what else it got is still there for its ``recv()``."""
        passed, found = read_until(
            self._receiver, lambda datagram: is_sent(datagram, sent), deadline, wait=not self.immediate
        )
        self._receiver.give_back(passed)
        return None if found is None else f"{self._receiver!r} got it"

    def note(self, sent: Sent, text: str) -> None:
        """Keep nothing to comment on."""

    def account(self) -> List[str]:
        """Say what the receiver beside has got."""
        return [f"control: {self._receiver!r} {self._receiver.statistics()}"]
