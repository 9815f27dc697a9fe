"""What a socket of this process says about itself, and what it has joined of all that its host has."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading, joined_by, socket_options, socket_state

__all__ = ["MOST", "Joinable", "describe_socket"]

#: How many sockets are looked at, which takes about 0.1 ms each; and how many memberships each of them is asked for.
MOST = 50


class Joinable:
    """What a socket of the calling thread's network namespace may have joined, as a host's ``readings`` tell."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        reading = readings.get("memberships", Reading(refused="nobody has read it"))
        self._known = LINUX and not reading.refused
        if not self._known:
            return
        self._indices = {name: index for index, name in socket.if_nameindex()}
        pairs = [(self._indices.get(each["interface"]), each["group"]) for each in reading.value]
        self._pairs = {(index, group) for index, group in pairs if index is not None}

    def asked(self, group: str | None) -> list[tuple[int, str]] | None:
        """Return what to ask a socket for, by interface index and group; None when nobody knows.

        The ``group`` is asked for on every interface: the socket may have joined where the host is no member any more. It
        is all that is asked for when the host has more than ``MOST`` memberships.
        """
        if not self._known or (group is None and len(self._pairs) > MOST):
            return None
        more = set() if group is None else {(index, group) for index in self._indices.values()}
        return sorted(more if len(self._pairs) > MOST else self._pairs | more)


def describe_socket(sock: socket.socket, joinable: Joinable, group: str | None = None) -> dict[str, Any]:
    """Return ``socket_options``, ``socket_state``, and as ``joined`` what it has joined, if somebody could tell.

    To be called in the network namespace that ``joinable`` was made in.
    """
    if sock.fileno() < 0:
        return {}
    found = {**socket_options(sock), **socket_state(sock)}
    asked = joinable.asked(group)
    return found if asked is None else {**found, "joined": joined_by(sock, asked)}
