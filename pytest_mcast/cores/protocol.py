"""What a receive core must look like to be driven: a few attributes, and ``open``.

Anything with these names is a receive core; nothing needs to be derived from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.core.errors import McastError

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.core.datagrams import Datagram
    from pytest_mcast.core.interfaces import Interface
    from pytest_mcast.hosts import Host

__all__ = [
    "FIELDS",
    "Capabilities",
    "CoreFailure",
    "CoreReceiver",
    "ExpectedFailure",
    "ReceiveCore",
    "Rejoins",
]

#: What a core can tell of a datagram: where it came from and was sent to, on which ``interface`` it came in, the
#: ``ttl`` or hop limit, the payload's ``length`` in bytes, and the ``payload`` itself.
FIELDS = ("source", "source_port", "group", "port", "interface", "ttl", "length", "payload")


class CoreFailure(McastError, AssertionError):  # noqa: N818 - a verdict on the core, like the others
    """A core did not do its work; the text is one sentence that says what it did instead, then its output.

    ``kind`` is one of ``wrong`` (it delivered what it should not, or not what it should), ``refused`` (it said so itself), ``not ready``, ``died``, ``flooded`` (more output than anybody can
    want), ``rubbish`` (a record that is none) and ``killed`` (it had to be).
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class ExpectedFailure:
    """A known finding: ``behaviour`` fails, for these ``kinds`` of channel (empty: for all), and why.

    ``versions`` are those that have it, in the notation of Python packages (">=0.2.7,<0.4"; empty: all). Whoever passes
    all the same is reported.
    """

    behaviour: str
    reason: str
    versions: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a core can do: for which families and modes, and which of ``FIELDS`` it tells of a datagram.

    ``rejoins``: its receivers can leave and join again without being closed (``Rejoins``). ``limits``: ``open`` takes
    ``max_size`` as well, how many bytes of a payload its receiver gives at the most, which has it as an attribute.
    """

    families: tuple[str, ...] = FAMILIES
    modes: tuple[str, ...] = MODES
    fields: frozenset[str] = frozenset(FIELDS)
    rejoins: bool = False
    limits: bool = False


class CoreReceiver(Protocol):
    """One channel on one host, received by the core; ``with`` waits until it is ready and closes it.

    It is a ``Receives``: it can be probed (``packets.Prober``).
    """

    @property
    def channel(self) -> Channel:
        """The channel."""

    @property
    def interface(self) -> Interface:
        """The interface that it was told to receive on."""

    @property
    def fields(self) -> frozenset[str]:
        """Which of ``FIELDS`` it tells of a datagram; what it does not is None, or "" and 0 in ``source``."""

    def ready(self, timeout: float = 10.0) -> str:
        """Wait until it receives, and return the evidence; raises ``CoreFailure`` after ``timeout`` seconds."""

    def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next datagram; raises ``NotReceived`` after ``timeout`` seconds, ``CoreFailure`` if none can come."""

    def close(self) -> None:
        """Leave and end; again is no error. Raises ``CoreFailure`` when it does not end as it should."""

    def __enter__(self) -> CoreReceiver: ...

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Rejoins(CoreReceiver, Protocol):
    """A receiver that can leave its channel and join it again."""

    def leave(self) -> None:
        """Give up the membership."""

    def join(self) -> None:
        """Become a member again; what came in meanwhile is not delivered."""


class ReceiveCore(Protocol):
    """A receive core: an implementation that receives channels."""

    @property
    def name(self) -> str:
        """Its name in tables and messages."""

    @property
    def version(self) -> str:
        """The version of what really runs; raises ``MissingCapability`` when it is not there."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def expected_failures(self) -> Sequence[ExpectedFailure]:
        """Its known findings; empty for one that has none."""

    def open(self, channel: Channel, host: Host, *, interface: str | None = None, timeout: float = 5.0) -> CoreReceiver:
        """Start to receive a channel on an interface (a name; default: the first) of a host.

        ``timeout`` in seconds is that of the receiver's ``recv()``. Raises ``CoreFailure`` when it cannot be started,
        ``MissingCapability`` when it is not there, or cannot run on that host.
        """
