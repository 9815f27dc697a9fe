"""Which cells there can be at all: what the protocols and the hosts allow."""

from __future__ import annotations

from pytest_mcast.core.channels import SCOPES

from .declarations import Declarations
from .model import Cell

__all__ = ["LARGEST", "scopes", "why_not"]

#: Bytes of payload: the largest datagram less the UDP header, and less the IPv4 header, which counts (RFC 791, RFC 8200).
LARGEST = {"ipv4": 65535 - 20 - 8, "ipv6": 65535 - 8}

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
    trouble = _why_not_steps(cell, declared)
    return None if trouble is None else ("steps", trouble)


def _why_not_steps(cell: Cell, declared: Declarations) -> str | None:
    receiver = declared.hosts[cell.receiver.host]
    for step in cell.steps:
        if step.action in ("block", "unblock") and cell.mode != "asm":
            return f"the step '{step}' is for mode asm: {cell.mode} has one source, and blocks none"
        if (
            step.action == "link"
            and receiver.kind != "planned"
            and not receiver.interfaces.get(receiver.interface or "")
        ):
            what = "its interface is lo" if receiver.kind == "virtual" else f"it is {receiver.kind}"
            return f"the step '{step}' is for receivers on virtual hosts with a link; {receiver.name}: {what}"
        if cell.mode == "ssm" and step.action == "send" and step.arrives and step.origin not in ("", cell.sender.host):
            return f"the step '{step}': mode ssm receives from {cell.sender.host} only; write arrives: false"
    return None
