"""Causes of a refused call at the interface: it is gone, down, without IPv6, or its address cannot be used."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow

from .refusals import caller, eui64, link_local_ipv4, link_of, place, said

__all__ = ["CHECKS"]

_NO_DEVICE = (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL, errno.ENETUNREACH)
_NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENODEV)
_LEAST_MTU = 1280  # RFC 8200 section 5


def _gone(flow: Flow) -> Iterator[Match]:
    end = caller(flow, *_NO_DEVICE)
    if end is None or link_of(end) is not None:
        return
    names = ", ".join(link["name"] for link in end.facts.links())
    yield Match(
        "certain",
        (said(flow), f"{end.name} has the interfaces {names}"),
        {"interface": end.interface, "host": end.name, "names": names},
    )


def _up(flow: Flow, *codes: int) -> tuple[End, Mapping[str, Any]] | None:
    """Return the end whose call was refused, and its interface if that is up."""
    end = caller(flow, *codes)
    link = None if end is None else link_of(end)
    return (end, link) if end is not None and link is not None and "up" in link["flags"] else None


def _down(flow: Flow) -> Iterator[Match]:
    end = caller(flow, *_NO_ADDRESS)
    link = None if end is None else link_of(end)
    if end is None or link is None or "up" in link["flags"]:
        return
    yield Match(
        "certain",
        (said(flow), f"{end.interface} of {end.name} is not up (operstate {link['operstate']})"),
        {"interface": end.interface},
        place(flow),
    )


def _ipv6_off(flow: Flow) -> Iterator[Match]:
    found = _up(flow, *_NO_ADDRESS)
    if found is None or flow.channel.family == "ipv4":
        return
    end, _ = found
    name = f"net.ipv6.conf.{end.interface.replace('.', '/')}.disable_ipv6"
    if end.facts.sysctl_int(name):
        yield Match(
            "certain",
            (said(flow), f"{name} = 1"),
            {"interface": end.interface, "name": name},
            place(flow),
        )


def _mtu_too_small(flow: Flow) -> Iterator[Match]:
    found = _up(flow, *_NO_ADDRESS)
    if found is None or flow.channel.family == "ipv4":
        return
    end, link = found
    if link["mtu"] < _LEAST_MTU:
        yield Match(
            "certain",
            (said(flow), f"the MTU of {end.interface} is {link['mtu']}, and IPv6 needs {_LEAST_MTU}"),
            {"interface": end.interface, "mtu": link["mtu"]},
            place(flow),
        )


def _works(flow: Flow) -> tuple[End, Mapping[str, Any]] | None:
    """Return the same if IPv6, as far as it is needed, is there, so that it must be the address."""
    found = _up(flow, *_NO_ADDRESS)
    return None if found is None or any(_ipv6_off(flow)) or any(_mtu_too_small(flow)) else found


def _flagged(flow: Flow, flag: str, *, without: str = "") -> Iterator[tuple[End, Mapping[str, Any]]]:
    end = caller(flow, errno.EADDRNOTAVAIL)
    if end is None or link_of(end) is None or flow.channel.family == "ipv4" or flow.call == "join":
        return
    addresses = end.facts.addresses(end.interface, "ipv6")
    usable = [each for each in addresses if not {"tentative", "dadfailed"} & set(each["flags"])]
    for address in addresses:
        if flag in address["flags"] and without not in address["flags"] and _meant(flow, address, usable):
            yield end, address
            return


def _meant(flow: Flow, address: Mapping[str, Any], usable: list[Mapping[str, Any]]) -> bool:
    """Return whether it is the address to send from: the channel's source; or one of this scope, with none that is usable."""
    if flow.channel.source is not None:
        return bool(address["address"] == flow.channel.source)
    return not any(each["scope"] == address["scope"] for each in usable)


def _tentative(flow: Flow) -> Iterator[Match]:
    for end, address in _flagged(flow, "tentative", without="dadfailed"):
        text = f"{address['address']}/{address['prefix']}"
        yield Match(
            "certain",
            (said(flow), f"{address['address']} on {end.interface} is tentative"),
            {"address": text, "interface": end.interface},
            place(flow),
        )


def _duplicate(flow: Flow) -> Iterator[Match]:
    for end, address in _flagged(flow, "dadfailed"):
        link = end.facts.link(end.interface)
        new = eui64(address["address"], link["mac"])
        if new == address["address"]:
            continue  # two hosts with one Ethernet address: no other address helps
        yield Match(
            "certain",
            (said(flow), f"{address['address']} on {end.interface} has failed duplicate address detection (dadfailed)"),
            {
                "address": address["address"],
                "old": f"{address['address']}/{address['prefix']}",
                "new": f"{new}/{address['prefix']}",
                "interface": end.interface,
            },
            place(flow),
        )


