"""The kernel's reasons for drops, as verdicts want them: those of one receiver's host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcast.wire import DropReasons

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["KernelDrops"]


class KernelDrops:
    """What the kernel drops while this thread sends; raises ``MissingCapability`` where it is not for us to know.

    It takes 10 ms to open and 100 ms to close: keep it. No reason means that nobody knows, not that nothing was dropped;
    see ``wire.DropReasons``.
    """

    def __init__(self) -> None:
        self._kernel = DropReasons()

    def mark(self) -> object:
        """Tell of what is dropped from now on; the value says nothing."""
        self._kernel.mark()
        return None

    def reasons_since(self, mark: object, last_hop: str | None) -> list[str]:  # noqa: ARG002 - the kernel has one mark
        """Return the reasons since the mark, of packets that an interface has sent last (None: of all), a line each.

        Every host on a link drops what it does not want, so the interface that leads to the host tells which it was.
        """
        return [str(drop) for drop in self._kernel.drops() if last_hop in (None, drop.sent_by)]

    def close(self) -> None:
        """Close it; again is no error."""
        self._kernel.close()

    def __enter__(self) -> KernelDrops:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
