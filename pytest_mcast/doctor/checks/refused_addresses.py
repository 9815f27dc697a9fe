"""Causes of a refused call in the addresses of an interface: none, not yet, no longer, or another host's."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from pytest_mcast.core.errors import InterfaceError
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow

from .refusals import caller, eui64, link_local_ipv4, link_of, place, said
from .refused_interfaces import NO_ADDRESS, ipv6_off, mtu_too_small, with_interface_up

__all__ = ["CHECKS"]


def _works(flow: Flow) -> tuple[End, Mapping[str, Any]] | None:
    """Return the same if IPv6, as far as it is needed, is there, so that it must be the address."""
    found = with_interface_up(flow, *NO_ADDRESS)
    return None if found is None or any(ipv6_off(flow)) or any(mtu_too_small(flow)) else found


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
    device = quote(end.interface)
    if family == "ipv6":
        command = f"ip -6 addr add {eui64('fe80::', link['mac'])}/64 dev {device} nodad"
    else:
        command = f"ip addr add {link_local_ipv4(link['mac'])}/16 dev {device}; "
        command += f"ip route add 224.0.0.0/4 dev {device}"
    name = {"ipv4": "IPv4", "ipv6": "IPv6"}[family]
    yield Match(
        "certain",
        (said(flow), f"{end.interface} of {end.name} has no {name} address"),
        {"interface": end.interface, "family": name, "command": command},
        place(flow),
    )


def _foreign_address(flow: Flow) -> Iterator[Match]:
    # To send, IPv6 takes what it finds by itself: then the same code is about that.
    code = {"join": errno.ENODEV, "open": errno.EADDRNOTAVAIL, "bind": errno.EADDRNOTAVAIL}.get(flow.call)
    end = None if code is None else caller(flow, code)
    found = _works(flow)
    if isinstance(flow.error, InterfaceError):  # then no address was named
        return
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


def _address_gone(flow: Flow) -> Iterator[Match]:
    # IPv6 goes on sending from an address that is no longer there (measured, Linux 6.18).
    found = with_interface_up(flow, errno.ENETUNREACH)
    if found is None or flow.channel.family == "ipv6" or flow.call != "send":
        return
    end, _ = found
    local = end.sockets[0].get("local", [""])[0] if end.sockets else ""
    if local in ("", "0.0.0.0"):  # noqa: S104 - what is looked for
        return
    own = [each["address"] for each in end.facts.addresses(family="ipv4")]
    if local not in own:
        yield Match(
            "certain",
            (said(flow), f"the socket is bound to {local}; {end.name} has {', '.join(own)}"),
            {"address": local, "interface": end.interface},
            place(flow),
        )


#: Checks of the addresses of a refused call's interface.
CHECKS: tuple[Check, ...] = (
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
    Check(
        id="address.gone",
        stage="call",
        condition=_address_gone,
        sentence="the socket sends from {address}, which no interface has any more",
        cure="give {interface} the address again, or open the socket anew",
        command="ip addr add {address}/32 dev {interface}",
        reads=("addresses", "the sender's socket: getsockname(2)"),
        reference="ip(7), ENETUNREACH",
        place="sender",
    ),
)
