"""Repeats the tests that could be flaky, with all cores busy: ``soak.py [TIMES [FILE...]]`` (default 50).

As root and as an ordinary user, one process and four, in random order; with files of the project's own tests, those
(``-n auto``). Ends at the first failure.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SUPPORT = Path(__file__).parent
FOUR_WAYS = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_delivery(mcast_receiver, mcast_sender, n):
    mcast_sender.send(b"hello")
    assert mcast_receiver.recv().payload == b"hello"

def test_echo(mcast_echo, mcast_sender):
    mcast_sender.send(b"hello")
    assert mcast_sender.recv().payload == b"hello"

def test_three_hosts(mcast_lab, mcast_kind):
    family, mode = mcast_kind
    rx, tx, other = mcast_lab.hosts(3)
    channel = mcast_lab.channel(family, source=tx if mode == "ssm" else None)
    receiver = rx.receiver(channel)
    tx.sender(channel).send(b"hello")
    assert receiver.recv().payload == b"hello"
"""


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep all cores busy, twice over."""
    spin = [sys.executable, "-c", "import os\nstarter = os.getppid()\nwhile os.getppid() == starter: pass"]
    spinners = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    files = sys.argv[2:]
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--mcast-lab", "--mcast-require=all"]
    as_user = [sys.executable, str(SUPPORT / "as_user.py")]
    ways = {
        "as we are": pytest,
        "as we are, -n 4": [*pytest, "-n4"],
        "ordinary user": [*as_user, *pytest],
        "ordinary user, -n 4": [*as_user, *pytest, "-n4"],
    }
    if files:
        ways = {
            name: [*start, *pytest, "-nauto", *files] for name, start in (("as we are", []), ("ordinary user", as_user))
        }
    with tempfile.TemporaryDirectory(prefix="pytest-mcast-") as directory, busy_cores():
        os.chmod(directory, 0o755)  # noqa: S103 - the ordinary user reads it
        Path(directory, "test_four_ways.py").write_text(FOUR_WAYS)
        where = SUPPORT.parents[1] if files else directory
        for number in range(times):
            for name, command in ways.items():
                result = subprocess.run(command, cwd=where, text=True, capture_output=True, check=False, timeout=900)
                if result.returncode != 0 or not (files or "20 passed" in result.stdout):
                    print(result.stdout + result.stderr)
                    print(f"soak: round {number + 1}, {name}: FAILED")
                    return 1
            print(f"soak: round {number + 1} passed", flush=True)
        what = " ".join(files) or "20 tests each"
        print(f"soak: {times} rounds of {len(ways)} ways, {what}, all cores busy: all passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
