"""Causes in what the receiver's socket is: where it was opened, what it is bound and connected to."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow
from pytest_mcast.doctor.hearing import ears
from pytest_mcast.doctor.obstacles import obstacle

__all__ = ["CHECKS"]


def _nobody(flow: Flow) -> Iterator[Match]:
    if flow.receiver is None or ears(flow):
        return
    port, host = flow.channel.port, flow.receiver
    seen = [f"{host.name} has no UDP socket on port {port}"]
    elsewhere = sorted(
        {each["port"] for each in host.facts.sockets() if each["local"] == flow.channel.group and each["port"] != port}
    )
    if elsewhere:
        seen.append(f"it has one that is bound to {flow.channel.group} on port {', '.join(map(str, elsewhere))}")
    # Likely, since it may have been there, and closed before anybody looked.
    yield Match("likely", tuple(seen), {"port": port, "host": host.name})


_NAME = "the receiver's socket: getsockname"
_LIST = "sockets: sock_diag, /proc/net/udp, udp6"
_UDP = "udp(7), ip(7) Address format"

#: Checks of the receiver's socket.
CHECKS: tuple[Check, ...] = (
    Check(
        id="port.none",
        stage="socket",
        condition=_nobody,
        sentence="no program on {host} listens on port {port}",
        cure="start the receiver first, on port {port} of {host}, and keep its socket open",
        reads=(_LIST,),
        reference=_UDP,
        place="code",
    ),
    Check(
        id="namespace.other",
        stage="socket",
        condition=obstacle("namespace.other"),
        sentence="the receiver's socket was opened in another network namespace, and a socket stays where it was opened",
        cure="open it inside the host: with host.inside(), host.receiver(), host.popen()",
        reads=("the receiver's socket: SO_NETNS_COOKIE", "the cookie of the host's namespace"),
        reference="network_namespaces(7); socket(7)",
        place="code",
    ),
    Check(
        id="family.other",
        stage="socket",
        condition=obstacle("family.other"),
        sentence="an IPv4 socket receives no IPv6 datagrams",
        cure="open a socket of AF_INET6 for an IPv6 group",
        reads=(_NAME,),
        reference="RFC 3493 section 3.1",
        place="code",
    ),
    Check(
        id="family.v6only",
        stage="socket",
        condition=obstacle("family.v6only"),
        sentence="an IPv6 socket with IPV6_V6ONLY receives no IPv4 datagrams, though it could join an IPv4 group",
        cure="open a socket of AF_INET for an IPv4 group, or set IPV6_V6ONLY to 0 before bind()",
        reads=("the receiver's socket: IPV6_V6ONLY",),
        reference="RFC 3493 section 5.3",
        place="code",
    ),
    Check(
        id="port.unbound",
        stage="socket",
        condition=obstacle("port.unbound"),
        sentence="the receiver's socket is not bound to a port, so nothing can be for it",
        cure="call bind() with the port of the channel before the join",
        reads=(_NAME,),
        reference=_UDP,
        place="code",
    ),
    Check(
        id="port.other",
        stage="socket",
        condition=obstacle("port.other"),
        sentence="the receiver's socket is bound to port {port}, and the datagrams go to another",
        cure="bind to the port that is sent to; with port 0 the kernel picks one, which getsockname() tells",
        reads=(_NAME,),
        reference=_UDP,
        place="code",
    ),
    Check(
        id="bind.unicast",
        stage="socket",
        condition=obstacle("bind.unicast"),
        sentence="the receiver's socket is bound to {address}, so it gets only what is sent to that address",
        cure="bind to the group or to no address (0.0.0.0, ::), and name {interface} in the join",
        reads=(_NAME, _LIST),
        reference="ip(7) Address format; RFC 3678 section 1",
        place="code",
    ),
    Check(
        id="bind.other-group",
        stage="socket",
        condition=obstacle("bind.other-group"),
        sentence="the receiver's socket is bound to another group, {address}, so it gets only what is sent to that",
        cure="bind to the group that is sent to, or to no address (0.0.0.0, ::), and join that group",
        reads=(_NAME, _LIST),
        reference="ip(7) Address format",
        place="code",
    ),
    Check(
        id="device.other",
        stage="socket",
        condition=obstacle("device.other"),
        sentence="the receiver's socket is bound to the interface {device}, but the datagrams come in on {interface}",
        cure="bind it to {interface}, and join there: Receiver(interface=...), SO_BINDTODEVICE",
        reads=("the receiver's socket: SO_BINDTODEVICE", _LIST),
        reference="socket(7) SO_BINDTODEVICE",
        place="code",
    ),
    Check(
        id="scope.other",
        stage="socket",
        condition=obstacle("scope.other"),
        sentence="the scope id of the address that the socket is bound to means {device}, but the datagrams come in on {interface}",
        cure="bind with the index of {interface} as scope id, (group, port, 0, index), and join there",
        reads=(_NAME,),
        reference="RFC 4007 section 6; RFC 3493 section 3.3",
        place="code",
    ),
    Check(
        id="peer.connected",
        stage="socket",
        condition=obstacle("peer.connected"),
        sentence="the receiver's socket is connected to {peer}, so it does not get what is sent to the group",
        cure="do not connect() a socket that receives from a group",
        reads=("the receiver's socket: getpeername", _LIST, "the sender's socket: getsockname"),
        reference="connect(2); udp(7)",
        place="code",
    ),
)
