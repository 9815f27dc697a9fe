"""What senders do, looked at by the receive core of this package and on the wire."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pytest_mcast
from pytest_mcast.core.errors import MissingCapability, NotReceived

from .protocol import CoreFailure, ExpectedFailure
from .runner import KINDS, Result, expected_failure

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.hosts import Host
    from pytest_mcast.lab import LabView, VirtualHost
    from pytest_mcast.lab.view import HostPool

__all__ = ["SENDING", "BuiltInSender", "SendingProgram", "run_sender"]

_COUNT = 5
_TTL = 7


class SendingProgram(Protocol):
    """What sends: see ``ExternalSender``."""

    @property
    def name(self) -> str:
        """Its name in tables and messages."""

    @property
    def version(self) -> str:
        """The version of what really runs."""

    @property
    def expected_failures(self) -> Sequence[ExpectedFailure]:
        """Its known findings."""

    def send(
        self, channel: Channel, host: Host, *, payload: str, count: int = 1, ttl: int = 1, interface: str | None = None
    ) -> None:
        """Send, and return when that is done."""


class BuiltInSender:
    """The sender of this package: ``pytest_mcast.Sender``."""

    name = "builtin"
    version: str = pytest_mcast.__version__
    expected_failures: tuple[ExpectedFailure, ...] = ()

    def send(
        self, channel: Channel, host: Host, *, payload: str, count: int = 1, ttl: int = 1, interface: str | None = None
    ) -> None:
        """Send by a sender of the host."""
        options: dict[str, Any] = {} if interface is None else {"interface": interface}
        with host.sender(channel, ttl=ttl, **options) as sender:
            for _ in range(count):
                sender.send(payload.encode())


def run_sender(
    sender: SendingProgram,
    pool: HostPool,
    kinds: Iterable[tuple[str, str]] = KINDS,
    *,
    behaviours: Sequence[str] | None = None,
    timeout: float = 5.0,
) -> Iterator[Result]:
    """Yield what a sender does, for each kind of channel; ``timeout`` in seconds is spent in vain only.

    ``behaviours`` are ids of ``SENDING`` (default: all).
    """
    from pytest_mcast.lab.view import LabView

    for family, mode in kinds:
        for name in SENDING if behaviours is None else behaviours:
            _, look = SENDING[name]
            outcome, reason, version = "pass", "", ""
            try:
                version = sender.version
                with LabView(pool) as lab:
                    look(sender, lab, family, mode, timeout)
            except MissingCapability as error:
                outcome, reason = "skipped", str(error)
            except AssertionError as error:
                unclaimed = isinstance(error, CoreFailure) and error.kind == "unsupported"
                outcome, reason = "unsupported" if unclaimed else "fail", str(error)
            except Exception as error:  # noqa: BLE001 - a sender in this process may raise anything
                outcome, reason = "error", f"{type(error).__name__}: {error}"
            known = expected_failure(sender.expected_failures, version, name, f"{family}-{mode}")
            yield Result(sender.name, version, name, family, mode, outcome, reason, (), known)


def _delivery(sender: SendingProgram, lab: LabView, family: str, mode: str, timeout: float) -> None:
    rx, tx = lab.hosts(2)
    channel = lab.channel(family, source=tx if mode == "ssm" else None)
    _expect(sender, channel, tx, rx, timeout)


def _hop_limit(sender: SendingProgram, lab: LabView, family: str, mode: str, timeout: float) -> None:
    rx, tx = lab.hosts(2)
    channel = lab.channel(family, source=tx if mode == "ssm" else None)
    _expect(sender, channel, tx, rx, timeout, ttl=_TTL)


def _interface(sender: SendingProgram, lab: LabView, family: str, mode: str, timeout: float) -> None:
    tx = lab.host(interfaces={"eth0": "first", "eth1": "second"})
    rx = lab.host(interfaces={"eth0": "second"})
    source = tx.find("eth1").address(family, "link-local") if mode == "ssm" else None
    _expect(sender, lab.channel(family, source=source), tx, rx, timeout, interface="eth1")


def _expect(
    sender: SendingProgram,
    channel: Channel,
    tx: VirtualHost,
    rx: VirtualHost,
    timeout: float,
    *,
    ttl: int = 1,
    interface: str | None = None,
) -> None:
    payload = f"sent {secrets.token_hex(8)}"
    with rx.receiver(channel, timeout=timeout) as receiver:
        sender.send(channel, tx, payload=payload, count=_COUNT, ttl=ttl, interface=interface)
        try:
            datagrams = receiver.expect(_COUNT)
        except NotReceived as error:
            raise NotReceived(f"{sender.name}: of {_COUNT} that it was to send not all came: {error}") from None
    for datagram in datagrams:
        told = (datagram.payload.decode(errors="replace").rstrip("\n"), datagram.ttl)
        if not told[0].startswith(payload) or told[1] != ttl:
            raise CoreFailure(
                "wrong", f"{sender.name} sent {told[0]!r} with TTL {told[1]}, not {payload!r} with TTL {ttl}"
            )


#: What is looked at, by id: a title, and the function.
SENDING: dict[str, tuple[str, Callable[[SendingProgram, LabView, str, str, float], None]]] = {
    "send.delivery": (f"{_COUNT} datagrams arrive, from the channel's source", _delivery),
    "send.ttl": ("the TTL or hop limit is what was asked for", _hop_limit),
    "send.interface": ("the interface is the one that was named, with its address as the source", _interface),
}
