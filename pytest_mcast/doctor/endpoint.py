"""The endpoints of a test: sockets that receive a channel, or send to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mcast.core.channels import Channel
from pytest_mcast.hosts import Host

__all__ = ["Endpoint"]


@dataclass(frozen=True)
class Endpoint:
    """A socket of a test: a receiver of a channel, or a sender to one (None: to whatever its datagrams say).

    ``options`` are those of ``describe_socket``, empty when it was not asked; ``count`` is how many datagrams it has sent
    or delivered, None when it does not count; ``largest`` is the largest payload that it has sent, in bytes; ``owner`` is our object that it belongs to, if it is one.
    """

    host: Host
    role: str  # receiver or sender
    channel: Channel | None
    interface: str
    options: Mapping[str, Any]
    count: int | None = None
    owner: object = field(default=None, compare=False)
    largest: int | None = None
