"""Whatever ends a run, its namespaces, interfaces and programs are gone.

A namespace cannot be looked for, because it has no name. So a canary is put into each: one end of a veth pair, whose
other end is ours. The kernel deletes both when it destroys the namespace, and not before.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_mcast.lab import Namespace, netlink

DAEMON = Path(__file__).parents[1] / "support" / "daemon.py"

SUITE = """
    import os
    import socket
    import sys

    import pytest

    @pytest.fixture
    def sock(mcast_lab, mcast_receiver):
        host = mcast_lab.host("server")
        lifeline = os.open(os.environ["LIFELINE"], os.O_WRONLY)
        host.popen([sys.executable, os.environ["DAEMON"]], ready="daemon", keep=[lifeline])
        with host:
            sock = socket.socket()
        report = os.open(os.environ["REPORT"], os.O_WRONLY)
        os.write(report, f"{os.getpid()} {host.namespace.descriptor}".encode())
        os.close(report)
        os.close(lifeline)
        os.read(os.open(os.environ["GO"], os.O_RDONLY), 1)
        return sock

    def test_it(sock, mcast_receiver):
        if os.environ["AND_THEN"] == "wait":
            mcast_receiver.recv(timeout=60)
        sock.close()
        assert os.environ["AND_THEN"] != "fail"
"""


# The time-out is that of the test itself: on a busy machine the network alone may take as long.
_INI = "[pytest]\ntimeout_func_only = true\n"


class Canaries:
    """Ends of veth pairs in namespaces of others."""

    def __init__(self) -> None:
        self._cage = Namespace.create()
        with self._cage:
            self._connection = netlink.Netlink()
        self._indexes: list[int] = []

    def put(self, path: str) -> None:
        """Put one into the namespace behind a path."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            number = 500_000 + 2 * len(self._indexes)
            names = f"canary{number}", f"canary{number + 1}"
            self._connection.run(
                netlink.veth(
                    names[0],
                    number,
                    "02:00:00:00:00:01",
                    master=None,
                    peer=(names[1], number + 1, "02:00:00:00:00:02"),
                    peer_namespace=descriptor,
                    mtu=1500,
                )
            )
            self._indexes.append(number)
        finally:
            os.close(descriptor)

    def wait_until_gone(self) -> None:
        """Wait until the kernel has deleted all of them."""
        for number in self._indexes:
            self._connection.wait_until_gone(number, timeout=30)

    def close(self) -> None:
        self._connection.close()
        self._cage.close()


@pytest.fixture
def canaries() -> Iterator[Canaries]:
    canaries = Canaries()
    yield canaries
    canaries.close()


class Run:
    """A pytest of its own that has come as far as the test wants."""

    def __init__(self, directory: Path, canaries: Canaries, options: list[str], and_then: str) -> None:
        self.lifeline, lifeline = os.pipe()
        report, write = os.pipe()
        wait, go = os.pipe()
        ours = f"/proc/{os.getpid()}/fd"  # a worker of xdist inherits no descriptors
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ipv6-ssm", *options],
            cwd=directory,
            env={
                **os.environ,
                "LIFELINE": f"{ours}/{lifeline}",
                "REPORT": f"{ours}/{write}",
                "GO": f"{ours}/{wait}",
                "AND_THEN": and_then,
                "DAEMON": str(DAEMON),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert select.select([report], [], [], 30)[0]
        said = os.read(report, 100).split()
        self.pid = int(said[0])
        canaries.put(f"/proc/{self.pid}/fd/{int(said[1])}")
        canaries.put(f"/proc/{self.pid}/ns/net")
        for descriptor in (lifeline, report, write, wait, go):
            os.close(descriptor)

    def output(self) -> str:
        """Wait for the end and return what was printed."""
        return self.process.communicate(timeout=60)[0].decode()

    def daemon_is_gone(self) -> bool:
        """Wait for the end of the daemon, which holds the lifeline."""
        try:
            return bool(select.select([self.lifeline], [], [], 30)[0]) and os.read(self.lifeline, 1) == b""
        finally:
            os.close(self.lifeline)


def _kill_controller(run: Run) -> None:
    os.kill(run.process.pid, signal.SIGKILL)


def _kill_worker(run: Run) -> None:
    assert run.pid != run.process.pid
    os.kill(run.pid, signal.SIGKILL)


def _interrupt(run: Run) -> None:
    os.kill(run.process.pid, signal.SIGINT)


def _nothing(run: Run) -> None:
    pass


@pytest.mark.parametrize(
    ("options", "and_then", "end"),
    [
        pytest.param([], "pass", _nothing, id="success"),
        pytest.param([], "fail", _nothing, id="failure"),
        pytest.param([], "wait", _interrupt, id="Ctrl-C"),
        pytest.param([], "wait", _kill_controller, id="kill -9"),
        pytest.param(["-n1"], "wait", _kill_controller, id="kill -9 of the controller"),
        pytest.param(["-n1"], "wait", _kill_worker, id="kill -9 of a worker"),
        pytest.param(["--timeout=0.5", "--timeout-method=signal"], "wait", _nothing, id="time-out by signal"),
        pytest.param(["--timeout=0.5", "--timeout-method=thread"], "wait", _nothing, id="time-out by thread"),
        pytest.param(
            ["-n1", "--timeout=0.5", "--timeout-method=thread"], "wait", _nothing, id="time-out by thread in a worker"
        ),
    ],
)
def test_nothing_is_left(
    tmp_path: Path, canaries: Canaries, options: list[str], and_then: str, end: Callable[[Run], None]
) -> None:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(SUITE))
    (tmp_path / "pytest.ini").write_text(_INI)
    before = set(os.listdir(tmp_path))
    run = Run(tmp_path, canaries, ["--mcast-lab", *options], and_then)
    end(run)
    assert run.daemon_is_gone(), run.output()
    canaries.wait_until_gone()
    run.output()
    assert set(os.listdir(tmp_path)) - before <= {"__pycache__"}
