"""What a conformance case costs, beside the time-out that would prove less."""

from __future__ import annotations

from contextlib import suppress
from statistics import median
from time import perf_counter

from pytest_mcast import Lab, NotReceived
from pytest_mcast.catalogue import matching, run_case
from pytest_mcast.cores import BuiltInCore
from pytest_mcast.lab.view import HostPool

from .harness import Skip, Times, benchmark
from .places import need_namespaces

KINDS = ("ipv4-ssm", "ipv6-ssm")
TIME_OUT = 0.1  # seconds


@benchmark("Conformance case, median of all, built-in core, {}", beside="a time-out of 100 ms", each=KINDS)
def conformance(kind: str) -> Times:
    need_namespaces()
    family, mode = kind.split("-")
    times = Times()
    with Lab() as lab:
        pool = HostPool(lab)
        taken = []
        for case, _, _ in matching([(family, mode)]):
            start = perf_counter()
            result = run_case(case, BuiltInCore(), pool, family, mode)
            taken.append(perf_counter() - start)
            if result.outcome == "error":
                raise Skip(str(result))
        times.ours.append(median(taken))
        rx = lab.host()
        with rx.receiver(lab.channel(family)) as receiver:
            start = perf_counter()
            with suppress(NotReceived):
                receiver.recv(TIME_OUT)
            times.beside.append(perf_counter() - start)
    return times
