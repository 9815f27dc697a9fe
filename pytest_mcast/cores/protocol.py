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
    "CountsDrops",
    "ExpectedFailure",
    "Filters",
    "ReceiveCore",
    "Rejoins",
]

#: What a core can tell of a datagram: where it came from and was sent to, on which ``interface`` it came in, the
#: ``ttl`` or hop limit, the payload's ``length`` in bytes, and the ``payload`` itself.
FIELDS = ("source", "source_port", "group", "port", "interface", "ttl", "length", "payload")


class CoreFailure(McastError, AssertionError):  # noqa: N818 - a verdict on the core, like the others
    """A core did not do its work; the text is one sentence that says what it did instead, then its output.

    ``kind`` is one of ``wrong`` (it delivered what it should not, or not what it should), ``unsupported`` (it was asked for
    what it does not claim), ``refused`` (it said so itself), ``not ready``, ``died``, ``flooded`` (more output than anybody
    can want), ``rubbish`` (a record that is none) and ``killed`` (it had to be).
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class ExpectedFailure:
    """A known finding: ``behaviour`` fails, for these ``kinds`` of channel (empty: for all), and why.

    ``versions`` are those that have it, in the notation of Python packages (">=0.2.7,<0.4"; empty: all). Whoever passes
    all the same is reported, unless it fails only ``sometimes``, by chance or speed.
    """

    behaviour: str
    reason: str
    versions: str = ""
    kinds: tuple[str, ...] = ()
    sometimes: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What a core can do: for which families and modes, and which of ``FIELDS`` it tells of a datagram.

    ``rejoins``: its receivers can leave and join again without being closed (``Rejoins``). ``filters``: they can change
    which sources they accept (``Filters``). ``idle``: they read when they are asked, so that what nobody asks for stays
    in the kernel's buffer. ``counts_drops``: they know how many datagrams the kernel had no room for (``CountsDrops``).
    ``receive_buffer``: ``open()`` takes the size of that buffer in bytes by this name; ``max_size``: and how many bytes of
    a payload the receiver gives at the most, which has it as an attribute then.
    """

    families: tuple[str, ...] = FAMILIES
    modes: tuple[str, ...] = MODES
    fields: frozenset[str] = frozenset(FIELDS)
    rejoins: bool = False
    filters: bool = False
    idle: bool = False
    counts_drops: bool = False
    receive_buffer: bool = False
    max_size: bool = False


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


class Filters(CoreReceiver, Protocol):
    """A receiver whose sources can be changed while it is a member (RFC 3678 section 4.1).

    All of them take an address, and raise ``OSError`` when the system refuses; nothing has changed then.
    """

    def block(self, source: str) -> None:
        """Keep a source out of an any-source channel."""

    def unblock(self, source: str) -> None:
        """Let a blocked source in again."""

    def join_source(self, source: str) -> None:
        """Let in one more source of a source-specific channel."""

    def leave_source(self, source: str) -> None:
        """Give up one source of several."""


class CountsDrops(CoreReceiver, Protocol):
    """A receiver that knows what was lost."""

    def drops(self) -> int:
        """Return how many datagrams the kernel has dropped at this receiver for want of room."""


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
