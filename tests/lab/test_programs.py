"""Programs in virtual hosts: readiness, output, private mounts, and their end."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from pytest_mcast import LabView
from pytest_mcast.lab.programs import ProgramError

DAEMON = Path(__file__).parents[1] / "support" / "daemon.py"


def test_a_program_runs_in_the_network_of_the_host(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    program = host.popen(["ip", "-brief", "address", "show", "eth0"])
    assert program.wait() == 0
    assert f"{host.source('ipv4')}/16" in program.stdout[0]


def test_it_is_ready_when_it_says_so(mcast_lab: LabView) -> None:
    program = mcast_lab.host().popen(
        ["sh", "-c", "echo starting; echo ready 42; exec cat"], ready="ready [0-9]+", stdin=True
    )
    program.write("more\n")
    assert program.expect("m(.*)e").group(1) == "or"
    assert program.stop() == -15


def test_it_is_ended_by_a_signal_that_is_ignored_here(mcast_lab: LabView) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    try:
        program = mcast_lab.host().popen(["sh", "-c", "echo ready; exec cat"], ready="ready", stdin=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert program.stop(number=signal.SIGINT) == -signal.SIGINT


def test_one_that_ends_before_it_is_ready_is_reported_with_its_output(mcast_lab: LabView) -> None:
    with pytest.raises(ProgramError, match=r"(?s)sh ended without 'ready'.*no such file.*exit code 3"):
        mcast_lab.host().popen(["sh", "-c", "echo no such file >&2; exit 3"], ready="ready")


def test_one_that_stays_silent_is_reported(mcast_lab: LabView) -> None:
    with pytest.raises(ProgramError, match=r"cat: no 'ready' in 0\.01 s"):
        mcast_lab.host().popen(["cat"], ready="ready", stdin=True, timeout=0.01)


def test_one_that_does_not_exist_is_reported(mcast_lab: LabView) -> None:
    program = mcast_lab.host().popen(["no-such-program-4711"])
    assert program.wait() == 127
    assert program.stderr == ["cannot start no-such-program-4711: [Errno 2] No such file or directory"]


def test_output_is_kept_by_stream(mcast_lab: LabView) -> None:
    program = mcast_lab.host().popen(["sh", "-c", "echo one; echo two >&2; printf three"])
    program.wait()
    assert (program.stdout, program.stderr) == (["one", "three"], ["two"])


def test_run_is_private_and_proc_and_sys_are_the_hosts(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    script = "ls /run | wc -l; touch /run/mine; ls /sys/class/net | tr '\\n' ' '; echo; ls -d /proc/[0-9]* | wc -l"
    program = host.popen(["sh", "-c", script])
    program.wait()
    assert program.stdout[:2] == ["0", "eth0 lo "]
    assert int(program.stdout[2]) < 10
    assert not os.path.exists("/run/mine")
    other = host.popen(["ls", "/run"])
    other.wait()
    assert other.stdout == []


def test_environment_and_directory(mcast_lab: LabView, tmp_path: Path) -> None:
    program = mcast_lab.host().popen(
        ["sh", "-c", "pwd; echo $COLOUR"],
        environment={"COLOUR": "blue", "PATH": os.environ["PATH"]},
        directory=tmp_path,
    )
    program.wait()
    assert program.stdout == [str(tmp_path), "blue"]


def test_files_that_only_the_program_has(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    before = Path("/etc/group").read_text()
    files = {"/run/mine/settings": "one\ntwo\n", "/etc/group": "mine:x:7:\n"}
    program = host.popen(["sh", "-c", "cat /run/mine/settings /etc/group"], files=files)
    assert program.wait() == 0
    assert program.stdout == ["one", "two", "mine:x:7:"]
    assert not Path("/run/mine").exists()
    assert Path("/etc/group").read_text() == before


def test_a_file_in_place_of_nothing(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with pytest.raises(ProgramError, match=r"cannot start true: .*mount /etc/no-such-file"):
        host.popen(["true"], files={"/etc/no-such-file": ""}, ready="never")
    assert not Path("/etc/no-such-file").exists()
    for path in ("run/settings", "/run/../etc/group"):
        with pytest.raises(ValueError, match=f"is absolute and has no detours, not '{path}'"):
            host.popen(["true"], files={path: ""})


def test_a_daemon_that_has_forked_twice_ends_with_the_host(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    read, write = os.pipe()
    os.set_inheritable(write, True)
    # The daemon holds the write end: the read end says when it is gone.
    program = host.popen([sys.executable, str(DAEMON)], ready="daemon", keep=[write])
    os.close(write)
    assert program.wait() == 0
    assert not select.select([read], [], [], 0)[0]
    host.close_endpoints()
    assert select.select([read], [], [], 5)[0]
    assert os.read(read, 1) == b""
    os.close(read)


def test_many_programs_of_one_host_see_each_other(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    host.popen(["sh", "-c", "echo ready; exec cat"], ready="ready", stdin=True)
    program = host.popen(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"])
    program.wait()
    assert "cat" in program.stdout


def test_input_that_was_not_read_does_not_keep_a_host_from_closing(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    program = host.popen(["true"], stdin=True)
    program.wait()
    with pytest.raises(BrokenPipeError):
        program.write("nobody reads this\n")
    host.close_endpoints()
    assert host.popen(["true"]).wait() == 0
