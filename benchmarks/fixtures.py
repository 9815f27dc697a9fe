"""What the fixtures cost a test."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from .harness import Times, benchmark
from .places import need_namespaces, python

SUITE = Path(__file__).with_name("suite")


@benchmark(
    "A test with `mcast_receiver` and `mcast_sender`, on {}",
    beside="the same with sockets by hand, on loopback",
    each=("loopback", "virtual hosts"),
)
def fixtures(place: str) -> Times:
    if place == "virtual hosts":
        need_namespaces()
    where = ["--mcast-iface", "127.0.0.1"] if place == "loopback" else []
    with tempfile.TemporaryDirectory() as folder:
        settings, times = Path(folder, "pytest.ini"), Path(folder, "times.json")
        settings.write_text("[pytest]\n")
        # One session, whose tests take turns: the first ones pay for the hosts, the minimum is of the others.
        plugin = ["-p", "mcast", "--mcast-require", "all", *where]
        apart = ["-qx", "-c", str(settings), "--confcutdir", str(SUITE), "--import-mode=importlib"]
        python("-m", "pytest", *apart, *plugin, "--times", times, SUITE)
        found = json.loads(times.read_text())
    return Times(found["test_ours"], found["test_by_hand"])
