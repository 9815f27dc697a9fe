"""The sockets that a datagram of a flow may be for: those of the code under test, or else whatever is on its port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .facts import Facts, NotRead
from .flow import End, Flow

__all__ = ["Ear", "Joined", "ears", "listed", "strangers"]

_MOST_NAMED = 5
_INDEX = "index "
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - that is what is looked for


@dataclass(frozen=True)
class Joined:
    """A membership of one socket: ``mode`` is include (only ``sources``) or exclude (all but ``sources``)."""

    interface: str
    group: str
    mode: str
    sources: tuple[str, ...]

    def refuses(self, source: str | None) -> bool:
        """Whether it keeps out what comes from a source; not when that is unknown."""
        return source is not None and (source in self.sources) == (self.mode == "exclude")


@dataclass(frozen=True)
class Ear:
    """A UDP socket on the receiving host; None where something is not known of it.

    ``address`` is empty for every address. ``joined`` is what the socket itself has joined.
    """

    name: str
    known: bool
    family: str
    address: str
    port: int
    peer: tuple[str, int] | None
    device: str | None
    inode: int | None = None
    scope: int = 0
    elsewhere: bool = False
    joined: tuple[Joined, ...] | None = None
    takes_all: bool | None = None
    reuse_port: bool | None = None
    v6only: bool | None = None
    filter: int | None = None
    queued: int = 0
    drops: int = 0
    buffer: int | None = None

    @property
    def device_is_gone(self) -> bool:
        """Whether it is bound to an interface that is there no more."""
        return (self.device or "").startswith(_INDEX)


def ears(flow: Flow) -> list[Ear]:
    """Return the sockets of the code under test that are open; when none is known, all that are on the port.

    Raises ``NotRead``.
    """
    if flow.receiver is None:
        return []
    known = [_known(end, flow.receiver.facts) for end in flow.receiver.sockets if "local" in end]
    return known or strangers(flow, flow.receiver)


def strangers(flow: Flow, end: End) -> list[Ear]:
    """Return the sockets on the port of a flow, as the kernel lists them; raises ``NotRead``."""
    found = [_listed(each, end.facts) for each in end.facts.sockets(flow.channel.port)]
    return [
        each for each in found if each.family == flow.channel.family or (not each.address and each.family == "ipv6")
    ]


def listed(names: Sequence[str]) -> str:
    """Return a list in words; of a long one the first, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:_MOST_NAMED])} and {more} more"


def _known(options: Mapping[str, Any], facts: Facts) -> Ear:
    address, port = options["local"][:2]
    peer = options.get("peer")
    return Ear(
        "the socket",
        known=True,
        family=options["family"],
        address=_plain(address),
        port=port,
        peer=None if peer is None else (_plain(peer[0]), peer[1]),
        device=_device(options, facts),
        inode=options.get("inode"),
        scope=options.get("scope", 0),
        elsewhere="namespace" in options and options["namespace"] != facts.read("namespace"),
        joined=_joined(options, facts),
        takes_all=_flag(options, "multicast_all"),
        reuse_port=_flag(options, "reuse_port"),
        v6only=_flag(options, "v6only"),
        filter=options.get("filter"),
        queued=options.get("queued", 0),
        drops=options.get("drops", 0),
        buffer=options.get("receive_buffer"),
    )


def _listed(each: Mapping[str, Any], facts: Facts) -> Ear:
    index = each["interface"]
    return Ear(
        f"a socket of user {each['uid']} (inode {each['inode']})",
        known=False,
        family=each["family"],
        address=_plain(each["local"]),
        port=each["port"],
        peer=(_plain(each["peer"]), each["peer_port"]) if each["peer_port"] else None,
        device=None if index is None else _name(index, facts),
        inode=each["inode"],
        takes_all=_flag(each, "multicast_all"),
        v6only=_flag(each, "v6only"),
        queued=each["queued"],
        drops=each["drops"] or 0,
        buffer=each["receive_buffer"],
    )


def _flag(options: Mapping[str, Any], name: str) -> bool | None:
    value = options.get(name)
    return None if value is None else bool(value)


def _device(options: Mapping[str, Any], facts: Facts) -> str | None:
    device: str | None = options.get("device")
    if not device and options.get("scope"):
        return _name(options["scope"], facts)
    # SO_BINDTODEVICE cannot be read when the device is gone; the kernel's list of sockets goes on naming its index.
    return device or _gone(options, facts)


def _gone(options: Mapping[str, Any], facts: Facts) -> str | None:
    try:
        listed = [each for each in facts.sockets(options["local"][1]) if each["inode"] == options.get("inode")]
        return next((name for each in listed if (name := _name(each["interface"] or 0, facts))), None)
    except NotRead:
        return None


def _joined(options: Mapping[str, Any], facts: Facts) -> tuple[Joined, ...] | None:
    if "joined" not in options:
        return None
    return tuple(
        Joined(_name(each["index"], facts), each["group"], each["mode"], tuple(each["sources"]))
        for each in options["joined"]
    )


def _name(index: int, facts: Facts) -> str:
    if not index:
        return ""
    try:
        return str(facts.link(index)["name"])
    except NotRead:  # of another namespace, or gone
        return f"{_INDEX}{index}"


def _plain(address: str) -> str:
    """Return an address without zone, of its own family; empty for every address."""
    address = address.partition("%")[0]
    if address in _WILDCARDS:
        return ""
    return address[7:] if address.startswith("::ffff:") and "." in address else address
