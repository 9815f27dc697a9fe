"""Why the kernel has dropped a packet: its own reason, from the tracepoint ``skb:kfree_skb`` (Linux 5.17).

A packet that is sent to a virtual host, or to oneself over loopback, is received there, and dropped, before ``send``
returns, in the thread that sends it: through switches, and reassembled from fragments too. This thread is what is
watched. What something else drops is not seen; that there is no drop says nothing then:

* a reader in another thread or process: the checksum of a UDP datagram of more than 76 bytes, with its header, is verified
  when it is read;
* a timer: a datagram whose fragments never came;
* ksoftirqd, when the kernel has too much to do (netdev_budget_usecs), and the threads of threaded NAPI;
* another machine, and a real network card.

What a packet socket takes as well, such as a tap, is not dropped for want of a protocol (``UNHANDLED_PROTO``).

What a timer or an interrupt sends or receives in the meantime is told as well, such as a report of a membership. Nor does
the kernel say in which namespace it was. Every host on a link, and the switch itself, drops a multicast frame
that it has no use for (``NOT_SPECIFIED@ip_rcv_finish_core``): the interfaces that a packet has crossed tell them apart.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from functools import cache
from types import TracebackType

from pytest_mcast.core.errors import MissingCapability

from .kallsyms import function_at
from .perf import TracepointRing
from .tracefs import Tracepoint, kind_of, read_tracepoints

__all__ = ["Drop", "DropReasons"]

_NAMES = ("skb/kfree_skb", "net/net_dev_start_xmit", "net/netif_receive_skb")
_NO_REASON = "NOT_SPECIFIED"  # the first of the reasons; what is before it is no drop (dropreason-core.h)
_CAPABILITY = "drop-reasons"
_REFUSED = (errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Drop:
    """A packet that the kernel dropped.

    ``reason`` is the kernel's name for it (``enum skb_drop_reason``), such as ``UDP_CSUM``; ``NOT_SPECIFIED`` where it
    gives none. ``function`` is the kernel's function, None where the kernel does not tell. ``protocol`` is the EtherType,
    0 if there is none. ``sent_by`` and ``received_by`` are the interfaces that the packet went out of and came in by
    last, since the mark; None for neither. On a link of a lab the first is the ``device`` of the host's port.
    ``timestamp_ns`` counts nanoseconds since 1970.
    """

    reason: str
    function: str | None
    protocol: int
    sent_by: str | None
    received_by: str | None
    timestamp_ns: int

    def __str__(self) -> str:
        where = f" in {self.function}" if self.function else ""
        way = f", from {self.sent_by} to {self.received_by}" if self.sent_by and self.received_by else ""
        return f"{self.reason}{where}{way}"


class DropReasons:
    """The packets that are dropped while the thread runs that has opened this, whichever thread asks.

    The first one is opened in about 10 ms, and the last one is closed in 100 ms, when the kernel waits until nobody uses
    the tracepoints any more: it is made to be kept. Raises ``MissingCapability`` where the kernel cannot tell, or not us: it takes CAP_PERFMON and CAP_SYS_ADMIN of the
    machine, which nobody has in a user namespace. That is found out once.
    """

    def __init__(self) -> None:
        found = _tracepoints()
        if isinstance(found, MissingCapability):
            raise MissingCapability(*found.args)  # a new one: each has a traceback of its own
        self._dropped, self._sent, self._received = found
        try:
            self._ring = TracepointRing(found)
        except OSError as error:
            raise _missing("open tracepoints", error) from error
        self._epoch_ns = time.time_ns() - time.monotonic_ns()  # the kernel has CLOCK_MONOTONIC in these events
        #: The reasons that this kernel knows.
        self.names = frozenset(self._dropped.symbols.values())
        self._least = next(number for number, name in self._dropped.symbols.items() if name == _NO_REASON)

    def mark(self) -> None:
        """Forget what has been dropped, and tell of what is dropped from now on (about 3 us)."""
        self._ring.mark()
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    def drops(self) -> list[Drop]:
        """Return what has been dropped since the mark, in order (about 10 us, and 3 us for every hop of a packet).

        The first that finds a drop reads the names of the kernel's functions (about 0.1 s).
        """
        ways: dict[int, tuple[str | None, str | None]] = {}  # of the packets, by their addresses in the kernel
        drops = []
        for when, data in self._ring.read()[0]:
            number = kind_of(data)
            if number == self._dropped.number:
                way = ways.pop(self._dropped.number_in(data, "skbaddr"), (None, None))
                drop = self._drop(data, way, self._epoch_ns + when)
                if drop is not None:
                    drops.append(drop)
            elif number == self._sent.number:
                ways[self._sent.number_in(data, "skbaddr")] = self._sent.text_in(data, "name"), None
            else:
                packet = self._received.number_in(data, "skbaddr")
                ways[packet] = ways.get(packet, (None, None))[0], self._received.text_in(data, "name")
        return drops

    @property
    def lost(self) -> int:
        """How many drops and hops since the mark are missing from ``drops``, because there were too many for the memory."""
        return self._ring.read()[1]

    def close(self) -> None:
        """Close it; again is no error."""
        self._ring.close()

    def _drop(self, data: bytes, way: tuple[str | None, str | None], when: int) -> Drop | None:
        """Return what the kernel has written down; None when it is no drop."""
        reason = self._dropped.number_in(data, "reason")
        if reason < self._least:
            return None
        return Drop(
            self._dropped.symbols.get(reason, f"reason {reason:#x}"),  # of a subsystem that has reasons of its own
            function_at(self._dropped.number_in(data, "location")),
            self._dropped.number_in(data, "protocol"),
            *way,
            when,
        )

    def __enter__(self) -> DropReasons:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@cache
def _tracepoints() -> tuple[Tracepoint, ...] | MissingCapability:
    """Return the tracepoints, or why there are none."""
    try:
        found = tuple(read_tracepoints(*_NAMES))
    except OSError as error:
        return _missing("read tracefs", error)
    if _NO_REASON not in found[0].symbols.values():
        return MissingCapability(_CAPABILITY, "this kernel gives no reasons for drops", "use Linux 5.17 or later")
    return found


def _missing(what: str, error: OSError) -> MissingCapability:
    if error.errno in _REFUSED:
        reason = f"this process may not {what} ({error}; kernel.perf_event_paranoid is {_paranoid()})"
        remedy = (
            "run as root of the machine, with CAP_PERFMON and CAP_SYS_ADMIN in a container; or allow it to everybody: "
            "sysctl -w kernel.perf_event_paranoid=-1, and mount -t tracefs -o mode=755 tracefs /sys/kernel/tracing"
        )
        return MissingCapability(_CAPABILITY, reason, remedy)
    reason = f"this kernel cannot {what} ({error})"
    return MissingCapability(_CAPABILITY, reason, "use Linux 5.17 or later with CONFIG_PERF_EVENTS and CONFIG_FTRACE")


def _paranoid() -> str:
    try:
        with open("/proc/sys/kernel/perf_event_paranoid", encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # no perf events at all (CONFIG_PERF_EVENTS), or no /proc/sys
        return "not there"
