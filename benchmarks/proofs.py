"""Proofs that nothing was delivered, beside the time-out that proves nothing."""

from __future__ import annotations

from contextlib import suppress

from pytest_mcast import Lab, NotReceived
from pytest_mcast.packets import Prober

from .harness import Times, benchmark, interleave
from .places import need_namespaces

FAMILIES = ("ipv4", "ipv6")
TIME_OUT = 0.1  # seconds


@benchmark("Proof of non-delivery: `mcast_probe(case)`, {}", beside="a time-out of 100 ms", each=FAMILIES)
def probe(family: str) -> Times:
    need_namespaces()
    with Lab() as lab:
        rx, tx = lab.hosts(2)
        with (
            rx.receiver(lab.channel(family, source=tx)) as receiver,
            Prober(receiver, tx, rx) as prober,
        ):

            def time_out() -> None:
                with suppress(NotReceived):
                    receiver.recv(TIME_OUT)

            return interleave(lambda: prober("ssm.wrong-source").expect_not_delivered(), time_out)


@benchmark("Proof of non-delivery: `expect_nothing(sent, fence=...)`, {}", beside="a time-out of 100 ms", each=FAMILIES)
def expect_nothing(family: str) -> Times:
    need_namespaces()
    with Lab() as lab:
        rx, good, bad = lab.hosts(3)
        channel = lab.channel(family, source=good)
        with rx.receiver(channel) as receiver, bad.sender(channel) as spoof, good.sender(channel) as fence:

            def time_out() -> None:
                with suppress(NotReceived):
                    receiver.recv(TIME_OUT)

            return interleave(lambda: receiver.expect_nothing(spoof.send(b"spoof"), fence=fence), time_out)
