"""An impaired cable of a host: between its port and the switch is a wire in user space."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.wire import with_packet_sockets
from pytest_mcast.wire.attributes import number
from pytest_mcast.wire.cable import Cable
from pytest_mcast.wire.impairment import Impairment, Judge

from . import netlink
from .sysctls import write_sysctl

if TYPE_CHECKING:
    from types import TracebackType

    from .port import Port

__all__ = ["ImpairedCable"]

_WIRE_INDEX = 600_000  # unlike those of ports, of hosts, and of what looks at switches
_MASTER, _GSO_MAX_SEGMENTS = 10, 40  # IFLA_*
_ALL_SEGMENTS = 65535  # GSO_MAX_SEGS
# The switch's namespace has nothing to say on a wire: no neighbour discovery, no answers to ARP (ip-sysctl).
_MUTE = {"ipv6/conf/{}/disable_ipv6": "1", "ipv4/conf/{}/arp_ignore": "8"}


class ImpairedCable:
    """What ``Link.impair()`` returns; the cable is as it was when it is closed, at the latest with the link.

    ``to_host`` and ``from_host`` tell what has happened in each direction: ``datagrams``, ``lost``, ``duplicated``,
    ``reordered`` and ``corrupted``, by numbers that count from 1. What the switch counts at the port is between it and the host's end.
    """

    #: What impairs, in words.
    method = "a wire in user space"

    def __init__(self, port: Port, impairment: Impairment) -> None:
        if port.bridge_index != port.index:
            raise InterfaceError(f"the cable of {port.interface} of {port.host} is impaired already; close that first")
        self.port = port
        self.impairment = impairment
        self._stack = ExitStack()
        self._options = port.options()
        self._open = True
        self._cable: Cable | None = None
        try:
            self._interpose()
        except BaseException:  # whatever it is: let go, and pass it on
            self.close()
            raise

    @property
    def to_host(self) -> Judge:
        """What has happened on the way to the host; raises what has ended the wire."""
        return self._judge("to host")

    @property
    def from_host(self) -> Judge:
        """What has happened on the way from the host; raises what has ended the wire."""
        return self._judge("from host")

    def _judge(self, direction: str) -> Judge:
        assert self._cable is not None
        if self._cable.error is not None:
            raise self._cable.error
        return self._cable.judges[direction]

    def _interpose(self) -> None:
        port, link = self.port, self.port.link
        wire = _WIRE_INDEX + 2 * (port.index % 100_000)
        inner, outer = f"wire{wire}", f"wired{wire}"
        link.connection.run(
            netlink.veth(
                inner,
                wire,
                _mac(wire),
                master=link.index,
                peer=(outer, wire + 1, _mac(wire + 1)),
                peer_namespace=link.namespace.descriptor,
                mtu=link.mtu,
            ),
            netlink.no_automatic_addresses(wire + 1),
        )
        self._stack.callback(link.connection.run, netlink.delete_link(wire))
        with link.namespace:
            for device in (port.device, outer):
                for path, value in _MUTE.items():
                    write_sysctl(path.format(device), value)
        # One frame for each datagram: what is lost is counted.
        self._segments(1)
        self._stack.callback(self._let_segments_be)
        link.connection.run(_segments(wire, 1), netlink.link(wire + 1, up=True), _master(port.index, 0))
        self._stack.callback(self._set_options)
        self._stack.callback(link.connection.run, _master(port.index, link.index))
        for index in (wire, wire + 1):
            link.connection.wait_until_up(index)
        with link.namespace:
            self._cable = with_packet_sockets(
                lambda: Cable(port.device, outer, self.impairment, ("from host", "to host"))
            )
        self._stack.callback(self._cable.close)
        port.impaired = self
        port.bridge_index, port.bridge_device = wire, inner
        self._set_options()  # the kernel has those of a new port
        self._stack.callback(self._let_port_be)
        self._stack.callback(link.weaken(port))

    def _set_options(self) -> None:
        self.port.set_options(**self._options)

    def _let_port_be(self) -> None:
        port = self.port
        self._options = port.options()
        port.impaired, port.bridge_index, port.bridge_device = None, port.index, port.device

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU of the wire."""
        wire = self.port.bridge_index
        self.port.link.connection.run(*(netlink.mtu(index, mtu) for index in (wire, wire + 1)))

    def _segments(self, most: int) -> None:
        self.port.host.configure(_segments(self.port.host_index, most))

    def _let_segments_be(self) -> None:
        with suppress(OSError):  # the host is gone by now
            self._segments(_ALL_SEGMENTS)

    def close(self) -> None:
        """Make the cable whole again, and raise what has ended the wire before; again is no error."""
        self._stack.close()
        cable, self._open = self._cable if self._open else None, False
        if cable is not None and cable.error is not None:
            raise cable.error

    def __enter__(self) -> ImpairedCable:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ImpairedCable of {self.port.interface} of {self.port.host}: {self.impairment}, by {self.method}>"


def _segments(index: int, most: int) -> netlink.Request:
    return netlink.change_link(index, f"let link {index} take {most} segments", number(_GSO_MAX_SEGMENTS, most))


def _master(index: int, master: int) -> netlink.Request:
    what = f"put port {index} into switch {master}" if master else f"take port {index} out of its switch"
    return netlink.change_link(index, what, number(_MASTER, master))


def _mac(index: int) -> str:
    return f"02:6d:64:{index >> 16 & 0xFF:02x}:{index >> 8 & 0xFF:02x}:{index & 0xFF:02x}"
