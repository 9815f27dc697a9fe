"""Programs on remote hosts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from pytest_mcast import RemoteHost
from pytest_mcast.core import Deadline, HostError, ProgramError

from .support import BARE, Process, oldest, remote, under_way


@pytest.fixture(scope="module")
def host() -> Iterator[RemoteHost]:
    with remote(f"popen//python={oldest()}") as host:
        yield host


def test_it_is_ready_when_it_says_so_and_reads_what_is_written(host: RemoteHost) -> None:
    program = host.popen(["sh", "-c", "echo starting; echo ready 42; exec cat"], ready="ready [0-9]+", stdin=True)
    program.write("more\n")
    assert program.expect("m(.*)e").group(1) == "or"
    assert program.returncode is None
    assert program.stop() == -signal.SIGTERM


def test_output_is_kept_by_stream_with_the_exit_code(host: RemoteHost) -> None:
    program = host.popen(["sh", "-c", "echo one; echo $TWO >&2; printf three; exit 7"], environment={"TWO": "two"})
    assert program.wait() == 7
    assert (program.stdout, program.stderr, program.ended) == (["one", "three"], ["two"], True)


def test_long_output_comes_whole_and_in_order(host: RemoteHost) -> None:
    program = host.popen([sys.executable, "-c", "for n in range(5000): print(n)"])
    program.expect("^4999$")
    assert program.stdout == [str(number) for number in range(5000)]
    assert not program.wait_for_output(5000, Deadline(5))
    assert program.ended


def test_one_that_ends_before_it_is_ready_is_reported_with_its_output(host: RemoteHost) -> None:
    with pytest.raises(ProgramError, match=r"(?s)sh on far: ended without 'ready'.*no such file"):
        host.popen(["sh", "-c", "echo no such file >&2; exit 3"], ready="ready")


def test_one_that_stays_silent_is_reported(host: RemoteHost) -> None:
    with pytest.raises(ProgramError, match=r"cat on far: no 'ready' in 0\.01 s"):
        host.popen(["cat"], ready="ready", stdin=True, timeout=0.01)
    with pytest.raises(ProgramError, match=r"cat on far: goes on after 0\.01 s"):
        host.popen(["cat"], stdin=True).wait(0.01)


def test_one_that_does_not_exist_is_an_error(host: RemoteHost) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        host.popen(["no-such-program"])
    assert host.which("no-such-program") is None
    assert host.which("sh") == host.which("sh")


def test_the_loss_of_the_connection_is_no_silence() -> None:
    with remote(f"popen//python={BARE}") as host:
        program = host.popen(["cat"], stdin=True)
        with under_way(host, lambda: program.wait_for_output(0, Deadline(60))) as waiting:
            os.kill(int(host.facts()["pid"]), signal.SIGKILL)
            with pytest.raises(HostError, match="the connection was lost"):
                waiting.result(10)


def test_one_that_prints_nothing_holds_up_nobody(host: RemoteHost) -> None:
    program = host.popen(["cat"], stdin=True)
    with under_way(host, lambda: program.expect("hello", 30)) as waiting:
        program.write("hello\n")
        waiting.result(10)


def test_it_ends_with_its_endpoints_and_all_that_it_has_started(host: RemoteHost) -> None:
    program = host.popen(["sh", "-c", "tail -f /dev/null & echo $!; cat"], stdin=True)
    child = program.expect("[0-9]+")[0]
    with closing(Process(child)) as process, closing(Process(str(program.pid))) as parent:
        host.close_endpoints()
        assert parent.ended()
        assert process.ended()
    program.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_when_the_agent_is_killed(number: signal.Signals) -> None:
    with remote(f"popen//python={BARE}") as host:
        program = host.popen([sys.executable, "-c", "import signal; signal.pause()"])  # neither reads nor writes
        with closing(Process(str(program.pid))) as process:
            os.kill(int(host.facts()["pid"]), number)
            assert process.ended()
