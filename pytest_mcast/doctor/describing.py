"""What a socket of this process says about itself, and what it has joined of all that its host has."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from typing import Any

from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading, joined_by, socket_options, socket_state

__all__ = ["MOST", "describe_socket", "memberships_of"]

#: How many sockets are looked at, which takes about 0.1 ms each; and how many memberships each of them is asked for.
MOST = 50


def describe_socket(
    sock: socket.socket, memberships: Collection[Mapping[str, Any]] | None, group: str | None = None
) -> dict[str, Any]:
    """Return ``socket_options``, ``socket_state``, and as ``joined`` which memberships of its host are its own.

    To be called inside the host. ``joined`` is not there when nobody could read what the host has joined (None). The
    ``group`` is asked for on every interface: the socket may have joined where the host is no member any more. It is all
    that is asked for when the host has more than ``MOST`` memberships.
    """
    if sock.fileno() < 0:
        return {}
    found = {**socket_options(sock), **socket_state(sock)}
    if not LINUX or memberships is None:
        return found
    indices = {name: index for index, name in socket.if_nameindex()}
    asked = {(indices[each["interface"]], each["group"]) for each in memberships if each["interface"] in indices}
    if len(asked) > MOST:
        if group is None:
            return found
        asked.clear()
    if group is not None:
        asked |= {(index, group) for index in indices.values()}
    return {**found, "joined": joined_by(sock, sorted(asked))}


def memberships_of(readings: Mapping[str, Reading]) -> list[Mapping[str, Any]] | None:
    """Return what a host has joined, as far as somebody has read it; else None."""
    reading = readings.get("memberships")
    value: list[Mapping[str, Any]] | None = None if reading is None or reading.refused else reading.value
    return value
