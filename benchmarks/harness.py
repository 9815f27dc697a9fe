"""Pairs of times, or of bytes, and how they are taken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

__all__ = ["BENCHMARKS", "PAIRS", "PASSES", "Benchmark", "Skip", "Times", "benchmark", "interleave", "measure"]

PASSES = 4  # over all benchmarks: when the machine is busy for some seconds, it spoils one pass and not one benchmark
PAIRS = 5  # of one benchmark in one pass, at the least


class Skip(Exception):  # noqa: N818 - not an error
    """A benchmark cannot run here; the text says why."""


@dataclass(frozen=True)
class Times:
    """Seconds (or bytes) for one operation, pair by pair: ours, and what it is compared with."""

    ours: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def extend(self, more: Times) -> None:
        """Add the pairs of another pass."""
        self.ours.extend(more.ours)
        self.beside.extend(more.beside)

    @property
    def best(self) -> tuple[float, float]:
        """The minimum of each side: whatever else the machine does only ever adds to a time."""
        return min(self.ours), min(self.beside)


@dataclass(frozen=True)
class Benchmark:
    """A pair to be measured: ``what`` is ours, ``beside`` what it is compared with, in words; ``unit`` is s or B."""

    name: str
    what: str
    beside: str
    run: Callable[[], Times]
    unit: str = "s"


BENCHMARKS: list[Benchmark] = []


def benchmark(
    what: str, *, beside: str, each: Sequence[str] = (), unit: str = "s"
) -> Callable[[Callable[..., Times]], Callable[..., Times]]:
    """Declare a function to be a benchmark; its name is that of the function, the texts are those of ``Benchmark``.

    With ``each`` it is one benchmark for each of these arguments, which also replaces ``{}`` in ``what``.
    """

    def declare(function: Callable[..., Times]) -> Callable[..., Times]:
        name = function.__name__.replace("_", "-")
        if not each:
            BENCHMARKS.append(Benchmark(name, what, beside, function, unit))
        for one in each:
            run = partial(function, one)
            BENCHMARKS.append(Benchmark(f"{name}-{one.replace(' ', '-')}", what.format(one), beside, run, unit))
        return function

    return declare


def interleave(
    ours: Callable[[], object], beside: Callable[[], object], *, calls: int = 1, pairs: int = PAIRS
) -> Times:
    """Time the two in turn, ``pairs`` times, and more often if that takes less than a quarter of a second.

    ``calls`` are timed in one go; enough of them make the clock's own time negligible. The first call of each is not
    timed: it fills caches.
    """
    ours()
    beside()
    times = Times()
    sides = [(ours, times.ours), (beside, times.beside)]
    end = perf_counter() + 0.25
    while len(times.ours) < pairs or perf_counter() < end:
        for function, samples in sides:
            start = perf_counter()
            for _ in range(calls):
                function()
            samples.append((perf_counter() - start) / calls)
        sides.reverse()  # neither is always the one that follows the other
    return times


def measure(benchmarks: Sequence[Benchmark]) -> list[Times | Skip]:
    """Run them all, ``PASSES`` times; return what was found of each."""
    found: list[Times | Skip] = [Times() for _ in benchmarks]
    for number in range(PASSES):
        print(f"pass {number + 1} of {PASSES}", file=sys.stderr)
        for place, (times, one) in enumerate(zip(found, benchmarks, strict=True)):
            if isinstance(times, Times):
                try:
                    times.extend(one.run())
                except Skip as skip:
                    found[place] = skip
    return found
