"""Causes in the switch between two hosts: what keeps its ports from carrying anything, or anything this large."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow
from pytest_mcast.doctor.switching import Port, Way, way_through

__all__ = ["CHECKS"]

_HEADERS = {"ipv4": 20, "ipv6": 40}
_UDP = 8
_FRAGMENT_HEADER = {"ipv4": 0, "ipv6": 8}
# What an interface takes above its MTU: room for a VLAN tag (linux/netdevice.h, is_skb_forwardable).
_SPARE = 4


def _there(port: Port) -> str:
    return f"{port.name} ({port.end.interface} of {port.end.name})"


def _bridge_down(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is not None and "up" not in way.bridge["flags"]:
        name = way.bridge["name"]
        yield Match("certain", (f"{name} is not up",), {"bridge": name})


def _unplugged(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is None:
        return
    for port in way.ports:
        if not way.plugged(port):
            master = port.link["master"]
            seen = f"{_there(port)} belongs to " + ("no bridge" if master is None else way.facts.link(master)["name"])
            yield Match("certain", (seen,), {"port": port.name, "bridge": way.bridge["name"], "host": port.end.name})


def _port_down(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    for port in () if way is None else way.ports:
        if not port.up:
            yield Match("certain", (f"{_there(port)} is not up",), {"port": port.name, "host": port.end.name})


def _silent_ports(way: Way | None, *, spanning_tree: bool) -> Iterator[Match]:
    """Yield the ports that do not forward although they could; the kernel sets those that could not to disabled."""
    if way is None or "up" not in way.bridge["flags"] or way.options.get("stp", False) != spanning_tree:
        return
    for port in way.ports:
        state = port.options.get("state", "forwarding")
        if way.plugged(port) and port.up and port.link["carrier"] and state != "forwarding":
            values = {"port": port.name, "host": port.end.name, "state": state, "bridge": way.bridge["name"]}
            yield Match("certain", (f"{_there(port)} is in state {state}",), values)


def _not_forwarding(flow: Flow) -> Iterator[Match]:
    yield from _silent_ports(way_through(flow), spanning_tree=False)


def _spanning_tree(flow: Flow) -> Iterator[Match]:
    yield from _silent_ports(way_through(flow), spanning_tree=True)


def _isolated(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is not None and not way.ends_here and all(port.options.get("isolated") for port in way.ports):
        seen = f"{_there(way.sender)} and {_there(way.receiver)} are both isolated"
        hosts = {"sender": way.sender.end.name, "receiver": way.receiver.end.name}
        yield Match("certain", (seen,), {"port": way.receiver.name, **hosts})


def _locked(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is None:
        return
    for port in _speaking(flow, way):
        if way.shuts_out(port):
            mac = port.end.facts.link(port.end.interface)["mac"]
            seen = f"{_there(port)} is locked, and the switch does not know {mac} there"
            yield Match("certain", (seen,), {"port": port.name, "host": port.end.name, "mac": mac})


def _speaking(flow: Flow, way: Way) -> Iterator[Port]:
    """Yield the ports at which the switch must take something: the sender's datagrams, the receiver's reports."""
    if flow.call != "report":
        yield way.sender
    unheard = all(each["port"] != way.receiver.name for each in way.entries(flow.channel.group))
    if flow.call == "report" or (way.goes_by_mdb(flow.channel.group) and unheard):
        yield way.receiver


def _too_narrow(flow: Flow) -> Iterator[Match]:
    way = way_through(flow)
    if way is None:
        return
    sends = way.sender.end.facts.link(way.sender.end.interface)["mtu"]
    for port in way.ports:
        mtu = port.link["mtu"]
        if flow.size is None:
            if sends > mtu:
                seen = f"the MTU of {_there(port)} is {mtu}, that of {way.sender.end.name} {sends}"
                yield Match("possible", (seen,), {"port": port.name, "mtu": mtu, "wanted": sends})
            continue
        length = _largest_packet(flow.channel.family, flow.size, sends)
        if length > mtu + _SPARE:
            seen = f"packets of {length} bytes; the MTU of {_there(port)} is {mtu}"
            yield Match("certain", (seen,), {"port": port.name, "mtu": mtu, "wanted": sends})


def _largest_packet(family: str, size: int, mtu: int) -> int:
    """Return the bytes of the largest packet in which a payload leaves, with its IP header (RFC 791, RFC 8200 4.5)."""
    header = _HEADERS[family]
    if header + _UDP + size <= mtu:
        return header + _UDP + size
    room = mtu - header - _FRAGMENT_HEADER[family]
    return mtu - room % 8


#: Checks of the switch's ports.
CHECKS: tuple[Check, ...] = (
    Check(
        id="switch.down",
        stage="network",
        condition=_bridge_down,
        sentence="{bridge}, the switch, is off, so that nothing gets from port to port",
        cure="switch it on",
        command="ip link set dev {bridge} up",
        reads=("links of the switch",),
        reference="ip-link(8)",
        place="switch",
    ),
    Check(
        id="switch-port.unplugged",
        stage="network",
        condition=_unplugged,
        sentence="{host} is plugged into {port}, which is no port of the switch {bridge}",
        cure="make it one",
        command="ip link set dev {port} master {bridge}",
        reads=("links of the switch",),
        reference="ip-link(8)",
        place="switch",
    ),
    Check(
        id="switch-port.down",
        stage="network",
        condition=_port_down,
        sentence="the cable of {host} is pulled: {port}, its port of the switch, is down",
        cure="plug it in: switch the port on",
        command="ip link set dev {port} up",
        reads=("links of the switch",),
        reference="ip-link(8)",
        place="switch",
    ),
    Check(
        id="switch-port.not-forwarding",
        stage="network",
        condition=_not_forwarding,
        sentence="{port}, the port of {host}, is in state {state}, and carries nothing",
        cure="set it to forwarding",
        command="bridge link set dev {port} state 3",
        reads=("links of the switch: state of the ports",),
        reference="bridge(8)",
        place="switch",
    ),
    Check(
        id="switch-port.spanning-tree",
        stage="network",
        condition=_spanning_tree,
        sentence="the spanning tree keeps {port}, the port of {host}, in state {state}, which carries nothing",
        cure="wait until it forwards (twice the forward delay, 30 s); without loops, switch the spanning tree off",
        command="ip link set dev {bridge} type bridge stp_state 0 && bridge link set dev {port} state 3",
        reads=("links of the switch: spanning tree, state of the ports",),
        reference="IEEE 802.1D-2004 section 17; ip-link(8), stp_state",
        place="switch",
    ),
    Check(
        id="switch-port.isolated",
        stage="network",
        condition=_isolated,
        sentence="{sender} and {receiver} are on isolated ports, between which the switch forwards nothing",
        cure="end the isolation of one",
        command="bridge link set dev {port} isolated off",
        reads=("links of the switch: isolated ports",),
        reference="bridge(8)",
        place="switch",
    ),
    Check(
        id="switch-port.locked",
        stage="network",
        condition=_locked,
        sentence="{port}, the port of {host}, is locked (802.1X), and takes nothing from {mac}",
        cure="let {host} in: unlock the port, or add its address to the forwarding database",
        command="bridge link set dev {port} locked off",
        reads=("links of the switch: locked ports", "forwarding database of the switch", "links of the sender"),
        reference="bridge(8)",
        place="switch",
    ),
    Check(
        id="switch-port.mtu",
        stage="network",
        condition=_too_narrow,
        sentence="the datagrams are larger than the MTU of {port}, {mtu} bytes, and a switch makes no fragments",
        cure="give the port the MTU of the sender, or send less at once",
        command="ip link set dev {port} mtu {wanted}",
        reads=("links of the switch and of the sender: MTU",),
        reference="RFC 791 section 2.3; RFC 8200 section 5",
        place="switch",
    ),
)
