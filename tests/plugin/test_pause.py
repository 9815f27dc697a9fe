"""``--mcast-pause-on-failure``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..conftest import Runner
from ..support.terminal import Terminal, enter

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "--color=no"]
PROMPT = "mcast: press Enter to go on: "

SUITE = """
    def test_passes(mcast_lab):
        mcast_lab.host()

    def test_fails(mcast_lab):
        print("to be captured")
        hosts = mcast_lab.host("one"), mcast_lab.host("two", interfaces={"eth7": "lan"})
        assert not "reached"

    def test_goes_on():
        pass
"""


@pytest.mark.parametrize("options", [[], ["-s", "--mcast-lab"]], ids=" ".join)
def test_the_hosts_can_be_entered_until_enter_is_pressed(run: Runner, options: list[str]) -> None:
    run.write(SUITE)
    if run.ordinary:  # who has no virtual hosts without
        options = [*options, "--mcast-lab"]
    with Terminal([*run.prefix, *PYTEST, "--mcast-pause-on-failure", *options], run.home) as terminal:
        shown = terminal.expect(PROMPT)
        assert "mcast: paused, because test_it.py::test_fails has failed: AssertionError: assert not 'reached'" in shown
        for host, interface in (("one", "eth0"), ("two", "eth7")):
            result = run([*enter(shown, host), "ip", "-brief", "address", "show", interface])
            assert result.returncode == 0, result.stderr
            (line,) = [line for line in shown.partition(f"\n{host}:\n")[2].splitlines() if line][:1]
            assert line.startswith(f"  {interface}: 10.64.")
            for address in line.split()[1:]:
                assert f" {address}/" in result.stdout
        terminal.write("\n")
        rest = terminal.expect(None)
    assert "1 failed, 2 passed" in rest
    assert ("to be captured" in shown) == ("-s" in options)


def test_a_failing_set_up_pauses_and_a_test_without_hosts_does_not(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    run.write("""
        import pytest

        @pytest.fixture
        def bad(mcast_lab):
            mcast_lab.host("one")
            raise ValueError("in set-up")

        def test_set_up(bad):
            pass

        def test_no_host():
            assert False

        @pytest.mark.xfail
        def test_expected(mcast_lab):
            mcast_lab.host("two")
            assert False
    """)
    with Terminal([*PYTEST, "--mcast-pause-on-failure"], tmp_path) as terminal:
        shown = terminal.expect(PROMPT)
        assert "has failed: ValueError: in set-up\none:\n" in shown
        terminal.write("\n")
        rest = terminal.expect(None)
    assert "1 failed, 1 xfailed, 1 error" in rest
    assert "mcast: paused" not in rest


def test_pytest_timeout_does_not_count_the_pause(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    run.write("""
        import signal

        def test_fails(mcast_lab):
            mcast_lab.host()
            assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "the clock is running"
    """)
    run.write(
        """
        import signal
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_exception_interact():
            print("left:", signal.getitimer(signal.ITIMER_REAL)[0])

        def pytest_runtestloop(session):
            hooks = session.config.hook.pytest_exception_interact.get_hookimpls()  # the last one comes first
            names = [hook.plugin_name for hook in reversed(hooks)]
            assert names.index("timeout") < names.index("mcast-pause")
        """,
        "conftest.py",
    )
    options = ["-s", "--timeout=600", "--timeout-method=signal", "--mcast-pause-on-failure"]
    with Terminal([*PYTEST, *options], tmp_path) as terminal:
        assert "the clock is running" in terminal.expect(PROMPT)
        terminal.write("\n")
        terminal.expect(None)
    assert "left: 0.0\n" in terminal.shown


@pytest.mark.parametrize("ending", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_other_ways_to_end_the_pause(tmp_path: Path, ending: str) -> None:
    run = Runner(tmp_path)
    run.write(SUITE)
    with Terminal([*PYTEST, "--mcast-pause-on-failure"], tmp_path) as terminal:
        terminal.expect(PROMPT)
        terminal.write(ending)
        rest = terminal.expect(None)
    assert ("KeyboardInterrupt" if ending == "\x03" else "1 failed, 2 passed") in rest


def test_ctrl_c_ends_the_pause_also_when_it_interrupts_no_system_call(tmp_path: Path) -> None:
    run = Runner(tmp_path)
    run.write(SUITE)
    # The signal goes to the other thread, as if it had come just before the pause begins to wait.
    run.write(
        """
        import signal
        import threading

        threading.Thread(target=threading.Event().wait, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        """,
        "conftest.py",
    )
    with Terminal([*PYTEST, "--mcast-pause-on-failure"], tmp_path) as terminal:
        terminal.expect(PROMPT)
        terminal.write("\x03")
        assert "KeyboardInterrupt" in terminal.expect(None)


def test_without_a_terminal_it_is_refused(tmp_path: Path) -> None:
    run = Runner(tmp_path, ["setsid", "--wait"])
    result = run([*PYTEST, "--mcast-pause-on-failure"])
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --mcast-pause-on-failure: there is no terminal to wait for Enter on (" in result.stderr


def test_with_workers_it_is_refused(tmp_path: Path) -> None:
    Runner(tmp_path).write(SUITE)
    with Terminal([*PYTEST, "--mcast-pause-on-failure", "-n2"], tmp_path) as terminal:
        shown = terminal.expect(None)
    assert "ERROR: --mcast-pause-on-failure and -n exclude each other: workers have no terminal; use -n0" in shown
    assert terminal.process.returncode == pytest.ExitCode.USAGE_ERROR
