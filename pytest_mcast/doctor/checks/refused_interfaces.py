"""Causes of a refused call at the interface: it is gone, down, without IPv6, or not the socket's."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow

from .refusals import caller, link_of, place, said

__all__ = ["CHECKS", "NO_ADDRESS", "ipv6_off", "mtu_too_small", "with_interface_up"]

_NO_DEVICE = (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL, errno.ENETUNREACH)
#: What the kernel says when an interface, or its address, cannot be used.
NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENODEV)
_LEAST_MTU = 1280  # RFC 8200 section 5


def _gone(flow: Flow) -> Iterator[Match]:
    end = caller(flow, *_NO_DEVICE)
    if end is None or link_of(end) is not None:
        return
    names = ", ".join(link["name"] for link in end.facts.links() if "loopback" not in link["flags"]) or "lo"
    yield Match(
        "certain",
        (said(flow), f"{end.name} has {names}"),
        {"interface": end.interface, "host": end.name, "names": names},
    )


def with_interface_up(flow: Flow, *codes: int) -> tuple[End, Mapping[str, Any]] | None:
    """Return the end whose call was refused, and its interface if that is up."""
    end = caller(flow, *codes)
    link = None if end is None else link_of(end)
    return (end, link) if end is not None and link is not None and "up" in link["flags"] else None


def _down(flow: Flow) -> Iterator[Match]:
    end = caller(flow, *NO_ADDRESS)
    link = None if end is None else link_of(end)
    if end is None or link is None or "up" in link["flags"]:
        return
    yield Match(
        "certain",
        (said(flow), f"{end.interface} of {end.name} is not up (operstate {link['operstate']})"),
        {"interface": end.interface},
        place(flow),
    )


def ipv6_off(flow: Flow) -> Iterator[Match]:
    """Yield a match if IPv6 is switched off on the interface, which is up."""
    found = with_interface_up(flow, *NO_ADDRESS)
    if found is None or flow.channel.family == "ipv4" or any(mtu_too_small(flow)):  # then there is no such sysctl
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


def mtu_too_small(flow: Flow) -> Iterator[Match]:
    """Yield a match if the MTU of the interface, which is up, is too small for IPv6."""
    found = with_interface_up(flow, *NO_ADDRESS)
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


def _device_conflict(flow: Flow) -> Iterator[Match]:
    end = caller(flow, errno.EINVAL)
    if end is None or flow.call != "open" or not end.sockets:
        return
    device = end.sockets[0].get("device")
    if device and device != end.interface:
        yield Match(
            "certain",
            (said(flow), f"the socket is bound to {device} (SO_BINDTODEVICE); {end.interface} is meant"),
            {"device": device, "interface": end.interface},
        )


def _no_family(flow: Flow) -> Iterator[Match]:
    end = caller(flow, errno.EAFNOSUPPORT)
    if end is not None and flow.channel.family == "ipv6":
        yield Match("certain", (said(flow),), {"host": end.name})


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
        condition=ipv6_off,
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
        condition=mtu_too_small,
        sentence="the MTU of {interface} is {mtu}: below 1280 there is no IPv6",
        cure="raise the MTU, and let the kernel make the addresses anew",
        command="ip link set {interface} mtu 1500",
        reads=("links",),
        reference="RFC 8200 section 5",
        place="sender",
    ),
    Check(
        id="device.conflict",
        stage="call",
        condition=_device_conflict,
        sentence="a socket that is bound to {device} cannot be told to send out of {interface}",
        cure="bind it to {interface}, or to no interface: SO_BINDTODEVICE",
        reads=("the sender's socket: SO_BINDTODEVICE",),
        reference="socket(7), SO_BINDTODEVICE; ip(7), IP_MULTICAST_IF",
        place="code",
    ),
    Check(
        id="ipv6.missing",
        stage="call",
        condition=_no_family,
        sentence="the kernel of {host} has no IPv6",
        cure="start it without ipv6.disable=1, and with the module ipv6",
        reads=("the errno of socket(2)",),
        reference="socket(2), EAFNOSUPPORT",
        place="code",
        verified=False,
    ),
)
