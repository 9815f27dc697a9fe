"""What pytest-mcast costs, each time beside what one would do without it.

``python -m benchmarks [NAME ...] [--write docs/performance.md]`` prints a table in Markdown, and writes the page that
holds it. A benchmark is a function that returns the times of a few pairs, ours and what it is compared with::

    @benchmark("Proof of non-delivery", beside="a time-out of 100 ms")
    def non_delivery() -> Times:
        with loopback("ipv4") as (channel, interface):
            ...
            return interleave(prove, time_out)

It raises ``Skip`` where it cannot run; a new module of benchmarks is imported by ``__main__``. Nothing here asserts on
a time: the numbers are for people to judge.
"""
