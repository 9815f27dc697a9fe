"""How a cell ends that neither passes nor fails."""

from __future__ import annotations

from pytest_mcast.core.errors import McastError

__all__ = ["Excused", "Unready"]


class Excused(McastError, RuntimeError):  # noqa: N818 - no error, but a statement
    """A cell that is not run, and why: ``mcast_outcome`` is ``unsupported``, ``planned`` or ``not-run``."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.mcast_outcome = outcome


class Unready(McastError, RuntimeError):  # noqa: N818 - as NoVerdict
    """What a cell needs is not as the file says, or cannot be believed; nothing is said about what was to be tested."""

    #: The outcome of a test that ended with it.
    mcast_outcome = "error"
