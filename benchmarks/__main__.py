"""``python -m benchmarks``; the docstring of the package says more."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import bursts, conformance, doctor, endpoints, fixtures, labs, matrix, proofs, startup, subscriptions  # noqa: F401 - they declare the benchmarks, in this order
from .harness import BENCHMARKS, measure
from .report import page, table


def main() -> None:
    """Measure, print the table, and write the page."""
    names = ", ".join(one.name for one in BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", epilog=f"The benchmarks are: {names}.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a benchmark, or how the names of several begin")
    parser.add_argument("--write", metavar="PATH", type=Path, help="also write the page here")
    options = parser.parse_args()
    for name in options.names:
        if not any(one.name.startswith(name) for one in BENCHMARKS):
            parser.error(f"there is no benchmark {name!r}; there are {names}")
    chosen = [one for one in BENCHMARKS if one.name.startswith(tuple(options.names) or "")]
    found = table(chosen, measure(chosen))
    print(found)
    if options.write is not None:
        options.write.write_text(page(found))


if __name__ == "__main__":
    main()
