"""Deadlines on the monotonic clock: the only way in which this package waits."""

from __future__ import annotations

import math
import time
from typing import Optional

__all__ = ["Deadline"]


class Deadline:
    """A point in time, ``seconds`` from now; ``None`` means never.

    Raises ``ValueError`` for a negative number and for NaN.
    """

    def __init__(self, seconds: Optional[float]) -> None:
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"a time-out is a number of seconds, 0 or more, or None, not {seconds!r}")
        self.seconds = seconds
        self._at = math.inf if seconds is None else time.monotonic() + seconds

    def remaining(self) -> Optional[float]:
        """Seconds left, never below 0; None when there is no end."""
        return None if self._at == math.inf else max(0.0, self._at - time.monotonic())

    def passed(self) -> bool:
        """Whether the point in time is over."""
        return time.monotonic() >= self._at
