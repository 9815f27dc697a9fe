"""What was attempted when the kernel refused a call: carried by the error, for who explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .channels import Channel
    from .interfaces import Interface

__all__ = ["Attempt"]


class Attempt:
    """What was attempted when the kernel refused: ``of(error)`` says it of an ``OSError`` of ours, None of others.

    Also of the ``InterfaceError`` of a sender whose interface has no address to send from, which the kernel would refuse.
    ``call`` is join (with the bind before it), leave, block, unblock, open (a sender) or send (``size``
    bytes, when that was one datagram). ``host`` is that on which it was attempted, when it was one of ours.
    """

    def __init__(self, call: str, channel: Channel, interface: Interface, size: Optional[int] = None) -> None:
        self.call = call
        self.channel = channel
        self.interface = interface
        self.size = size
        self.host: object = None

    @staticmethod
    def of(error: BaseException) -> Optional[Attempt]:
        """Return what was attempted."""
        return getattr(error, "mcast_attempt", None)

    def failed(self, error: Exception) -> None:
        """Have the error say it; the first one, next to the kernel, counts."""
        if self.of(error) is None:
            error.mcast_attempt = self  # type: ignore[attr-defined] # an error of the kernel's remains what it is
