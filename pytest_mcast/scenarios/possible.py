"""Which cells there can be at all: what the protocols and the hosts allow."""

from __future__ import annotations

from pytest_mcast.core.channels import SCOPES

from .declarations import Declarations
from .model import Cell, HostSpec
from .paths import NOT_FORWARDED, Paths, names_of

__all__ = ["LARGEST", "scopes", "why_not"]

#: Bytes of payload: the largest datagram less the UDP header, and less the IPv4 header, which counts (RFC 791, RFC 8200).
LARGEST = {"ipv4": 65535 - 20 - 8, "ipv6": 65535 - 8}

_MTU = 1500
_HEADERS = {"ipv4": 20 + 8, "ipv6": 40 + 8}

# What a program sends at once has to wait in Linux's default receive buffer (net.core.rmem_default, 212992 bytes), with
# the kernel's bookkeeping: 2.3 kB for each fragment.
_ROOM, _EACH = 200_000, 2000
_SHORT = 100  # bytes of payload where no size is named, at the most

# Those with free groups: 224.0.0/24, which is link-local, is all assigned, and IPv4 knows no others (RFC 2365).
_IPV4_SCOPES = ("realm-local", "admin-local", "organization-local", "global")


def scopes(family: str, mode: str) -> tuple[str, ...]:
    """Return the scopes in which there are free groups; IPv4 has source-specific ones (232/8) in a single one."""
    if family == "ipv6":
        return SCOPES
    return _IPV4_SCOPES if mode == "asm" else ("global",)


def why_not(cell: Cell, declared: Declarations) -> tuple[str, str] | None:
    """Return the axis by which a cell is impossible, and why; None if it is possible."""
    allowed = scopes(cell.family, cell.mode)
    if cell.scope is not None and cell.scope not in allowed:
        return (
            "scope",
            f"{cell.family} {cell.mode} has no free groups of scope {cell.scope}, only of {', '.join(allowed)}",
        )
    most = LARGEST[cell.family]
    if cell.size is not None and cell.size > most:
        return "size", f"{cell.family} carries no more than {most} bytes"
    receiver = declared.hosts[cell.receiver.host]
    trouble = _no_way(declared.hosts[cell.sender.host], receiver, declared.paths)
    if trouble is not None:
        return "receiver", trouble
    trouble = _too_narrow(cell, declared)
    if trouble is not None:
        return "scope", trouble
    trouble = _in_fragments(cell, declared)
    if trouble is not None:
        return "size", trouble
    trouble = _too_much(cell, declared)
    if trouble is not None:
        return "steps" if cell.size is None else "size", trouble
    trouble = _why_not_steps(cell, declared)
    return None if trouble is None else ("steps", trouble)


def _no_way(one: HostSpec, other: HostSpec, paths: Paths) -> str | None:
    """Say why nothing that a virtual host sends reaches another one."""
    if paths.between(one, other) is not None:
        return None
    where = [
        f"{host.name} uses {host.interface} on {f'the link {host.link}' if host.link else 'no link'}"
        for host in (one, other)
    ]
    routers = f", and no router leads from {one.link} to {other.link}" if one.link and other.link else ""
    return f"nothing gets from host to host: {' and '.join(where)}{routers}"


def _too_narrow(cell: Cell, declared: Declarations) -> str | None:
    """Say why a group does not get over the routers on the way."""
    if cell.scope not in NOT_FORWARDED:
        return None
    for sender, way in declared.paths.of(cell, declared.hosts).items():
        if way:
            ends = f"{sender} to {cell.receiver.host}"
            return f"no router forwards groups of scope {cell.scope}, and from {ends} the way is over {names_of(way)}"
    return None


def _in_fragments(cell: Cell, declared: Declarations) -> str | None:
    """Say why it could not be told what impaired cables do to a datagram: they lose each fragment by itself."""
    if cell.size is None or not any(link.impair for link in declared.links.values()):
        return None
    receiver = declared.hosts[cell.receiver.host]
    for name, way in declared.paths.of(cell, declared.hosts).items():
        places = [(declared.hosts[name].link, name), (receiver.link, receiver.name)]
        for hop in way:
            interfaces = declared.routers[hop.router].interfaces
            places += [(interfaces[hop.incoming], hop.router), (interfaces[hop.outgoing], hop.router)]
        links = [declared.links[link] for link, _ in places if link is not None]
        impaired = [place for link, place in places if link is not None and place in declared.links[link].impair]
        if name == receiver.name or not impaired:
            continue
        most = min(link.mtu or _MTU for link in links) - _HEADERS[cell.family]
        if cell.size > most:
            return f"it would be in fragments, each of which the cable of {impaired[0]} loses by itself; no more than {most}"
    return None


def _too_much(cell: Cell, declared: Declarations) -> str | None:
    """Say why a sender that is a program cannot send so many datagrams: nobody reads while it does."""
    if cell.sender.subject is None or declared.subjects[cell.sender.subject].sender == "builtin":
        return None
    count = max((step.count for step in cell.steps if step.action == "send" and not step.origin), default=0)
    most = max(1, _ROOM // (2 * (cell.size or _SHORT) + _EACH))
    if count <= most:
        return None
    size = "" if cell.size is None else f" of {cell.size} bytes"
    return f"{cell.sender} is a program, which sends all {count} datagrams{size} at once; a receive buffer holds {most}"


def _why_not_steps(cell: Cell, declared: Declarations) -> str | None:
    receiver = declared.hosts[cell.receiver.host]
    for step in cell.steps:
        if step.action == "send" and step.origin:
            trouble = _no_way(declared.hosts[step.origin], receiver, declared.paths)
            if trouble is not None:
                return f"the step '{step}': {trouble}"
        if step.action in ("block", "unblock") and cell.mode != "asm":
            return f"the step '{step}' is for mode asm: {cell.mode} has one source, and blocks none"
        if step.action == "link" and receiver.kind != "planned" and not receiver.link:
            what = "its interface is lo" if receiver.kind == "virtual" else f"it is {receiver.kind}"
            return f"the step '{step}' is for receivers on virtual hosts with a link; {receiver.name}: {what}"
        if cell.mode == "ssm" and step.action == "send" and step.arrives and step.origin not in ("", cell.sender.host):
            return f"the step '{step}': mode ssm receives from {cell.sender.host} only; write arrives: false"
    return None
