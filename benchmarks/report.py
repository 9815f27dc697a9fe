"""The table of results in Markdown, and the page around it."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import pytest

import pytest_mcast

from .harness import PAIRS, PASSES, Benchmark, Skip, Times

__all__ = ["page", "table"]

_PAGE = """\
# Performance

What pytest-mcast costs, beside what one would do without it; *ratio* is ours divided by that.

{table}

Both sides of a line were measured in turn in one run, at least {pairs} times each (whole runs of pytest {passes} times); the minimum of each
side counts. The times are those of one machine; the ratios are what to compare.

Measured with {versions}, by `python -m benchmarks --write docs/performance.md`.
"""


def table(benchmarks: Sequence[Benchmark], found: Sequence[Times | Skip]) -> str:
    """Return a line for each benchmark."""
    lines = ["| what | ours | beside | ratio |", "|---|--:|---|--:|"]
    for benchmark, times in zip(benchmarks, found, strict=True):
        if isinstance(times, Skip):
            lines.append(f"| {benchmark.what} | skipped | {times} | |")
        else:
            ours, beside = times.best
            compared = f"{_amount(beside, benchmark.unit)}: {benchmark.beside}"
            lines.append(
                f"| {benchmark.what} | {_amount(ours, benchmark.unit)} | {compared} | {_ratio(ours / beside)} |"
            )
    return "\n".join(lines)


def page(table: str) -> str:
    """Return the whole document."""
    return _PAGE.format(table=table, pairs=PAIRS * PASSES, passes=PASSES, versions=_versions())


def _versions() -> str:
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    return (
        f"pytest-mcast {pytest_mcast.__version__}, {platform.python_implementation()} {platform.python_version()}, "
        f"pytest {pytest.__version__}, {kernel}"
    )


def _amount(number: float, unit: str) -> str:
    """Write a time with three significant digits, or bytes."""
    return f"{number:,.0f} bytes" if unit == "B" else _time(number)


def _time(seconds: float) -> str:
    """Write a time with three significant digits."""
    unit, number = next(
        ((unit, seconds * factor) for unit, factor in (("s", 1), ("ms", 1e3)) if seconds * factor >= 1),
        ("us", seconds * 1e6),
    )
    return f"{number:.{max(0, 3 - len(str(int(number))))}f} {unit}"


def _ratio(ratio: float) -> str:
    """Write a ratio with two decimals, or with two digits when it is small."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
