"""Receivers that were told how much they may take: what they cut off is told, or they are found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_mcast import Channel, Datagram, Host, LabView
from pytest_mcast.catalogue.sizes import limited
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import Bench, Unsupported
from pytest_mcast.cores.builtin import BuiltInCore, BuiltInReceiver
from pytest_mcast.cores.naive import NaiveCore

families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


class SilentReceiver(BuiltInReceiver):
    """A receiver that does not say what it has cut off."""

    def recv(self, timeout: float | None = None) -> Datagram:
        return replace(super().recv(timeout), truncated=False)


class ShyReceiver(BuiltInReceiver):
    """A receiver that delivers nothing of which it has cut off something."""

    def recv(self, timeout: float | None = None) -> Datagram:
        while (datagram := super().recv(timeout)).truncated:
            pass
        return datagram


class Core(BuiltInCore):
    """The built-in core with receivers of another class."""

    def __init__(self, kind: type[BuiltInReceiver]) -> None:
        self.kind = kind

    def open(
        self,
        channel: Channel,
        host: Host,
        *,
        interface: str | None = None,
        timeout: float = 5.0,
        receive_buffer: int | None = None,
        max_size: int = 65535,
    ) -> BuiltInReceiver:
        return self.kind(host.receiver(channel, timeout=timeout, receive_buffer=receive_buffer, max_size=max_size))


@families
@pytest.mark.parametrize("kind", [BuiltInReceiver, ShyReceiver])
def test_what_is_cut_off_is_told_or_not_delivered(mcast_lab: LabView, family: str, kind: type) -> None:
    with Bench(Core(kind), mcast_lab, family, "asm") as bench:
        limited(101, 100)(bench)
        limited(100, 100)(bench)
        limited(3000, 1472, 1000)(bench)
    delivered = ["not delivered" if kind is ShyReceiver else "delivered", "delivered"]
    assert bench.evidence[:2] == [
        f"{delivered[0]}, of 101 bytes at most 100",
        f"{delivered[1]}, of 100 bytes at most 100",
    ]


@families
def test_what_is_cut_off_in_silence_is_found_out(mcast_lab: LabView, family: str) -> None:
    with Bench(Core(SilentReceiver), mcast_lab, family, "ssm") as bench:
        limited(100, 100)(bench)
        with pytest.raises(CoreFailure, match="took 100 bytes of 101, and did not say so"):
            limited(101, 100)(bench)


def test_a_core_without_limits_is_unsupported(mcast_lab: LabView) -> None:
    with Bench(NaiveCore(), mcast_lab, "ipv4", "asm") as bench, pytest.raises(Unsupported, match="cannot be set"):
        limited(101, 100)(bench)
