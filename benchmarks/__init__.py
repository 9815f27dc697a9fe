"""What pytest-mcast costs, each time beside what one would do without it.

``python -m benchmarks [NAME ...] [--write docs/performance.md]`` prints a table in Markdown, and writes it with all
that belongs to it. ``python -m benchmarks --list`` names the benchmarks.

A benchmark is a function that returns the ``Times`` of a pair, ours and what it is compared with, taken in turn::

    @benchmark("proof of non-delivery", beside="time-out of 100 ms")
    def non_delivery() -> Times:
        with loopback() as (host, picker):
            ...
            return interleave(prove, time_out)

It raises ``Skip`` where it cannot run. Nothing here asserts on a time: the numbers are for people to judge.
"""
