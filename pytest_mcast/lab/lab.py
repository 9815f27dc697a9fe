"""A virtual network: hosts on links, whose switches sit in one namespace."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TypeVar

from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.wire import Recorder, with_packet_sockets
from pytest_mcast.wire.recorder import switch_frames

from . import netlink
from .counts import SwitchTap
from .direct import DirectLink
from .drawing import draw
from .link import Fabric, Link
from .link import mac_address as _mac
from .namespace import Namespace
from .port import Port
from .router import Router
from .snooping import Snooping, Timers
from .switch import Switch
from .sysctls import prepare
from .virtualhost import VirtualHost

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.hosts import Host

__all__ = ["Lab"]

_Host = TypeVar("_Host", bound=VirtualHost)

_PORT_INDEX = 200_000  # numbers of our own choice, which no interface of the machine has
_HOST_INDEX = 300_000
_ROUTER_INDEX = 1  # struct mif6ctl has 16 bits for it (linux/mroute6.h)
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
            self._fabric = Fabric(
                self.switch_namespace,
                self._switch,
                SwitchTap(self.switch_namespace),
                self._record,
                lambda: self._hosts.values(),  # noqa: PLW0108 - it is another dict when one has gone
                set(),
            )
            self._stack.callback(self._fabric.tap.close)
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
            self._add(Link(name, self._free_number(name), self._fabric))
        return self._links[name]

    def switch(
        self,
        name: str | None = None,
        *,
        snooping: bool = False,
        querier: bool | None = None,
        strict: bool = False,
        igmp_version: int = 3,
        mld_version: int = 2,
        timers: Timers | None = None,
    ) -> Switch:
        """Make a link whose switch can snoop.

        ``querier`` (default: as ``snooping``): it asks for memberships itself. ``strict``: it forwards by what it has heard
        even without a querier; see ``Switch``. Raises ``InterfaceError`` for a name that is taken, ``ValueError`` for
        settings that cannot be.
        """
        settings = Snooping(
            snooping, snooping if querier is None else querier, igmp_version, mld_version, timers or Timers()
        )
        if name is None:
            name = next(name for name in map("switch{}".format, itertools.count(1)) if name not in self._links)
        if name in self._links:
            raise InterfaceError(f"link {name} is there already; name another one, or none")
        switch = Switch(name, self._free_number(name), self._fabric, settings, strict=strict)
        self._add(switch)
        return switch

    def host(
        self,
        name: str | None = None,
        *,
        interfaces: Mapping[str, str | Link] | None = None,
        macs: Mapping[str, str] | None = None,
        namespace: Namespace | None = None,
    ) -> VirtualHost:
        """Return the host of that name, which is made if there is none.

        ``interfaces`` maps names to links or their names (default ``{"eth0": "lan"}``), ``macs`` names to Ethernet addresses.
        ``namespace``: make it a host of this lab instead of a new one. Raises ``InterfaceError`` for a MAC of an
        unknown interface, ``netlink.NetlinkError`` for a name that the kernel refuses.
        """
        if name is not None and name in self._hosts:
            return self._hosts[name].checked(interfaces)
        return self._make(
            VirtualHost, name, "host", {"eth0": "lan"} if interfaces is None else interfaces, macs, namespace
        )

    def router(self, name: str | None = None, *, interfaces: Mapping[str, str | Link]) -> Router:
        """Make a multicast router: a host that forwards between its interfaces what it is told to.

        ``interfaces`` maps names to links or their names. Raises ``InterfaceError`` for a name that is taken.
        """
        if name is not None and name in self._hosts:
            raise InterfaceError(f"there is a host {name} already; name another one, or none")
        return self._make(Router, name, "router", interfaces)

    def _make(
        self,
        kind: type[_Host],
        name: str | None,
        prefix: str,
        interfaces: Mapping[str, str | Link],
        macs: Mapping[str, str] | None = None,
        namespace: Namespace | None = None,
    ) -> _Host:
        if name is None:
            name = next(name for name in map(f"{prefix}{{}}".format, itertools.count(1)) if name not in self._hosts)
        unknown = set(macs or {}) - set(interfaces)
        if unknown:
            raise InterfaceError(f"macs names {', '.join(sorted(unknown))}; host {name} has {', '.join(interfaces)}")
        namespace = Namespace.create() if namespace is None else namespace
        try:
            host = kind(name, namespace, prepare(namespace))
        except BaseException:  # whatever it is: let go, and pass it on
            namespace.close()
            raise
        try:
            for interface, link in interfaces.items():
                self._connect(host, interface, self._find(link), (macs or {}).get(interface))
        except BaseException:  # whatever it is: let go, and pass it on
            host.close()
            raise
        self._hosts[name] = host
        return host

    def hosts(self, count: int) -> list[VirtualHost]:
        """Make that many new hosts."""
        return [self.host() for _ in range(count)]

    def direct(self, first: str | None = None, second: str | None = None) -> tuple[VirtualHost, VirtualHost]:
        """Make two new hosts with a cable between them, from eth0 to eth0, and no switch that could drop anything.

        Raises ``InterfaceError`` for a name that is taken.
        """
        taken = [name for name in (first, second) if name in self._hosts]
        if taken or (first is not None and first == second):
            raise InterfaceError(f"there is a host {taken[0] if taken else first} already; name another one, or none")
        name = next(name for name in map("direct{}".format, itertools.count(1)) if name not in self._links)
        link = DirectLink(name, self._free_number(name), self._fabric)
        ends = self.host(first, interfaces={}), self.host(second, interfaces={})
        try:
            self._connect_directly(link, *ends)
        except BaseException:  # whatever it is: let go, and pass it on
            for end in ends:
                self.remove(end)
            raise
        self._links[name] = link
        return ends

    def channel(self, family: str = "ipv4", *, source: Host | str | None = None, scope: str | None = None) -> Channel:
        """Return a channel that nobody in this lab uses; source-specific when there is a ``source``, host or address."""
        if source is not None and not isinstance(source, str):
            source = source.source(family, scope or "link-local")
        if source is not None:
            family = "ipv6" if ":" in source else "ipv4"
        return self._picker.pick(family, scope, source=source)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links, the oldest first."""
        return tuple(self._links.values())

    def draw(self) -> str:
        """Draw the network as text: links, and the interfaces and addresses on them."""
        return draw(self._links.values(), self._hosts.values())

    def remove_link(self, link: Link) -> None:
        """Take a link out of the lab; hosts that are on it lose the connection."""
        if self._links.get(link.name) is link:
            del self._links[link.name]
            link.forget()

    def remove(self, host: VirtualHost) -> None:
        """Take a host out of the lab, and raise what has ended a wire of its impaired cables before."""
        self._hosts = {name: other for name, other in self._hosts.items() if other is not host}
        with ExitStack() as stack:
            stack.callback(self._let_go, host)  # at last, whatever is raised
            for link in list(self._links.values()):
                stack.callback(link.disconnect, host)
                if isinstance(link, DirectLink) and host in link.ends:  # its number is free again
                    del self._links[link.name]

    def _let_go(self, host: VirtualHost) -> None:
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
            for host in self._hosts.values():
                stack.callback(host.close)
            for link in self._links.values():
                stack.callback(link.make_whole)
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

    def _free_number(self, name: str) -> int:
        taken = {link.number for link in self._links.values()}
        number = next(number for number in itertools.count() if number not in taken)
        if number >= _LINKS:
            raise InterfaceError(f"no link {name}: this network has {_LINKS} already")
        return number

    def _add(self, link: Link) -> None:
        try:
            link.build()
        except BaseException:  # whatever it is: let go, and pass it on
            with suppress(netlink.NetlinkError):  # it may be that there is nothing yet
                link.forget()
            raise
        self._links[link.name] = link

    def _find(self, link: Link | str) -> Link:
        if isinstance(link, str):
            return self.link(link)
        if self._links.get(link.name) is not link:
            raise InterfaceError(f"link {link} is not, or no longer, in this network; it has {', '.join(self._links)}")
        return link

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

    def _connect_directly(self, link: DirectLink, first: VirtualHost, second: VirtualHost) -> None:
        numbers = []
        for host in (first, second):
            numbers.append(self._number())
            host.ports.append(numbers[-1])
        here, there = (_HOST_INDEX + number for number in numbers)
        macs = [_mac(number, 0) for number in numbers]
        peer, namespace = ("eth0", there, macs[1]), second.namespace.descriptor
        cable = netlink.veth("eth0", here, macs[0], master=None, peer=peer, peer_namespace=namespace, mtu=link.mtu)
        first.prepare(cable, netlink.no_automatic_addresses(here))
        # Both are up before one is waited for: an end carries nothing until the other one is.
        second.prepare(netlink.no_automatic_addresses(there), netlink.link(there, up=True))
        for host, number in zip((first, second), numbers, strict=True):
            host.plug("eth0", _HOST_INDEX + number, addresses=link.addresses(number), gateways={})
        link.ends = (first, second)

    def _connect(self, host: VirtualHost, name: str, link: Link, mac: str | None) -> None:
        number = self._number()
        host.ports.append(number)
        device = f"port{number}"
        index = (_ROUTER_INDEX if isinstance(host, Router) else _HOST_INDEX) + number
        port = _PORT_INDEX + number
        self._switch.run(
            netlink.veth(
                device,
                port,
                _mac(number, 1),
                master=link.index,
                peer=(name, index, mac or _mac(number, 0)),
                peer_namespace=host.namespace.descriptor,
                mtu=link.mtu,
            )
        )
        host.plug(name, index, addresses=link.addresses(number), gateways=link.gateways)
        for one in (port, link.index):
            self._switch.wait_until_up(one)
        host.plugged[index] = Port(link, host, name, index, port, device)
        link.connect(host.plugged[index])
