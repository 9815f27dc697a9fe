"""A layer-2 segment of a lab, and the ports of its switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.wire import Capture, Filter, Recorder, Viewpoint
from pytest_mcast.wire.impairment import Choice, Impairment

from . import netlink
from .counts import ChannelCount, SwitchTap
from .impaired import ImpairedCable
from .namespace import Namespace
from .port import Port

if TYPE_CHECKING:
    from pytest_mcast.wire.ring import RawFrame

    from .virtualhost import VirtualHost

__all__ = ["Fabric", "Link", "mac_address"]

_SWITCH_INDEX = 100_000  # numbers of our own choice, which no interface of the machine has
_LEAST_MTU, _MOST_MTU = 1280, 65535  # IPv6 goes away below (RFC 8200 section 5); veth has no more


@dataclass(frozen=True)
class Fabric:
    """What all links of a lab share: the namespace of their switches, a rtnetlink socket, what counts and captures there."""

    namespace: Namespace
    connection: netlink.Netlink
    tap: SwitchTap
    recorder: Callable[[], Recorder]
    hosts: Callable[[], Iterable[VirtualHost]]
    #: Ports whose cable is impaired; what is sent anywhere in the lab may be under way for a while then.
    impaired: set[Port]


class Link:
    """A layer-2 segment of a lab: a flat switch, with the prefixes 10.N.0.0/16 and fd6d:63:N::/64.

    Flat: it sends every multicast frame out of all ports. ``connection`` and ``namespace`` are the switch's.
    """

    def __init__(self, name: str, number: int, fabric: Fabric) -> None:
        self.name = name
        self.index = _SWITCH_INDEX + number
        self.number = number
        self.namespace = fabric.namespace
        self.connection = fabric.connection
        self._tap = fabric.tap
        self._recorder = fabric.recorder
        self._fabric = fabric
        self.mtu = 1500
        #: Whether other tests are on it as well, so that nobody may change it.
        self.shared = False
        self._ports: list[Port] = []
        self._impaired: list[ImpairedCable] = []

    def build(self) -> None:
        """Make it in the kernel."""
        device = f"switch{self.number}"
        addresses = self.addresses(0xFFFE)
        self.connection.run(
            netlink.bridge(device, self.index, mac_address(0xFFFE, self.index), mtu=self.mtu),
            *(netlink.address(self.index, ip, prefix) for ip, prefix in addresses.items()),
        )

    def addresses(self, host: int) -> dict[str, int]:
        """Return the addresses of the host with that number here, with their prefix lengths."""
        high, low = divmod(host, 256)
        number = self.number + 64
        return {f"10.{number}.{high}.{low}": 16, f"fd6d:63:{number:x}::{host:x}": 64, f"fe80::{host:x}": 64}

    @property
    def gateways(self) -> dict[str, str]:
        """The default routes of the hosts here: to the switch, which forwards between links and refuses the rest."""
        ipv4, ipv6, _ = self.addresses(0xFFFE)
        return {"0.0.0.0/0": ipv4, "::/0": ipv6}

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports at which hosts are."""
        return tuple(self._ports)

    def port(self, host: VirtualHost | str, interface: str | None = None) -> Port:
        """Return the port of a host (or of its name), by the first of its interfaces here when none is named.

        Raises ``InterfaceError`` when there is none.
        """
        for port in self._ports:
            if host in (port.host, port.host.name) and interface in {None, port.interface}:
                return port
        what = f"host {host}" if interface is None else f"{interface} of host {host}"
        there = ", ".join(f"{port.interface} of {port.host}" for port in self._ports) or "nobody"
        raise InterfaceError(f"{what} is not on link {self.name}; there is {there}")

    def down(self, host: VirtualHost | str, interface: str | None = None) -> None:
        """Pull the cable of a host: see ``Port.down``."""
        self.port(host, interface).down()

    def up(self, host: VirtualHost | str, interface: str | None = None) -> None:
        """Plug the cable of a host in: see ``Port.up``."""
        self.port(host, interface).up()

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU of the switch, of all hosts here and of those to come.

        Raises ``ValueError`` below 1280 bytes, where IPv6 ends, and above 65535, and ``InterfaceError`` when the link is
        shared with other tests.
        """
        self.check_mtu(mtu)
        self.check_own("set_mtu")
        self.mtu = mtu
        self.connection.run(*(netlink.mtu(index, mtu) for index in (self.index, *(port.index for port in self._ports))))
        for port in self._ports:
            if port.impaired is not None:
                port.impaired.set_mtu(mtu)
            port.host.configure(netlink.mtu(port.host_index, mtu))

    def impair(
        self,
        host: VirtualHost | str,
        interface: str | None = None,
        *,
        loss: Choice = 0.0,
        duplicate: Choice = 0.0,
        reorder: Choice = 0.0,
        corrupt: Choice = 0.0,
        delay: float | Sequence[float] = 0.0,
        rate: float | None = None,
        seed: int = 0,
    ) -> ImpairedCable:
        """Impair the cable of a host, in both directions, until the result is closed; see ``Impairment``.

        A switch that snoops forgets what it knew of the port: impair before receivers join. Proofs in the lab are as weak
        as those over a real network meanwhile. Raises ``ValueError`` for what cannot be, ``InterfaceError`` for a
        host that is not here and a link that is shared with other tests, and ``MissingCapability``.
        """
        self.check_own("impair")
        impairment = Impairment(loss, duplicate, reorder, corrupt, delay, rate, seed)
        cable = ImpairedCable(self.port(host, interface), impairment)
        self._impaired.append(cable)
        return cable

    def make_whole(self) -> None:
        """Have no cable here be impaired any more."""
        with ExitStack() as stack:
            for cable in self._impaired:
                stack.callback(cable.close)
            self._impaired = []

    def weaken(self, port: Port) -> Callable[[], None]:
        """Take note that a cable is impaired; the result takes that back."""
        self._fabric.impaired.add(port)
        port.host.touch()
        self._judge_anew()

        def strengthen() -> None:
            self._fabric.impaired.discard(port)
            self._judge_anew()

        return strengthen

    def _judge_anew(self) -> None:
        for host in self._fabric.hosts():
            host.judge_anew()

    @property
    def impaired(self) -> bool:
        """Whether any cable of the lab is impaired."""
        return bool(self._fabric.impaired)

    @property
    def impaired_ports(self) -> tuple[Port, ...]:
        """The ports of the lab, on whatever link, whose cables are impaired."""
        return tuple(self._fabric.impaired)

    def count(self, channel: Channel, mark: bytes = b"") -> ChannelCount:
        """Count the datagrams of a channel at all ports from now on; to be closed, or used with ``with``.

        With a ``mark`` those that begin with it.
        """
        count = ChannelCount(self._tap, channel, mark)
        self._tap.add(count)
        return count

    def capture(self, wanted: Filter = None) -> Capture:
        """Capture every frame that crosses the link, once, from now on; ended at the latest with the test.

        Their interface is where they come from: ``host:interface``, or ``switch`` for what the switch itself sends.
        For ``wanted`` and errors see ``VirtualHost.capture``.
        """
        return Capture(self._recorder(), wanted, Viewpoint(f"link {self}", self._origin, ("switch",), f"{self}:"))

    def _origin(self, frame: RawFrame) -> str | None:
        for port in self._ports:
            if frame.interface == port.index:
                return f"{port.host}:{port.interface}"
        # What comes in by the bridge has come in by a port before, unless it is a query of the switch.
        mac = bytes.fromhex(mac_address(0xFFFE, self.index).replace(":", ""))
        own = frame.interface == self.index and (frame.outgoing or frame.data[6:12] == mac)
        return "switch" if own else None

    def wait_until_ready(self, port: Port, channel: Channel) -> str | None:  # noqa: ARG002 - a flat switch is ready
        """Wait until a channel that was joined at a port is forwarded there, and return the evidence.

        None when nothing had to be waited for: this switch sends everything everywhere.
        """
        return None

    def connect(self, port: Port) -> None:
        """Take note of a host that has been plugged in."""
        self._ports.append(port)

    def disconnect(self, host: VirtualHost) -> None:
        """Take note that a host goes."""
        theirs = [cable for cable in self._impaired if cable.port.host is host]
        self._impaired = [cable for cable in self._impaired if cable not in theirs]
        self._ports = [port for port in self._ports if port.host is not host]
        with ExitStack() as stack:
            for cable in theirs:
                stack.callback(cable.close)

    def check_own(self, what: str) -> None:
        """Raise ``InterfaceError`` when other tests are on this link."""
        if self.shared:
            raise InterfaceError(
                f"{what}() would change link {self.name} for other tests; use a link of your own: mcast_lab.link('mine')"
            )

    def check_mtu(self, mtu: object) -> None:
        """Raise ``ValueError`` for what cannot be the MTU of a link."""
        if isinstance(mtu, bool) or not isinstance(mtu, int) or not _LEAST_MTU <= mtu <= _MOST_MTU:
            raise ValueError(f"mtu {mtu!r} is not a number of bytes from {_LEAST_MTU} (RFC 8200) to {_MOST_MTU}")

    def forget(self) -> None:
        """Delete it in the kernel."""
        with ExitStack() as stack:
            stack.callback(self.connection.run, netlink.delete_link(self.index))
            stack.callback(self.make_whole)

    def open(self) -> closing[netlink.Netlink]:
        """Open another rtnetlink socket in the switch's namespace, to be used with ``with``."""
        with self.namespace:
            return closing(netlink.Netlink())

    def __str__(self) -> str:
        return self.name


def mac_address(number: int, kind: int) -> str:
    """Return an Ethernet address of our own: 02 is locally administered, unicast (IEEE 802)."""
    return f"02:6d:63:{kind & 0xFF:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"
