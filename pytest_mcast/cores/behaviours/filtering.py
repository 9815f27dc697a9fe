"""What is not of the channel is not delivered, though another receiver of the host wants it: proved by control and fence."""

from __future__ import annotations

from pytest_mcast.packets import Prober

from .behaviour import behaviour
from .bench import Bench

__all__ = ["other_group", "other_port", "wrong_source"]


@behaviour(
    "filter.group", "another group on the same port is not delivered", "RFC 1112 section 7.2, ip(7) IP_MULTICAST_ALL"
)
def other_group(bench: Bench) -> None:
    """Look whether a neighbour's group is kept out."""
    _probe(bench, "group.other")


@behaviour("filter.port", "another port of the same group is not delivered", "RFC 1122 section 4.1.3.1")
def other_port(bench: Bench) -> None:
    """Look whether a neighbour's port is kept out."""
    _probe(bench, "port.other")


@behaviour("filter.source", "another source is not delivered", "RFC 4607 section 4.2", modes=("ssm",))
def wrong_source(bench: Bench) -> None:
    """Look whether a source that a neighbour wants is kept out."""
    _probe(bench, "ssm.wrong-source-with-neighbour")


def _probe(bench: Bench, case: str) -> None:
    bench.need("payload")
    rx, tx = bench.lab.hosts(2)
    receiver = bench.open(bench.channel(tx), rx)
    with Prober(receiver, tx, rx, timeout=bench.timeout) as probe:
        probe("legitimate").check()
        verdict = probe(case).check()
    bench.evidence.append(f"{case}: {verdict.control}; fence arrived")
