"""Asks a socket of this process about itself, and what it has joined of all that its host has."""

from __future__ import annotations

import socket
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.evidence import joined_by, socket_options, socket_state

from .facts import Facts, NotRead

__all__ = ["ask"]


def ask(sock: socket.socket, channel: Channel, facts: Facts) -> dict[str, Any]:
    """Return ``socket_options``, ``socket_state``, and as ``joined`` what it has joined, if that can be read."""
    found = {**socket_options(sock), **socket_state(sock)}
    if facts.system != "linux" or sock.fileno() < 0:
        return found
    try:
        indices = {link["name"]: link["index"] for link in facts.links()}
        of_host = {(indices[each["interface"]], each["group"]) for each in facts.memberships()}
    except (NotRead, KeyError):  # an interface came while they were read
        return found
    # The channel's group on every interface: the socket may have joined where the host is no member any more.
    asked = of_host | {(index, channel.group) for index in indices.values()}
    return {**found, "joined": joined_by(sock, sorted(asked))}
