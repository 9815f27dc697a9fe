"""A virtual network as text: its links, and who is plugged in where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pytest_mcast.core.interfaces import Interface
from pytest_mcast.evidence.links import links as read_links

from .direct import DirectLink
from .link import Link
from .router import Router
from .snooping import Snooping
from .switch import Switch
from .virtualhost import VirtualHost

__all__ = ["draw"]


def draw(links: Iterable[Link], hosts: Iterable[VirtualHost], names: Mapping[Link, str] = MappingProxyType({})) -> str:
    """Draw links, and those of the hosts that are on them, a line for each; hosts that are on no link come last.

    ``names`` are other names of links than their own.
    """
    plugged: dict[Link, list[tuple[VirtualHost, Interface]]] = {link: [] for link in links}
    alone: list[VirtualHost] = []
    for host in hosts:
        of_host = {interface.index: interface for interface in host.interfaces}
        ends = [(port.link, of_host[index]) for index, port in host.plugged.items() if index in of_host]
        ends += [(link, host.interface) for link in plugged if isinstance(link, DirectLink) and host in link.ends]
        for link, interface in ends:
            plugged.setdefault(link, []).append((host, interface))
        if not ends:
            alone.append(host)
    lines = [line for link, ends in plugged.items() for line in _link(link, names.get(link, link.name), ends)]
    lines += [f"{host} is on no link" for host in alone]
    return "\n".join(lines)


def _link(link: Link, name: str, ends: list[tuple[VirtualHost, Interface]]) -> Iterator[str]:
    yield f"{name}: {_kind(link)}, MTU {link.mtu}"
    names = _columns([f"{host}{' (router)' if isinstance(host, Router) else ''}" for host, _ in ends])
    interfaces = _columns([interface.name for _, interface in ends])
    for number, (host, interface) in enumerate(ends):
        corner = "└──" if number == len(ends) - 1 else "├──"
        words = [corner, names[number], interfaces[number], " ".join(_shown(interface))]
        if not _plugged_in(host, interface):
            words.append("(unplugged)")
        port = host.plugged.get(interface.index)
        if port is not None and port.impaired is not None:
            words.append(f"(impaired: {port.impaired.impairment})")
        yield " ".join(words).rstrip()


def _kind(link: Link) -> str:
    if isinstance(link, DirectLink):
        return "a cable"
    return _snooping(link.settings, strict=link.strict) if isinstance(link, Switch) else "a flat switch"


def _snooping(settings: Snooping, *, strict: bool) -> str:
    if not settings.snooping:
        return "a switch that does not snoop"
    asks = (
        f"asks by IGMPv{settings.igmp_version} and MLDv{settings.mld_version}" if settings.querier else "does not ask"
    )
    return f"a switch that snoops and {asks}" + (", strict" if strict else "")


def _plugged_in(host: VirtualHost, interface: Interface) -> bool:
    with host.inside():
        return any(link["index"] == interface.index and link["carrier"] for link in read_links())


def _shown(interface: Interface) -> tuple[str, ...]:
    """Return the addresses, but for the link-local one, which follows from the others in a lab."""
    wide = tuple(address for address in interface.addresses if not address.startswith("fe80:"))
    return wide or interface.addresses


def _columns(words: list[str]) -> list[str]:
    width = max(map(len, words), default=0)
    return [word.ljust(width) for word in words]
