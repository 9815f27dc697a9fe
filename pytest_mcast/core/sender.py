"""A configured sender to one channel; it also takes the replies."""

from __future__ import annotations

import ipaddress
import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING, Callable, Optional, Tuple, Union

from . import system
from .attempts import Attempt
from .bursts import Burst, send_burst
from .channels import Channel
from .datagrams import Datagram, Sent
from .deadline import Deadline
from .errors import ChannelError, InterfaceError, NotReceived
from .interfaces import Interface

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Sender"]


class Sender:
    """Sends to the group and port of a channel, from a known address, out of a known interface.

    The socket is bound to ``source`` (default: the channel's source if the interface has it, else the address of the
    interface that fits) and ``source_port`` (0: the system picks) and stays unconnected, because a connected one
    would not hear the unicast replies of an echo responder. ``ttl`` is 0 to 255, TTL or hop limit (default 1: stays
    on the link, RFC 1112 section 6.1); with ``loopback`` receivers on the same host get it too; ``dscp`` is 0 to 63
    (RFC 2474); ``send_buffer`` is in bytes; ``timeout`` is in seconds and for one call.

    Raises ``ChannelError`` (port 0), ``InterfaceError`` (no such interface or address), ``ValueError``, ``OSError``.
    """

    #: The host that it was opened by, when it was one of ours.
    host: object = None
    #: Is told of a datagram that the kernel refuses, before the error is raised; set by who wants to explain it.
    lost: Optional[Callable[[Exception], object]] = None

    def __init__(
        self,
        channel: Channel,
        interface: Union[str, int, Interface, None] = None,
        *,
        source: Optional[str] = None,
        source_port: int = 0,
        ttl: int = 1,
        loopback: bool = True,
        dscp: int = 0,
        send_buffer: Optional[int] = None,
        timeout: float = 5.0,
    ) -> None:
        if channel.port == 0:
            raise ChannelError(f"{channel} has port 0, which only a receiver can leave to the system")
        if not 0 <= ttl <= 255:
            raise ValueError(f"ttl {ttl!r} is not from 0 to 255")
        if not 0 <= dscp <= 63:
            raise ValueError(f"dscp {dscp!r} is not from 0 to 63 (RFC 2474)")
        self.channel = channel
        self.interface = Interface.best(channel.family) if interface is None else Interface.find(interface)
        self.timeout = Deadline(timeout).seconds
        ipv6 = channel.family == "ipv6"
        try:
            address = self._address(source)
        except InterfaceError as error:
            if source is None:  # else it is the caller's mistake, and the text says all
                Attempt("open", channel, self.interface).failed(error)
            raise
        #: The socket; for options that are not here.
        self.socket = system.open_socket(channel.family)
        try:
            level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
            option = system.interface_option(channel.family, self.interface.index, address)
            system.set_option(self.socket, option)
            for number, value in zip(system.sender_options(channel.family), (ttl, int(loopback), dscp << 2)):
                self.socket.setsockopt(level, number, struct.pack("=i", value))
            for option in system.metadata_options(channel.family):
                system.set_option(self.socket, option)
            self.send_buffer = system.set_buffer(self.socket, socket.SO_SNDBUF, send_buffer)
            self.socket.setblocking(False)
            self.socket.bind(self._zoned(address, source_port))
            name = self.socket.getsockname()
        except BaseException as error:  # whatever it is: let go, and pass it on
            self.socket.close()
            if isinstance(error, OSError):
                Attempt("open", channel, self.interface).failed(error)
            raise
        #: Address and port that the datagrams come from.
        self.source: Tuple[str, int] = (name[0], name[1])
        #: How many datagrams were sent up to now.
        self.count = 0
        #: The largest payload that was sent up to now, in bytes.
        self.largest = 0
        self._ttl = ttl
        self._destination = self._zoned(channel.group, channel.port)

    @property
    def ttl(self) -> int:
        """The TTL or hop limit, read back from the socket."""
        return self._read_back(0)

    @property
    def loopback(self) -> bool:
        """Whether receivers on the same host get the datagrams too, read back from the socket."""
        return bool(self._read_back(1))

    @property
    def dscp(self) -> int:
        """The differentiated services code point, read back from the socket."""
        return self._read_back(2) >> 2

    def send(self, payload: bytes) -> Sent:
        """Send one datagram and return what was sent from where; raises ``OSError`` as sendto(2)."""
        now = self.send_raw(payload)
        return Sent(bytes(payload), self.source, self.channel, self.interface.name, self._ttl, now)

    def send_raw(self, payload: Union[bytes, memoryview], datagrams: int = 1) -> int:
        """Send, and return only when (nanoseconds since 1970); raises as ``send``. It may be several ``datagrams`` in one."""
        deadline = None
        size = len(payload) if datagrams == 1 else None
        while True:
            now = time.time_ns()  # by the clock of the kernel's time stamps
            try:
                self.socket.sendto(payload, self._destination)
            except BlockingIOError as error:
                deadline = deadline or Deadline(self.timeout)
                if not self._wait(selectors.EVENT_WRITE, deadline):
                    self._refused(error, size)
                    raise
            except OSError as error:
                self._refused(error, size)
                raise
            else:
                self.count += datagrams
                self.largest = max(self.largest, -(-len(payload) // datagrams))
                return now

    def burst(self, count: int, size: int, rate: Optional[float] = None) -> Burst:
        """Send ``count`` numbered datagrams of ``size`` bytes of payload as fast as they go, or at a ``rate`` (per second).

        ``Receiver.drain()`` tells what becomes of them. Raises as ``bursts.send_burst``.
        """
        return send_burst(self, count, size, rate)

    def recv(self, timeout: Optional[float] = None) -> Datagram:
        """Return the next reply; raises ``NotReceived`` after ``timeout`` seconds (default: the sender's)."""
        deadline = Deadline(self.timeout if timeout is None else timeout)
        while True:
            try:
                payload, arrival, truncated, source = system.receive(self.socket, 65535)
            except BlockingIOError:
                if not self._wait(selectors.EVENT_READ, deadline):
                    address, port = self.source
                    raise NotReceived(
                        f"no reply to {address} port {port} within {deadline.seconds:g} s after sending to {self.channel}"
                    ) from None
            else:
                return Datagram(
                    payload,
                    source,
                    arrival.group,
                    self.source[1],
                    arrival.interface_index,
                    arrival.ttl,
                    arrival.traffic_class,
                    arrival.timestamp_ns,
                    truncated,
                )

    def fileno(self) -> int:
        """The socket's descriptor, for selectors and event loops; -1 when closed."""
        return self.socket.fileno()

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self.socket.fileno() < 0

    def close(self) -> None:
        """Close the socket; again is no error."""
        self.socket.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self,
        exception_type: Optional[type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sender to {self.channel} on {self.interface.name}>"

    def _refused(self, error: OSError, size: Optional[int]) -> None:
        attempt = Attempt("send", self.channel, self.interface, size)
        attempt.host = self.host
        attempt.failed(error)
        if self.lost is not None:
            self.lost(error)

    def _address(self, source: Optional[str]) -> str:
        have = self.interface.ipv6 if self.channel.family == "ipv6" else self.interface.ipv4
        for address in (source, self.channel.source):
            if address is not None and (address in have or self._is_loopback(address)):
                return address
        if source is not None:
            name, family = self.interface.name, self.channel.family
            raise InterfaceError(f"interface {name} has no {family} address {source}, only {', '.join(have) or 'none'}")
        return self.interface.address(self.channel.family, self.channel.scope)

    def _is_loopback(self, address: str) -> bool:
        # All of 127/8 is the loopback interface's, although only 127.0.0.1 is listed.
        ip = ipaddress.ip_address(address)
        return self.interface.loopback and ip.is_loopback and (ip.version == 6) == (self.channel.family == "ipv6")

    def _zoned(self, address: str, port: int) -> tuple[object, ...]:
        return (address, port, 0, self.interface.index) if self.channel.family == "ipv6" else (address, port)

    def _read_back(self, which: int) -> int:
        level = socket.IPPROTO_IPV6 if self.channel.family == "ipv6" else socket.IPPROTO_IP
        return self.socket.getsockopt(level, system.sender_options(self.channel.family)[which])

    def _wait(self, event: int, deadline: Deadline) -> bool:
        with system.opened(selectors.DefaultSelector) as selector:
            selector.register(self.socket, event)
            return bool(selector.select(deadline.remaining()))
