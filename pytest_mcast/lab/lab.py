"""A virtual network: hosts on links, whose switches sit in one namespace."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.wire import Capture, Filter, Recorder, Viewpoint
from pytest_mcast.wire.recorder import switch_frames

from . import netlink
from .namespace import Namespace
from .virtualhost import VirtualHost, prepare, with_packet_sockets

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.hosts import Host
    from pytest_mcast.wire.ring import RawFrame

__all__ = ["Lab", "Link"]

_SWITCH_INDEX = 100_000  # numbers of our own choice, which no interface of the machine has
_PORT_INDEX = 200_000
_HOST_INDEX = 300_000
_MTU = 1500
_LINKS = 192  # 10.64 to 10.255
_PORTS = 0xFFFD  # the next one is the switch's

# The switch is also the gateway between links. It refuses as often as it is asked, and does not answer pings in the name
# of the whole Internet.
_SWITCH_SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/icmp_ratemask": "0",
    "ipv6/icmp/ratemask": "200-255",  # of informational messages, so of no error
    "ipv4/icmp_echo_ignore_all": "1",
    "ipv6/icmp/echo_ignore_all": "1",
    "bridge/bridge-nf-call-iptables": "0",
    "bridge/bridge-nf-call-ip6tables": "0",
    "bridge/bridge-nf-call-arptables": "0",
}


class Link:
    """A layer-2 segment of a lab: a flat switch, with the prefixes 10.N.0.0/16 and fd6d:63:N::/64."""

    def __init__(self, name: str, number: int, recorder: Callable[[], Recorder]) -> None:
        self.name = name
        self.index = _SWITCH_INDEX + number
        self.number = number
        self._recorder = recorder
        self._ports: dict[int, tuple[VirtualHost, str]] = {}  # by number: what is plugged in there

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

    def capture(self, wanted: Filter = None) -> Capture:
        """Capture every frame that crosses the link, once, from now on; ended at the latest with the test.

        Their interface is where they come from: ``host:interface``, or ``switch`` for what the switch itself sends.
        For ``wanted`` and errors see ``VirtualHost.capture``.
        """
        return Capture(self._recorder(), wanted, Viewpoint(f"link {self}", self._origin, ("switch",), f"{self}:"))

    def plug(self, port: int, host: VirtualHost, interface: str) -> None:
        """Note what is behind a port of the switch."""
        self._ports[port] = (host, interface)

    def unplug(self, host: VirtualHost) -> None:
        """Forget a host."""
        self._ports = {port: behind for port, behind in self._ports.items() if behind[0] is not host}

    def _origin(self, frame: RawFrame) -> str | None:
        if frame.interface in self._ports:
            host, interface = self._ports[frame.interface]
            return f"{host}:{interface}"
        # What comes in by the bridge has come in by a port before, unless it is a query of the switch.
        own = frame.interface == self.index and (frame.outgoing or frame.data[6:12] == self._mac)
        return "switch" if own else None

    @property
    def _mac(self) -> bytes:
        return bytes.fromhex(_mac(0xFFFE, self.index).replace(":", ""))

    def __str__(self) -> str:
        return self.name


class Lab:
    """A virtual network. Nothing of it has a name on the machine, and nothing is left when the process ends.

    Raises ``MissingCapability`` where this process may not make network namespaces.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._links: dict[str, Link] = {}
        self._hosts: dict[str, VirtualHost] = {}
        self._ports = 0
        self._free: deque[int] = deque()  # numbers of ports that were given back, the longest ago first
        self._recorder: Recorder | None = None
        self._picker = ChannelPicker(secrets.token_bytes(8))
        self.switch_namespace = Namespace.create()
        self._stack.callback(self.switch_namespace.close)
        try:
            self._switch = prepare(self.switch_namespace, _SWITCH_SYSCTLS)
            self._stack.callback(self._switch.close)
            # Everything that is on no link ends here and is refused at once. Without these routes the kernel would say
            # "unreachable", but no more than about once a second: DNS and every further connect would wait for long.
            self._switch.run(
                *(netlink.route(net, index=1, kind="local") for net in ("0.0.0.0/0", "::/0")),
            )
        except BaseException:  # whatever it is: let go, and pass it on
            self._stack.close()
            raise

    def link(self, name: str = "lan") -> Link:
        """Return the link of that name, which is made if there is none: a flat switch."""
        if name not in self._links:
            taken = {link.number for link in self._links.values()}
            number = next(number for number in itertools.count() if number not in taken)
            if number >= _LINKS:
                raise InterfaceError(f"no link {name}: this network has {_LINKS} already")
            link = Link(name, number, self._record)
            addresses = link.addresses(0xFFFE)
            self._switch.run(
                netlink.bridge(f"switch{number}", link.index, _mac(0xFFFE, link.index), mtu=_MTU),
                *(netlink.address(link.index, ip, prefix) for ip, prefix in addresses.items()),
            )
            self._links[name] = link
        return self._links[name]

    def host(
        self,
        name: str | None = None,
        *,
        interfaces: Mapping[str, str] | None = None,
        macs: Mapping[str, str] | None = None,
        namespace: Namespace | None = None,
    ) -> VirtualHost:
        """Return the host of that name, which is made if there is none.

        ``interfaces`` maps names to links (default ``{"eth0": "lan"}``), ``macs`` names to Ethernet addresses.
        ``namespace``: make it a host of this lab instead of a new one. Raises ``InterfaceError`` for a MAC of an
        unknown interface, ``netlink.NetlinkError`` for a name that the kernel refuses.
        """
        if name is not None and name in self._hosts:
            return self._hosts[name].checked(interfaces)
        if name is None:
            name = next(name for name in map("host{}".format, itertools.count(1)) if name not in self._hosts)
        interfaces = {"eth0": "lan"} if interfaces is None else interfaces
        unknown = set(macs or {}) - set(interfaces)
        if unknown:
            raise InterfaceError(f"macs names {', '.join(sorted(unknown))}; host {name} has {', '.join(interfaces)}")
        namespace = Namespace.create() if namespace is None else namespace
        try:
            host = VirtualHost(name, namespace, prepare(namespace))
        except BaseException:  # whatever it is: let go, and pass it on
            namespace.close()
            raise
        try:
            for interface, link in interfaces.items():
                self._connect(host, interface, self.link(link), (macs or {}).get(interface))
        except BaseException:  # whatever it is: let go, and pass it on
            host.close()
            raise
        self._hosts[name] = host
        return host

    def hosts(self, count: int) -> list[VirtualHost]:
        """Make that many new hosts."""
        return [self.host() for _ in range(count)]

    def channel(self, family: str = "ipv4", *, source: Host | str | None = None, scope: str | None = None) -> Channel:
        """Return a channel that nobody in this lab uses; source-specific when there is a ``source``, host or address."""
        if source is not None and not isinstance(source, str):
            source = source.source(family, scope or "link-local")
        if source is not None:
            family = "ipv6" if ":" in source else "ipv4"
        return self._picker.pick(family, scope, source=source)

    def remove_link(self, link: Link) -> None:
        """Take a link out of the lab; hosts that are on it lose the connection."""
        if self._links.get(link.name) is link:
            del self._links[link.name]
            self._switch.run(netlink.delete_link(link.index))

    def remove(self, host: VirtualHost) -> None:
        """Take a host out of the lab."""
        self._hosts = {name: other for name, other in self._hosts.items() if other is not host}
        for link in self._links.values():
            link.unplug(host)
        host.close()
        self._free.extend(host.ports)
        host.ports.clear()

    def close_captures(self) -> None:
        """End all captures of links."""
        if self._recorder is not None:
            self._recorder.close_captures()

    def close(self) -> None:
        """Let go of everything; again is no error."""
        with self._stack.pop_all() as stack:
            if self._recorder is not None:
                stack.callback(self._recorder.close)
                self._recorder = None
            for host in self._hosts.values():
                stack.callback(host.close)
            self._hosts.clear()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _number(self) -> int:
        """Return the number of a new port, from which its addresses are made."""
        if self._ports < _PORTS:
            self._ports += 1
            return self._ports
        if not self._free:
            raise InterfaceError(f"no interface can be added: this network has {_PORTS} already")
        number = self._free.popleft()
        self._switch.wait_until_gone(_PORT_INDEX + number)  # the kernel takes its time
        return number

    def _record(self) -> Recorder:
        if self._recorder is None:
            with self.switch_namespace:
                program = switch_frames(_PORT_INDEX, 0xFFFE)
                self._recorder = with_packet_sockets(lambda: Recorder(program))
        return self._recorder

    def _connect(self, host: VirtualHost, name: str, link: Link, mac: str | None) -> None:
        number = self._number()
        host.ports.append(number)
        index, port = _HOST_INDEX + number, _PORT_INDEX + number
        self._switch.run(
            netlink.veth(
                f"port{number}",
                port,
                _mac(number, 1),
                master=link.index,
                peer=(name, index, mac or _mac(number, 0)),
                peer_namespace=host.namespace.descriptor,
                mtu=_MTU,
            )
        )
        link.plug(port, host, name)
        host.plug(name, index, addresses=link.addresses(number), gateways=link.gateways)
        for one in (port, link.index):
            self._switch.wait_until_up(one)


def _mac(number: int, kind: int) -> str:
    # 02: locally administered, unicast (IEEE 802).
    return f"02:6d:63:{kind & 0xFF:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"