def _no_address(flow: Flow) -> Iterator[Match]:
    found = _works(flow)
    if found is None:
        return
    end, link = found
    family = flow.channel.family
    if end.facts.addresses(end.interface, family) or (family == "ipv6" and flow.call == "join"):
        return
    if family == "ipv6":
        command = f"ip -6 addr add {eui64('fe80::', link['mac'])}/64 dev {end.interface} nodad"
    else:
        command = f"ip addr add {link_local_ipv4(link['mac'])}/16 dev {end.interface}; "
        command += f"ip route add 224.0.0.0/4 dev {end.interface}"
    yield Match(
        "certain",
        (said(flow), f"{end.interface} of {end.name} has no {family} address"),
        {"interface": end.interface, "family": {"ipv4": "IPv4", "ipv6": "IPv6"}[family], "command": command},
        place(flow),
    )


def _foreign_address(flow: Flow) -> Iterator[Match]:
    codes = (errno.ENODEV,) if flow.call == "join" else (errno.EADDRNOTAVAIL,)
    end = caller(flow, *codes)
    found = _works(flow)
    if end is None or found is None or (flow.call == "join" and flow.channel.family == "ipv6"):
        return
    own = [each["address"] for each in end.facts.addresses(end.interface, flow.channel.family)]
    if not own or any(_flagged(flow, "tentative")):
        return
    if flow.call == "join" and "error" in end.facts.route_to(flow.channel.group):
        return  # it may be that no address was named at all
    yield Match(
        "certain",
        (said(flow), f"{end.name} has on {end.interface}: {', '.join(own)}"),
        {"host": end.name, "interface": end.interface, "address": own[0]},
    )


#: Checks of the interface of a refused call.
CHECKS: tuple[Check, ...] = (
    Check(
        id="interface.gone",
        stage="call",
        condition=_gone,
        sentence="{host} has no interface {interface}",
        cure="name one that is there: {names}",
        reads=("links",),
        reference="netdevice(7); ip(7), ENODEV",
        place="code",
    ),
    Check(
        id="interface.down",
        stage="call",
        condition=_down,
        sentence="{interface} is down",
        cure="set it up",
        command="ip link set {interface} up",
        reads=("links",),
        reference="ip-link(8)",
        place="sender",
    ),
    Check(
        id="ipv6.disabled",
        stage="call",
        condition=_ipv6_off,
        sentence="IPv6 is switched off on {interface}",
        cure="switch it on",
        command="sysctl -w {name}=0",
        reads=("links", "net.ipv6.conf.*.disable_ipv6"),
        reference="ip-sysctl, disable_ipv6",
        place="sender",
    ),
    Check(
        id="ipv6.mtu",
        stage="call",
        condition=_mtu_too_small,
        sentence="the MTU of {interface} is {mtu}: below 1280 there is no IPv6",
        cure="raise the MTU, and let the kernel make the addresses anew",
        command="ip link set {interface} mtu 1500",
        reads=("links",),
        reference="RFC 8200 section 5",
        place="sender",
    ),
    Check(
        id="address.tentative",
        stage="call",
        condition=_tentative,
        sentence="{address} is still being checked for duplicates, and nothing can be sent from it before",
        cure="wait 1 to 2 s; or have the address without the check",
        command="ip -6 addr del {address} dev {interface} && ip -6 addr add {address} dev {interface} nodad",
        reads=("links", "addresses"),
        reference="RFC 4862 section 5.4",
        place="sender",
    ),
    Check(
        id="address.duplicate",
        stage="call",
        condition=_duplicate,
        sentence="another host on the link of {interface} has the address {address}, so that it is not used here",
        cure="take another address, such as that of the Ethernet address, which is unique",
        command="ip -6 addr del {old} dev {interface} && ip -6 addr add {new} dev {interface} nodad",
        reads=("links", "addresses"),
        reference="RFC 4862 section 5.4.5",
        place="sender",
    ),
    Check(
        id="address.missing",
        stage="call",
        condition=_no_address,
        sentence="{interface} has no {family} address",
        cure="give it one, of its network or a link-local one",
        command="{command}",
        reads=("links", "addresses", "net.ipv6.conf.*.disable_ipv6"),
        reference="RFC 4291 section 2.5.6; RFC 3927",
        place="sender",
    ),
    Check(
        id="address.foreign",
        stage="call",
        condition=_foreign_address,
        sentence="the address that the call has named belongs to no interface of {host}",
        cure="name an address of {interface}, such as {address}",
        reads=("links", "addresses", "route_to"),
        reference="ip(7), IP_MULTICAST_IF, IP_ADD_MEMBERSHIP; bind(2), EADDRNOTAVAIL",
        place="code",
    ),
)
