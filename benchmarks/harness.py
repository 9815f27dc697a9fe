"""Pairs of times, and the functions that take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

__all__ = ["BENCHMARKS", "PAIRS", "Benchmark", "Skip", "Times", "benchmark", "interleave"]

PAIRS = 20  # at the least


class Skip(Exception):  # noqa: N818 - not an error
    """A benchmark cannot run here; the text says why."""


@dataclass(frozen=True)
class Times:
    """Seconds for one operation, pair by pair: ours, and what it is compared with."""

    ours: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    @property
    def best(self) -> tuple[float, float]:
        """The minimum of each side: whatever else the machine does only ever adds to a time."""
        return min(self.ours), min(self.beside)


@dataclass(frozen=True)
class Benchmark:
    """A pair to be measured: ``what`` is ours, ``beside`` what it is compared with, in words."""

    name: str
    what: str
    beside: str
    run: Callable[[], Times]


BENCHMARKS: list[Benchmark] = []


def benchmark(
    what: str, *, beside: str, each: Sequence[str] = ()
) -> Callable[[Callable[..., Times]], Callable[..., Times]]:
    """Declare a function to be a benchmark, under its own name; the rest is as in ``Benchmark``.

    With ``each`` it is one benchmark for each of these arguments, which also replace ``{}`` in the texts.
    """

    def declare(function: Callable[..., Times]) -> Callable[..., Times]:
        name = function.__name__.replace("_", "-")
        if not each:
            BENCHMARKS.append(Benchmark(name, what, beside, function))
        for one in each:
            run = partial(function, one)
            BENCHMARKS.append(Benchmark(f"{name}-{one}", what.format(one), beside.format(one), run))
        return function

    return declare


def interleave(
    ours: Callable[[], object], beside: Callable[[], object], *, calls: int = 1, seconds: float = 1.0
) -> Times:
    """Time the two in turn, ``PAIRS`` times or more, until ``seconds`` are over.

    ``calls`` are timed in one go, as many as make the clock's own time negligible. What the first call of each costs
    more (imports, caches) is left out.
    """
    ours()
    beside()
    times = Times()
    sides = [(ours, times.ours), (beside, times.beside)]
    end = perf_counter() + seconds
    while len(times.ours) < PAIRS or perf_counter() < end:
        for function, samples in sides:
            samples.append(_time(function, calls))
        sides.reverse()  # neither is always the one that comes after the other
    return times


def _time(function: Callable[[], object], calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        function()
    return (perf_counter() - start) / calls
