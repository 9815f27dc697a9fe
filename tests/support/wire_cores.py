"""Cores that fail by what is judged, and by nothing else: they deliver what they must not, or not what they must, or twice."""

from __future__ import annotations

import ipaddress
import struct
from collections import deque
from collections.abc import Iterable
from select import POLLIN, poll

from pytest_mcast import Channel, Datagram, Deadline, NotReceived
from pytest_mcast.hosts import Host
from pytest_mcast.packets.marks import mark_of
from pytest_mcast.wire import Tap, TappedFrame

from .broken_cores import BrokenCore, Faulty

__all__ = ["DOUBLES_PROBES", "LOSES_PROBES", "ON_THE_WIRE", "TWICE_ON_THE_WIRE"]

_PREFIX = b"mcast-probe:"


class OnTheWire(Faulty):
    """Delivers whatever frame comes to the host, however wrong it is: it reads the wire."""

    def __init__(self, channel: Channel, host: Host, interface: str | None, timeout: float, **sizes: int) -> None:
        super().__init__(channel, host, interface, timeout, **sizes)
        with host.inside():
            self._tap = Tap()
        self._tap.switch_on()
        self._indexes = {one.name: one.index for one in host.interfaces}
        self._seen: deque[Datagram] = deque()
        host.keep(self)

    @property
    def closed(self) -> bool:
        return self.inner.closed

    def pull(self, timeout: float | None) -> Datagram:
        deadline = Deadline(timeout)
        waiting = poll()
        waiting.register(self._tap.fileno(), POLLIN)
        while True:
            for frame in self._tap.frames():
                datagram = _read(frame, self._indexes)
                if datagram is not None:
                    self._seen.append(datagram)
            if self._seen:
                return self._seen.popleft()
            if deadline.passed():
                raise NotReceived(f"nothing on the wire for {self.channel}")
            waiting.poll((deadline.remaining() or 0) * 1000 + 1)

    def close(self) -> None:
        if not self.inner.closed:
            super().close()
            self._tap.close()


class TwiceOnTheWire(OnTheWire):
    """Delivers what is judged twice, however wrong it is."""

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [datagram] if _is_legitimate(datagram) else [datagram, datagram]


class LosesProbes(Faulty):
    """Delivers the first datagram of a prober and its fences, which have even numbers, and loses what is judged."""

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [datagram] if _is_legitimate(datagram) else []


class DoublesProbes(Faulty):
    """Delivers what is judged twice."""

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        return [datagram] if _is_legitimate(datagram) else [datagram, datagram]


def _is_legitimate(datagram: Datagram) -> bool:
    """Say whether it is the first datagram of a prober, or a fence, which have even numbers."""
    mark = mark_of(datagram.payload)
    return mark is not None and (mark[1] == 1 or mark[1] % 2 == 0)


def _read(frame: TappedFrame, indexes: dict[str, int]) -> Datagram | None:
    """Return what a frame looks like to somebody who believes everything."""
    data = frame.data[14:]
    ipv6 = frame.data[12:14] == b"\x86\xdd"
    if len(data) < (48 if ipv6 else 28):
        return None
    if ipv6:
        source, group, ttl, header = data[8:24], data[24:40], data[7], 40
    else:
        source, group, ttl, header = data[12:16], data[16:20], data[8], max(20, (data[0] & 0x0F) * 4)
    source_port, port, length, _ = struct.unpack("!4H", data[header : header + 8].ljust(8, b"\0"))
    place = frame.data.find(_PREFIX)
    payload = frame.data[place:] if place >= 0 else data[header + 8 : header + length]
    addresses = [str(ipaddress.ip_address(one)) for one in (source, group)]
    index = indexes[frame.interface]
    return Datagram(payload, (addresses[0], source_port), addresses[1], port, index, ttl, None, frame.timestamp_ns)


ON_THE_WIRE = BrokenCore("on-the-wire", OnTheWire)
LOSES_PROBES = BrokenCore("loses-probes", LosesProbes)
DOUBLES_PROBES = BrokenCore("doubles-probes", DoublesProbes)
TWICE_ON_THE_WIRE = BrokenCore("twice-on-the-wire", TwiceOnTheWire)
